"""Reads a benchmark's YAML, and says all that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError, near
from ..settings import read_yaml
from .plan import FULL, Model, Plan, Study

KINDS = ("baseline", "model", "ablation")
_OWN_KEYS = {"title", "seeds", "common", "datasets", "models", "conditions", "studies"}
_STUDY_KEYS = {"datasets", "models", "conditions", "seeds", "about"}


def read_plan(path: str | Path) -> Plan:
    """Read a benchmark's YAML and check all of it.

    Parameters
    ----------
    path : str or Path
        See properties/benchmark for what it holds.

    Returns
    -------
    Plan

    Raises
    ------
    UserError
        There is no such file, it is no YAML, or something in it has no sense: all of it is named.
    """
    given = read_yaml(str(path))
    wrong: list[str] = [*_unknown(given, _OWN_KEYS, "the file")]
    datasets = _mapping(given, "datasets", wrong)
    conditions = {FULL: {}, **_mapping(given, "conditions", wrong, required=False)}
    models = {
        name: _read_model(name, dict(value or {}), wrong)
        for name, value in _mapping(given, "models", wrong).items()
    }
    common = given.get("common") or {}
    if not isinstance(common, dict):
        wrong.append(f"common is {common!r}, not a mapping of options")
        common = {}
    seeds = given.get("seeds", [1, 2, 3])
    if not _are_seeds(seeds):
        wrong.append(f"seeds is {seeds!r}, not a list of whole numbers")
        seeds = [1]
    everything = {"datasets": datasets, "models": models, "conditions": conditions}
    studies = [
        _read_study(name, dict(value or {}), everything, seeds, wrong)
        for name, value in _mapping(given, "studies", wrong).items()
    ]
    if wrong:
        raise UserError(
            f"{path}: " + "; ".join(wrong) + ".",
            "Change it there; properties/benchmark has examples.",
        )
    return Plan(
        title=str(given.get("title", Path(path).stem)),
        common=common,
        datasets={name: dict(value or {}) for name, value in datasets.items()},
        conditions={name: dict(value or {}) for name, value in conditions.items()},
        models=models,
        studies=tuple(studies),
    )


def _mapping(
    given: Mapping[str, Any], key: str, wrong: list[str], required: bool = True
) -> dict[str, Any]:
    value = given.get(key)
    if value is None and not required:
        return {}
    if not isinstance(value, dict) or not value:
        wrong.append(f"{key} is {value!r}, not a mapping of names")
        return {}
    for name, inner in value.items():
        if inner is not None and not isinstance(inner, dict):
            wrong.append(f"{key} gives {name} {inner!r}, no mapping")
    return {str(n): v if isinstance(v, dict) else {} for n, v in value.items()}


def _unknown(given: Mapping[str, Any], known: set[str], where: str) -> Iterator[str]:
    for key in given:
        if key not in known:
            yield f"{where} has {key!r}, which nobody reads{near(str(key), known)}"


def _read_model(name: str, given: dict[str, Any], wrong: list[str]) -> Model:
    kind = given.pop("kind", "ablation")
    if kind not in KINDS:
        wrong.append(f"{name} is of kind {kind!r}, not one of {', '.join(KINDS)}")
    recbole = str(given.pop("model", "IDMMDistill"))
    options = given.pop("options", None) or [{}]
    if not isinstance(options, list) or not all(isinstance(o, dict) for o in options):
        wrong.append(f"{name} has options {options!r}, not a list of mappings")
        options = [{}]
    return Model(kind, recbole, given, tuple(options))


def _are_seeds(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(seed) is int for seed in value)


def _read_study(
    name: str,
    given: dict[str, Any],
    everything: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    wrong: list[str],
) -> Study:
    wrong.extend(_unknown(given, _STUDY_KEYS, f"the study {name!r}"))
    chosen: dict[str, tuple[str, ...]] = {}
    for key, known in everything.items():
        names = given.get(key, [FULL] if key == "conditions" else list(known))
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, list):
            wrong.append(f"{key} of {name!r} is {names!r}, not a list of names")
            names = []
        for one in names:
            if str(one) not in known:
                wrong.append(f"{name!r} asks for {one!r}, none of the {key}{near(str(one), known)}")
        chosen[key] = tuple(map(str, names))
    own_seeds = given.get("seeds", seeds)
    if not _are_seeds(own_seeds):
        wrong.append(f"seeds of {name!r} is {own_seeds!r}, not a list of whole numbers")
        own_seeds = seeds
    return Study(
        name,
        str(given.get("about", "")).strip(),
        chosen["datasets"],
        chosen["models"],
        chosen["conditions"],
        tuple(own_seeds),
    )
