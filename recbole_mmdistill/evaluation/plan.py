"""What a benchmark's YAML asks for, as a list of trials."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError, near
from ..integration.config import properties
from ..settings import read_yaml

KINDS = ("baseline", "model", "ablation")
_OWN_KEYS = {"title", "seeds", "common", "datasets", "models", "conditions", "studies"}
_STUDY_KEYS = {"datasets", "models", "conditions", "seeds", "about"}


@dataclass(frozen=True)
class Trial:
    """A model on a dataset, with one set of options and one seed.

    Attributes
    ----------
    dataset, model, condition : str
        Their names in the plan.
    options : int
        Which of the model's option sets.
    seed : int
        RecBole's ``seed``.
    spec : dict
        What decides the trial's result: RecBole's names of model and dataset, all settings, the
        modalities by which its rows are grouped, and the defaults that this package ships for the
        model, so that a trial made with other ones is not taken for it.
    """

    dataset: str
    model: str
    condition: str
    options: int
    seed: int
    spec: dict[str, Any] = field(compare=False)

    @property
    def key(self) -> str:
        """Hash of :attr:`spec`: two trials that would give the same have the same key."""
        text = json.dumps(self.spec, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]

    def __str__(self) -> str:
        condition = "" if self.condition == FULL else f", {self.condition}"
        return (
            f"{self.model} on {self.dataset}{condition}, options {self.options}, seed {self.seed}"
        )


FULL = "full"  # the condition in which nothing is taken away


@dataclass(frozen=True)
class Study:
    """Datasets x models x conditions x seeds that are reported together.

    Attributes
    ----------
    name : str
        Its heading in the report.
    about : str
        A paragraph below the heading.
    datasets, models, conditions : tuple of str
        Names in the plan.
    seeds : tuple of int
        The first decides between a model's option sets.
    """

    name: str
    about: str
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    conditions: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Model:
    """A model of the plan.

    Attributes
    ----------
    kind : str
        ``baseline``, ``model`` (the one that is compared with all others), or ``ablation``.
    recbole : str
        RecBole's name of it.
    settings : dict
        Of all its trials.
    options : tuple of dict
        Option sets, of which validation data choose one for each dataset: the tuning budget.
    """

    kind: str
    recbole: str
    settings: dict[str, Any]
    options: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Plan:
    """A benchmark.

    Attributes
    ----------
    title : str
        Of the report.
    common : dict
        Settings of all trials.
    datasets, conditions : dict of str to dict
        Settings by name.
    models : dict of str to Model
        By name.
    studies : tuple of Study
        In the report's order.
    """

    title: str
    common: dict[str, Any]
    datasets: dict[str, dict[str, Any]]
    conditions: dict[str, dict[str, Any]]
    models: dict[str, Model]
    studies: tuple[Study, ...]

    def trial(self, dataset: str, model: str, condition: str, options: int, seed: int) -> Trial:
        """Put a trial together: common settings < dataset < condition < model < option set."""
        of_dataset = dict(self.datasets[dataset])
        recbole_dataset = of_dataset.pop("dataset", dataset)
        of_model = self.models[model]
        settings = {
            **self.common,
            **of_dataset,
            **self.conditions[condition],
            **of_model.settings,
            **of_model.options[options],
            "seed": seed,
        }
        spec: dict[str, Any] = {
            "model": of_model.recbole,
            "dataset": recbole_dataset,
            "settings": settings,
            "grouped_by": list(of_dataset.get("modalities") or []),
        }
        presets = properties("model", of_model.recbole)
        if presets:
            spec["presets"] = presets
        return Trial(dataset, model, condition, options, seed, spec)

    def tuning(self) -> Iterator[Trial]:
        """Trials that choose between option sets: nothing taken away, the study's first seed."""
        seen = set()
        for study in self.studies:
            for dataset in study.datasets:
                for model in study.models:
                    if (dataset, model) in seen or len(self.models[model].options) == 1:
                        continue
                    seen.add((dataset, model))
                    for options in range(len(self.models[model].options)):
                        yield self.trial(dataset, model, FULL, options, study.seeds[0])

    def measuring(self, chosen: Mapping[tuple[str, str], int]) -> Iterator[Trial]:
        """All trials of the studies, each model with its chosen option set; seed after seed.

        Parameters
        ----------
        chosen : Mapping of (dataset, model) to int
            Option sets; the first one where there is only one.
        """
        most = max((len(study.seeds) for study in self.studies), default=0)
        for number in range(most):
            for study in self.studies:
                for seed in study.seeds[number : number + 1]:
                    for dataset in study.datasets:
                        for condition in study.conditions:
                            for model in study.models:
                                options = chosen.get((dataset, model), 0)
                                yield self.trial(dataset, model, condition, options, seed)


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
            "Mend it there; properties/benchmark has examples.",
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
