"""Finished trials, gathered so that models can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..integration.registration import MODELS
from ..version import BEHAVIOUR, ID_BEHAVIOUR, SHARED_BEHAVIOUR
from . import measured
from .comparisons import Comparisons
from .measured import Measured, comparable
from .plan import FULL, Plan, Study, Trial
from .ranking import WHOLE
from .rows import ALL
from .significance import correct
from .store import Store
from .trial import CPU

NDCG, HIT = "ndcg@10", "hit@10"


@dataclass(frozen=True)
class Result:
    """A model's finished trials on a dataset, one for each seed, whose results may be joined.

    Attributes
    ----------
    model : str
        Its name in the plan.
    unchanged_since : float
        The first behaviour that gives its results of today; infinite where each gives its own.
    trials : tuple of Measured
        By seed.
    """

    model: str
    unchanged_since: float
    trials: tuple[Measured, ...]

    @property
    def made_by(self) -> str:
        """Version and behaviour that made the trials."""
        return ", ".join(dict.fromkeys(trial.made_by for trial in self.trials))

    def having(self, variant: str) -> Result | None:
        """The seeds whose targets were ranked by a variant; None if there are none."""
        trials = tuple(trial for trial in self.trials if variant in trial.variants())
        return Result(self.model, self.unchanged_since, trials) if trials else None

    def by_seed(self, measure: str = NDCG, variant: str = WHOLE, group: str = ALL) -> np.ndarray:
        """Mean of a measure over a group's rows, one number for each seed."""
        return np.array([trial.quality(measure, variant, group) for trial in self.trials])

    @property
    def timed(self) -> list[Measured]:
        """Trials whose CPU seconds and memory tell the cost: those that no GPU took part in."""
        return [trial for trial in self.trials if trial["device"] == CPU]

    @property
    def best_valid(self) -> float:
        """Validation NDCG@10 of the best epoch, mean over seeds."""
        return float(np.mean([trial.valid.max() for trial in self.trials]))

    @property
    def epochs_to_best(self) -> float:
        """Epochs up to the best one, mean over seeds."""
        return float(np.mean([trial.valid.argmax() + 1 for trial in self.trials]))

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
        for trial in self.timed:
            wanted = trial.valid.max() if quality is None else quality
            reached = np.flatnonzero(trial.valid >= wanted)
            if len(reached):
                found.append(float(trial.cpu_seconds[: reached[0] + 1].sum()))
        return found


class Gain(NamedTuple):
    """How much better a model is than another on the same test rows.

    Attributes
    ----------
    relative : float
        ``mean / mean of the other - 1``; infinite if the other has 0.
    p : float or None
        Two-sided p-value, corrected for the number of comparisons; None if it is not known.
    """

    relative: float
    p: float | None

    @property
    def is_significant(self) -> bool:
        """Whether p < 0.05."""
        return self.p is not None and self.p < 0.05


