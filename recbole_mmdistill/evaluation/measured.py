"""What was measured: ``results.csv``, a line for each trial and group of test rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .lines import damaged, read_lines, write_lines
from .plan import Trial
from .ranking import WHOLE, hit, ndcg
from .rows import ALL, Rows
from .trial import CPU

FILE = "results.csv"
_MEASURES = {"ndcg@10": ndcg, "hit@10": hit}
# What is not of a group stands in a trial's first line alone.
_OF_TRIAL = (
    "n_items",
    "valid_ndcg@10",  # of each epoch
    "cpu_seconds",  # of training, of each epoch
    "test_cpu_seconds",
    "seconds",
    "parameters",
    "peak_memory_mib",
    "device",
    "machine",
    "rows_id",
)
_COLUMNS = (
    *("dataset", "model", "condition", "options", "seed", "version", "behaviour", "key"),
    *("variant", "group", "rows", *_MEASURES, *_OF_TRIAL),
)
_GROUPS_OF_VARIANTS = (ALL, "item cold", "item known")  # of a branch alone no others are reported


@dataclass(frozen=True)
class Measured:
    """A finished trial without the ranks of its single rows, as ``results.csv`` holds it.

    Attributes
    ----------
    lines : list of dict
        Its lines, by column.
    """

    lines: list[dict[str, str]]

    def __getitem__(self, column: str) -> str:
        return self.lines[0][column]

    @property
    def key(self) -> str:
        """Of the trial."""
        return self["key"]

    @property
    def behaviour(self) -> int:
        """That made it; 0 if it is older than behaviours."""
        return int(self["behaviour"])

    @property
    def made_by(self) -> str:
        """Version and behaviour in words."""
        return f"{self['version']} ({self.behaviour})" if self.behaviour else "before 1"

    @cached_property
    def _by_group(self) -> dict[tuple[str, str], dict[str, str]]:
        return {(line["variant"], line["group"]): line for line in self.lines}

    def variants(self) -> list[str]:
        """Ways in which the test targets were ranked, see :func:`~.ranking.variants`."""
        return list(dict.fromkeys(line["variant"] for line in self.lines))

    def groups(self) -> dict[str, int]:
        """Number of test rows in each group."""
        whole = [line for line in self.lines if line["variant"] == WHOLE]
        return {line["group"]: int(line["rows"]) for line in whole}

    def quality(self, measure: str, variant: str = WHOLE, group: str = ALL) -> float:
        """Mean of ``ndcg@10`` or ``hit@10`` over a group's rows; nan if there are none."""
        line = self._by_group.get((variant, group))
        return float(line[measure]) if line else np.nan

    @cached_property
    def valid(self) -> np.ndarray:
        """Validation NDCG@10, ``[n_epochs]``."""
        return np.array(self["valid_ndcg@10"].split(), dtype=float)

    @cached_property
    def cpu_seconds(self) -> np.ndarray:
        """Of training, ``[n_epochs]``."""
        return np.array(self["cpu_seconds"].split(), dtype=float)


def measure(trial: Trial, record: Mapping[str, Any], rows: Rows) -> Measured:
    """Sum a trial's record up.

    Parameters
    ----------
    trial : Trial
        The trial.
    record : Mapping
        What it has left, see :func:`~.trial.run_trial`.
    rows : Rows
        Its test rows.

    Returns
    -------
    Measured
    """
    names = {
        "dataset": trial.dataset,
        "model": trial.model,
        "condition": trial.condition,
        "options": trial.options,
        "seed": trial.seed,
        "version": record.get("version", ""),
        "behaviour": record.get("behaviour", 0),
        "key": trial.key,
    }
    of_trial = {
        **record,
        "n_items": rows.n_items,
        "valid_ndcg@10": " ".join(f"{epoch['valid']:.5g}" for epoch in record["epochs"]),
        "cpu_seconds": " ".join(f"{epoch['train_cpu_seconds']:.4g}" for epoch in record["epochs"]),
        "device": record.get("device", CPU),  # before GPUs were told, all ran on the CPU
        "machine": "{processor}, {cores} cores".format(**record["machine"]),
        "rows_id": record["rows"],
    }
    lines: list[dict[str, str]] = []
    for variant, ranks in record["ranks"].items():
        for group, chosen in rows.groups().items():
            if variant == WHOLE or group in _GROUPS_OF_VARIANTS:
                of_group = np.array(ranks)[chosen]
                values = {name: f"{of(of_group).mean():.6f}" for name, of in _MEASURES.items()}
                line = {**names, "variant": variant, "group": group, "rows": chosen.sum(), **values}
                if not lines:
                    line |= {column: of_trial.get(column, "") for column in _OF_TRIAL}
                lines.append({column: str(line.get(column, "")) for column in _COLUMNS})
    return Measured(lines)


def read(folder: Path) -> dict[str, Measured]:
    """Read ``results.csv``, if it is there: trials by their keys.

    Raises
    ------
    UserError
        It is damaged.
    """
    by_key: dict[str, list[dict[str, str]]] = {}
    for line in read_lines(folder / FILE, _COLUMNS):
        by_key.setdefault(line["key"], []).append(line)
    trials = {key: Measured(lines) for key, lines in by_key.items()}
    try:
        for trial in trials.values():
            (
                trial.behaviour,
                trial.groups(),
                trial.valid,
                trial.cpu_seconds,
                trial.quality("ndcg@10"),
            )
    except ValueError as error:
        raise damaged(folder / FILE, error) from None
    return trials


def write(folder: Path, trials: Iterable[Measured]) -> None:
    """Write ``results.csv``, atomically, in the order of names."""
    in_order = sorted(trials, key=lambda t: (*(t[name] for name in _COLUMNS[:5]), t.key))
    write_lines(folder / FILE, _COLUMNS, (line for trial in in_order for line in trial.lines))


def comparable(one: int, other: int, unchanged_since: float) -> bool:
    """Whether what two behaviours made may be held against each other.

    Parameters
    ----------
    one, other : int
        The behaviours; 0 is all that is older than behaviours.
    unchanged_since : float
        The first behaviour that gives the results of today, of one of the models at least;
        infinite where every behaviour gives its own.
    """
    return one == other or min(one, other) >= unchanged_since
