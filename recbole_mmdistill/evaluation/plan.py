"""What a benchmark consists of: studies, and the trials that they ask for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

FULL = "full"  # the condition in which nothing is taken away


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
        RecBole's names of model and dataset, all settings, and the modalities by which the test
        rows are grouped. With the package's behaviour it decides the trial's result.
    """

    dataset: str
    model: str
    condition: str
    options: int
    seed: int
    spec: dict[str, Any] = field(compare=False)

    @property
    def key(self) -> str:
        """Hash of :attr:`spec`."""
        text = json.dumps(self.spec, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]

    def __str__(self) -> str:
        condition = "" if self.condition == FULL else f", {self.condition}"
        return (
            f"{self.model} on {self.dataset}{condition}, options {self.options}, seed {self.seed}"
        )


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
        spec = {
            "model": of_model.recbole,
            "dataset": recbole_dataset,
            "settings": settings,
            "grouped_by": list(of_dataset.get("modalities") or []),
        }
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

    def all(self) -> dict[str, Trial]:
        """Every trial that the plan can come to ask for, by its key."""
        trials = [*self.tuning()]
        for study in self.studies:
            for dataset, model, condition, seed in product(
                study.datasets, study.models, study.conditions, study.seeds
            ):
                for options in range(len(self.models[model].options)):
                    trials.append(self.trial(dataset, model, condition, options, seed))
        return {trial.key: trial for trial in reversed(trials)}  # the first name is taken

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
