"""What a run of RecBole knows at its end beside the result that ``run_recbole`` returns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outcome:
    """Facts of a run in this process, known once it has measured the test data.

    Attributes
    ----------
    epochs : int or None
        Epochs trained; None for a trainer that does not count them.
    branches : dict of str to dict
        Test metrics of each branch alone, for a model that has several.
    """

    epochs: int | None = None
    branches: dict[str, dict[str, float]] = field(default_factory=dict)


@contextmanager
def keep_outcome() -> Iterator[Outcome]:
    """Watch a run in this process.

    Yields
    ------
    Outcome
        Filled in while ``run_recbole`` runs inside the ``with`` block.
    """
    from recbole.quick_start import quick_start

    outcome = Outcome()
    get_trainer, prepare = quick_start.get_trainer, quick_start.data_preparation
    test_data: list[Any] = []

    def get_watched_trainer(*names: Any) -> Any:
        def make(*args: Any) -> Any:
            trainer = get_trainer(*names)(*args)
            evaluate = trainer.evaluate

            def watched(eval_data: Any, *args: Any, **kwargs: Any) -> Any:
                result = evaluate(eval_data, *args, **kwargs)
                if any(eval_data is data for data in test_data):
                    outcome.epochs = len(trainer.train_loss_dict) or None
                    outcome.branches = _measure_branches(trainer.model, evaluate, eval_data)
                return result

            trainer.evaluate = watched
            return trainer

        return make

    def remember_test_data(*args: Any) -> Any:
        loaders = prepare(*args)
        test_data.append(loaders[2])
        return loaders

    quick_start.get_trainer = get_watched_trainer
    quick_start.data_preparation = remember_test_data
    try:
        yield outcome
    finally:
        quick_start.get_trainer, quick_start.data_preparation = get_trainer, prepare


def _measure_branches(model: Any, evaluate: Any, test_data: Any) -> dict[str, dict[str, float]]:
    names = getattr(model, "branches", [])
    if len(names) < 2:
        return {}
    metrics = {}
    for name in names:
        with model.scoring_with([name]):
            result = evaluate(test_data, load_best_model=False, show_progress=False)
        metrics[name] = {metric: float(value) for metric, value in result.items()}
    return metrics
