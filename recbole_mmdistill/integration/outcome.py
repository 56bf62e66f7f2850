"""Keeps hold of what a run of RecBole has built, which ``run_recbole`` does not return."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outcome:
    """Trainer and dataloaders of the last run; None before it, and where it ran elsewhere.

    Attributes
    ----------
    trainer : recbole.trainer.Trainer or None
        With the best model loaded.
    test_data : recbole.data.dataloader.AbstractDataLoader or None
        The test dataloader.
    """

    trainer: Any = None
    test_data: Any = field(default=None, repr=False)


@contextmanager
def keep_outcome() -> Iterator[Outcome]:
    """Remember the trainer and the test data of a run in this process.

    Yields
    ------
    Outcome
        Filled in while ``run_recbole`` runs inside the ``with`` block.
    """
    from recbole.quick_start import quick_start

    outcome = Outcome()
    get_trainer, prepare = quick_start.get_trainer, quick_start.data_preparation

    def remember_trainer(*names: Any) -> Any:
        def make(*args: Any) -> Any:
            outcome.trainer = get_trainer(*names)(*args)
            return outcome.trainer

        return make

    def remember_data(*args: Any) -> Any:
        loaders = prepare(*args)
        outcome.test_data = loaders[2]
        return loaders

    quick_start.get_trainer, quick_start.data_preparation = remember_trainer, remember_data
    try:
        yield outcome
    finally:
        quick_start.get_trainer, quick_start.data_preparation = get_trainer, prepare
