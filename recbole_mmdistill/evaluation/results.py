"""A study's finished trials, gathered so that models can be compared row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from .plan import FULL, Plan, Study
from .pool import Cache
from .ranking import WHOLE, ndcg
from .rows import Rows
from .significance import Gain, compare
from .trial import CPU


@dataclass(frozen=True)
class Result:
    """A model's finished trials on a dataset, one for each seed.

    Attributes
    ----------
    model : str
        Its name in the plan.
    records : tuple of dict
        As :func:`~.trial.run_trial` returns them.
    rows : tuple of Rows
        The test rows of each record.
    """

    model: str
    records: tuple[dict[str, Any], ...]
    rows: tuple[Rows, ...]

    def having(self, variant: str) -> Result | None:
        """The seeds whose targets were ranked by a variant; None if there are none."""
        has = [variant in record["ranks"] for record in self.records]
        records, rows = tuple(compress(self.records, has)), tuple(compress(self.rows, has))
        return Result(self.model, records, rows) if records else None

    def ranks(self, variant: str = WHOLE) -> list[np.ndarray]:
        """Ranks of the test targets, ``[n_rows]`` for each seed."""
        return [np.array(record["ranks"][variant]) for record in self.records]

    def by_seed(self, measure: Any = ndcg, variant: str = WHOLE) -> np.ndarray:
        """Mean of a measure over the test rows, one number for each seed."""
        return np.array([measure(ranks).mean() for ranks in self.ranks(variant)])

    def by_row(self, measure: Any = ndcg, variant: str = WHOLE) -> np.ndarray:
        """Mean of a measure over the seeds, one number for each test row.

        All seeds must have the same rows, as they do where nothing is held back.
        """
        return np.stack([measure(ranks) for ranks in self.ranks(variant)]).mean(0)

    @property
    def timed(self) -> list[dict[str, Any]]:
        """Records whose CPU seconds and memory tell the cost: those that no GPU took part in."""
        return [record for record in self.records if device_of(record) == CPU]

    @property
    def best_valid(self) -> float:
        """Validation NDCG@10 of the best epoch, mean over seeds."""
        return float(np.mean([max(_valid(record)) for record in self.records]))

    @property
    def epochs_to_best(self) -> float:
        """Epochs up to the best one, mean over seeds."""
        return float(np.mean([int(np.argmax(_valid(record))) + 1 for record in self.records]))

    def seconds_to(self, quality: float | None = None) -> list[float]:
        """CPU seconds of training until validation NDCG@10 is first reached.

        Parameters
        ----------
        quality : float, optional
            By default each seed's own best.

        Returns
        -------
        list of float
            Of the timed seeds that ever reach it.
        """
        found = []
        for record in self.timed:
            valid = np.array(_valid(record))
            reached = np.flatnonzero(valid >= (valid.max() if quality is None else quality))
            if len(reached):
                spent = np.cumsum([epoch["train_cpu_seconds"] for epoch in record["epochs"]])
                found.append(float(spent[reached[0]]))
        return found


def device_of(record: Mapping[str, Any]) -> str:
    """Where a trial ran, see :func:`~.trial.run_trial`; before GPUs were told, on the CPU."""
    return str(record.get("device", CPU))


def _ran_on(record: Mapping[str, Any]) -> str:
    device = device_of(record)
    return str(record.get("machine", {}).get("processor", CPU)) if device == CPU else device


def _valid(record: Mapping[str, Any]) -> list[float]:
    return [epoch["valid"] for epoch in record["epochs"]]


class Results:
    """All results of a plan that are on disk.

    Parameters
    ----------
    plan : Plan
        The benchmark.
    cache : Cache
        Its trials.
    chosen : Mapping of (dataset, model) to int
        Option sets, see :func:`~.pool.choose_options`.
    """

    def __init__(self, plan: Plan, cache: Cache, chosen: Mapping[tuple[str, str], int]) -> None:
        self.plan, self.cache, self.chosen = plan, cache, chosen
        self._rows: dict[str, Rows] = {}

    def get(self, dataset: str, model: str, condition: str, seeds: Sequence[int]) -> Result | None:
        """Gather a model's trials; None if not one of the seeds is finished."""
        options = self.chosen.get((dataset, model), 0)
        trials = [self.plan.trial(dataset, model, condition, options, seed) for seed in seeds]
        records = [record for record in map(self.cache.get, trials) if record is not None]
        if not records:
            return None
        rows = tuple(self._read_rows(record["rows"]) for record in records)
        return Result(model, tuple(records), rows)

    def of_study(self, study: Study, dataset: str, condition: str = FULL) -> dict[str, Result]:
        """Results of a study's models on a dataset, by model; unfinished ones are left out."""
        found = {model: self.get(dataset, model, condition, study.seeds) for model in study.models}
        return {model: result for model, result in found.items() if result is not None}

    def machines(self) -> Counter[str]:
        """Count the finished trials by what they ran on: a GPU, or else the processor."""
        trials = [*self.plan.tuning(), *self.plan.measuring(self.chosen)]
        by_key = {trial.key: trial for trial in trials}  # studies share trials
        records = [record for record in map(self.cache.get, by_key.values()) if record is not None]
        return Counter(map(_ran_on, records))

    def _read_rows(self, name: str) -> Rows:
        if name not in self._rows:
            self._rows[name] = Rows.read(self.cache.folder / "rows", name)
        return self._rows[name]


def our_model(plan: Plan, models: Iterable[str]) -> str | None:
    """Give the first of the models that is of the kind ``model``; None if none is."""
    return next((name for name in models if plan.models[name].kind == "model"), None)


def gains_of(
    ours: Result,
    found: Mapping[str, Result],
    variant: str = WHOLE,
    chosen: np.ndarray | slice = slice(None),
) -> dict[str, Gain]:
    """Compare a result with all others of a study that have the same test rows.

    Parameters
    ----------
    ours : Result
        The one that may be better.
    found : Mapping of str to Result
        The study's, ``ours`` among them.
    variant : str
        Of the rankings, see :func:`~.ranking.variants`.
    chosen : numpy.ndarray or slice
        The rows that count, by default all.

    Returns
    -------
    dict of str to Gain
        By the other's name; p-values are corrected for their number.
    """
    same = [name for name, it in found.items() if it is not ours and _same_rows(ours, it)]
    users = np.array(ours.rows[0].users)
    others = [found[name].by_row(variant=variant)[chosen] for name in same]
    return dict(zip(same, compare(ours.by_row(variant=variant)[chosen], others, users[chosen])))


def _same_rows(one: Result, other: Result) -> bool:
    return len({record["rows"] for result in (one, other) for record in result.records}) == 1
