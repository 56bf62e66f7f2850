"""Made-up shops of which it is known whether texts or pictures decide what is bought."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..features import FeatureInfo, write_features
from ..files import write_text
from ..poc.inputs import REPORT
from ..poc.job import Request, prove
from ..poc.verdict import ON
from .report import compare

TRUTHS = ("text", "image", "neither")
_GROUPS, _WIDTH, _PER_USER = 25, 16, 6
_BUDGET = 1800.0  # seconds for each shop; an idle machine takes one or two minutes


def write_shop(folder: Path, truth: str, seed: int, n_users: int = 600, n_items: int = 250) -> str:
    """Write the atomic files and the features of a shop.

    Customers buy within two of 25 groups of items. The features of the modality that decides lie
    near their group's centre; those of the other, or of both, have nothing to do with the groups.

    Parameters
    ----------
    folder : Path
        RecBole's ``data_path``.
    truth : str
        One of :data:`TRUTHS`.
    seed : int
        Of the draw.
    n_users, n_items : int
        How many; each user has six purchases.

    Returns
    -------
    str
        The dataset's name.
    """
    name = f"planted-{truth}-{seed}"
    rng = np.random.default_rng([seed, TRUTHS.index(truth)])
    group = rng.integers(0, _GROUPS, n_items)
    weight = 1 / np.arange(1, n_items + 1) ** 0.5
    rng.shuffle(weight)
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user in range(n_users):
        liked = np.isin(group, rng.choice(_GROUPS, 2, replace=False))
        chance = weight * np.where(liked, 1.0, 0.005)
        bought = rng.choice(n_items, _PER_USER, replace=False, p=chance / chance.sum())
        lines += [f"u{user}\ti{item}\t{at}" for at, item in enumerate(bought)]
    write_text(folder / name / f"{name}.inter", "\n".join(lines) + "\n")
    centre = rng.normal(size=(_GROUPS, _WIDTH))
    for modality in ("text", "image"):
        shown = centre[group] if modality == truth else rng.normal(size=(n_items, _WIDTH))
        values = shown + 0.3 * rng.normal(size=(n_items, _WIDTH))
        info = FeatureInfo(modality, encoder="planted")
        path = folder / name / f"{name}.{modality}.safetensors"
        tokens = [f"i{item}" for item in range(n_items)]
        write_features(path, values.astype(np.float32), tokens, info)
    return name


def is_right(truth: str, report: Mapping[str, Any]) -> bool:
    """Whether the verdict on a planted shop is right.

    What decides must be switched on, and nothing else may be: neither the other source nor both
    together.
    """
    sources = report["verdict"]["sources"]
    on = {name for name, of in sources.items() if of["outcome"] == ON}
    return on == (set() if truth == "neither" else {truth})


def measure(draws: int) -> list[dict[str, Any]]:
    """Let the proof of concept decide about shops of which the truth is known.

    Parameters
    ----------
    draws : int
        Shops of each truth.

    Returns
    -------
    list of dict
        As :func:`recbole_mmdistill.bench.report.compare`, draws against right verdicts, with each
        draw's outcomes in ``found``.
    """
    logging.disable(logging.WARNING)
    results = []
    for truth in TRUTHS:
        found = []
        for seed in range(draws):
            with tempfile.TemporaryDirectory() as scratch:
                found.append(decide(Path(scratch), truth, seed))
            print(f"{truth}, draw {seed}: {found[-1]}", flush=True)
        right = sum(of["right"] for of in found)
        name = f"shops where {truth} decides: {right} of {draws} verdicts are right"
        results.append({**compare(name, [draws], [max(right, 1e-9)], 1 / 0.9), "found": found})
    return results


def decide(scratch: Path, truth: str, seed: int, budget: float = _BUDGET) -> dict[str, Any]:
    """Make a shop, and let the proof of concept decide about it.

    Parameters
    ----------
    scratch : Path
        An empty folder.
    truth, seed
        See :func:`write_shop`.
    budget : float
        Seconds.

    Returns
    -------
    dict
        ``right``, ``outcomes`` and ``gains`` by source, ``seeds`` and ``seconds``.
    """
    request = Request(
        output=scratch / "poc",
        dataset=write_shop(scratch / "dataset", truth, seed),
        data_path=scratch / "dataset",
        budget=budget,
        evidence=False,
    )
    prove(request, say=lambda line: None)
    report = json.loads((request.output / REPORT).read_text(encoding="utf-8"))
    gains = {
        name: [of["gain"][end] for end in ("relative", "low", "high")]
        for name, of in report["stages"].items()
        if name in ("text", "image", "all")
    }
    return {
        "right": is_right(truth, report),
        "outcomes": {name: of["outcome"] for name, of in report["verdict"]["sources"].items()},
        "gains": {name: [round(value, 4) for value in of] for name, of in gains.items()},
        "seeds": report["stages"]["id"]["seeds"],
        "seconds": report["plan"]["spent"],
    }