class Results:
    """All results of a plan: what stands in ``results.csv``, and trials run since.

    Parameters
    ----------
    plan : Plan
        The benchmark.
    folder : Path
        Holds ``results.csv``, ``comparisons.csv`` and ``trials/``.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.store = Store(folder / "trials")
        self.trials = measured.read(folder)
        self.collect()
        self._comparisons = Comparisons(folder, self.store)

    def collect(self) -> None:
        """Take in the trials that were run since, and choose each model's option set anew."""
        plan = self.plan.all()
        for key, behaviour in self.store.newest().items():
            known = self.trials.get(key)
            if key in plan and (known is None or known.behaviour < behaviour):
                record = self.store.read(key, behaviour)
                assert record is not None
                rows = self.store.read_rows(record["rows"])
                self.trials[key] = measured.measure(plan[key], record, rows)
        self.chosen = self._choose_options()

    def write(self) -> None:
        """Write ``results.csv`` and ``comparisons.csv``."""
        measured.write(self.folder, self.trials.values())
        self._comparisons.write()

    def lacks(self, trial: Trial, renew: bool) -> bool:
        """Whether a trial is to be run; with ``renew`` also if an older behaviour made it."""
        if trial.key not in self.trials:
            return True
        made_by = self.trials[trial.key].behaviour
        return renew and not comparable(made_by, BEHAVIOUR, _unchanged_since(trial))

    def _choose_options(self) -> dict[tuple[str, str], int]:
        """The option set of each dataset and model with the best validation NDCG@10."""
        best: dict[tuple[str, str], tuple[float, int]] = {}
        for trial in self.plan.tuning():
            if trial.key in self.trials:
                pair = (trial.dataset, trial.model)
                found = (self.trials[trial.key].valid.max(), -trial.options)
                best[pair] = max(best.get(pair, found), found)
        return {pair: -options for pair, (_, options) in best.items()}

    def get(self, dataset: str, model: str, condition: str, seeds: Sequence[int]) -> Result | None:
        """Gather a model's seeds, of the newest behaviour alone; None if none is finished."""
        options = self.chosen.get((dataset, model), 0)
        planned = [self.plan.trial(dataset, model, condition, options, seed) for seed in seeds]
        trials = [self.trials[trial.key] for trial in planned if trial.key in self.trials]
        if not trials:
            return None
        unchanged_since = _unchanged_since(planned[0])
        newest = max(trial.behaviour for trial in trials)
        joined = (t for t in trials if comparable(t.behaviour, newest, unchanged_since))
        return Result(model, unchanged_since, tuple(joined))

    def of_study(self, study: Study, dataset: str, condition: str = FULL) -> dict[str, Result]:
        """Results of a study's models on a dataset, by model; unfinished ones are left out."""
        found = {model: self.get(dataset, model, condition, study.seeds) for model in study.models}
        return {model: result for model, result in found.items() if result is not None}

    def gains(
        self, ours: str | None, found: Mapping[str, Result], variant: str = WHOLE, group: str = ALL
    ) -> dict[str, Gain]:
        """Compare a model with all others on the same test rows, if behaviours allow it.

        Parameters
        ----------
        ours : str or None
            The one that may be better.
        found : Mapping of str to Result
            By model, ours among them.
        variant, group : str
            Of the rankings, and of the rows that count.

        Returns
        -------
        dict of str to Gain
            By the other's name; p-values are corrected for their number (Holm). Not in it are
            models whose test rows are others, or whose behaviour does not compare.
        """
        if ours is None or ours not in found:
            return {}
        mine = found[ours]
        others = [name for name, it in found.items() if name != ours and _fit(mine, it)]
        mean = mine.by_seed(NDCG, variant, group).mean()
        raw = {
            name: self._comparisons.p(mine.trials, found[name].trials, variant, group)
            for name in others
        }
        # One that is not known counts as large: so the others are corrected too much, if at all.
        corrected = correct([1.0 if p is None else p for p in raw.values()])
        gains = {}
        for name, p in zip(others, corrected):
            other = found[name].by_seed(NDCG, variant, group).mean()
            relative = float(mean / other - 1) if other else np.inf
            gains[name] = Gain(relative, None if raw[name] is None else p)
        return gains

    def machines(self) -> Counter[str]:
        """Count the finished trials by what they ran on: a GPU, or else the processor."""
        plan = {t.key for t in (*self.plan.tuning(), *self.plan.measuring(self.chosen))}
        trials = [trial for key, trial in self.trials.items() if key in plan]
        return Counter(t["machine"] if t["device"] == CPU else t["device"] for t in trials)


def our_model(plan: Plan, models: Iterable[str]) -> str | None:
    """Give the first of the models that is of the kind ``model``; None if none is."""
    return next((name for name in models if plan.models[name].kind == "model"), None)


def _fit(one: Result, other: Result) -> bool:
    """Whether two results are of the same test rows, and of behaviours that compare."""
    rows = {trial["rows_id"] for result in (one, other) for trial in result.trials}
    since = min(one.unchanged_since, other.unchanged_since)
    return len(rows) == 1 and all(
        comparable(a.behaviour, b.behaviour, since) for a in one.trials for b in other.trials
    )


def _unchanged_since(trial: Trial) -> float:
    if trial.spec["model"] not in MODELS:
        return SHARED_BEHAVIOUR
    return ID_BEHAVIOUR if trial.spec["settings"].get("modalities") == [] else np.inf
