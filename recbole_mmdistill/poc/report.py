"""All numbers of a proof of concept as one document, from which the page is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ..evaluation.ranking import hit
from ..evaluation.rows import ALL as ALL_ROWS
from ..evaluation.rows import Rows
from ..evaluation.significance import correct
from ..version import __version__
from . import verdict
from .baselines import MARKOV, POPULAR
from .gains import Gain, gain, quality, seed_variance
from .sample import Sample
from .stages import ALL, ID, SASREC

_ORDER = (POPULAR, MARKOV, SASREC, ID, "text", "image", ALL)
_GROUPS = ("item head", "item middle", "item tail", "item cold")


class Measured:
    """The ranks of the test targets by each stage and seed.

    Parameters
    ----------
    rows : Rows
        The test rows.

    Attributes
    ----------
    ranks : dict of str to list of list of int
        By stage and seed.
    records : dict of str to list of dict
        What :func:`.stages.train` gave, by stage and seed; none for what is not trained.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.ranks: dict[str, list[list[int]]] = {}
        self.records: dict[str, list[dict[str, Any]]] = {}
        self._gains: dict[tuple[str, int, str, int], Gain] = {}

    def add_baselines(self, ranks: Mapping[str, list[int]]) -> None:
        """Take the ranks of what is not trained."""
        self.ranks |= {name: [of_rows] for name, of_rows in ranks.items()}

    def add(self, stage: str, record: dict[str, Any]) -> None:
        """Take a seed of a stage."""
        self.ranks.setdefault(stage, []).append(record["ranks"])
        self.records.setdefault(stage, []).append(record)

    @property
    def sources(self) -> list[str]:
        """Modalities that a stage of their own was trained with."""
        return [name for name in ("text", "image") if name in self.records]

    def valid(self, stage: str) -> float:
        """Validation NDCG@10, mean over seeds."""
        return float(np.mean([record["valid"] for record in self.records[stage]]))

    def against(self, stage: str) -> str | None:
        """The stage that a stage is held against: the best of those that ask for less."""
        if stage in self.sources:
            return ID if ID in self.ranks else None
        if stage == ALL:
            return max(self.sources, key=self.valid) if self.sources else None
        before = [name for name in _ORDER[:4] if name in self.ranks]
        place = before.index(stage)
        return before[place - 1] if place else None

    def gain(self, stage: str, other: str) -> Gain:
        """Compare two stages."""
        key = stage, len(self.ranks[stage]), other, len(self.ranks[other])
        if key not in self._gains:  # a bootstrap takes a second for many users
            ours, theirs = quality(self.ranks[stage]), quality(self.ranks[other])
            seeds = {of: len(self.records[of]) for of in (stage, other) if of in self.records}
            self._gains[key] = gain(ours, theirs, self.rows.users, seed_variance(seeds))
        return self._gains[key]

    def best_epochs(self, stage: str) -> int:
        """The number of epochs after which validation was best, mean over seeds."""
        curves = [[valid for _, valid in record["curve"]] for record in self.records[stage]]
        return round(float(np.mean([1 + int(np.argmax(valid)) for valid in curves])))

    def unfinished(self, stage: str) -> bool:
        """Whether a stage was still getting better when its epochs were over, in any seed."""
        return any(record["unfinished"] for record in self.records.get(stage, ()))

    def compare(self, stage: str, other: str) -> dict[str, Any]:
        """Compare two stages, as the rules of the verdict have it."""
        found = asdict(self.gain(stage, other))
        return found | {
            "p_corrected": found["p"],
            "unfinished": self.unfinished(stage),
            "other_unfinished": self.unfinished(other),
        }

    @property
    def multimodal(self) -> str | None:
        """The stage with a source that is best by validation; None: there is none.

        What-ifs are made with it.
        """
        both = [ALL] if ALL in self.records else []
        return max([*self.sources, *both], key=self.valid, default=None)


def summarise(
    sample: Sample,
    found: Mapping[str, Any],
    health: Mapping[str, Any],
    plan: Mapping[str, Any],
    measured: Measured,
    what_if: Mapping[str, Any],
    costs: Mapping[str, Any],
    examples: Mapping[str, Any] | None,
    budget: float,
    spent: float,
    common: Mapping[str, Any],
) -> dict[str, Any]:
    """Put everything together, and decide.

    Returns
    -------
    dict
        As ``report.json`` has it.
    """
    stages = _stages(measured)
    decided = verdict.decide(stages, found, health, measured, examples, costs)
    return {
        "version": __version__,
        "dataset": sample.dataset,
        "verdict": decided,
        "health": dict(health),
        "found": dict(found),
        "plan": {**plan, "budget": budget, "spent": round(spent, 1)},
        "stages": stages,
        "what_if": dict(what_if),
        "costs": dict(costs),
        "examples": examples,
        "settings": dict(common),
    }


def _stages(measured: Measured) -> dict[str, Any]:
    groups = measured.rows.groups()
    shown = [name for name in (ALL_ROWS, *_GROUPS) if name in groups]
    stages: dict[str, Any] = {}
    for name in sorted(measured.ranks, key=_ORDER.index):
        ranks = measured.ranks[name]
        rank = np.asarray(ranks)
        against = measured.against(name)
        compared = None if against is None else measured.compare(name, against)
        records = measured.records.get(name, [])
        stages[name] = {
            "ndcg": float(quality(ranks).mean()),
            "hit": float(hit(rank).mean()),
            "seeds": len(ranks),
            "groups": {
                group: {
                    "ndcg": float(quality(ranks)[groups[group]].mean()),
                    "rows": int(groups[group].sum()),
                }
                for group in shown
            },
            "against": against,
            "gain": compared,
            "epochs": [len(record["curve"]) for record in records],
            "unfinished": measured.unfinished(name),
            "curve": records[0]["curve"] if records else [],
            "cpu_minutes": float(np.mean([r["cpu_seconds"] for r in records]) / 60)
            if records
            else 0.0,
            "parameters": records[0]["parameters"] if records else 0,
            "checkpoint": records[0]["checkpoint"] if records else "",
        }
    tested = [of["gain"] for of in stages.values() if of["gain"]]
    for of, p in zip(tested, correct([of["p"] for of in tested])):
        of["p_corrected"] = p
    return stages
