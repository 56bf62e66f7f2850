"""Evaluation takes batches whose scores fit the memory."""

from __future__ import annotations

from typing import Any

from .fixes import extends

_LOADERS = "recbole.data.dataloader.general_dataloader"
_MOST_SCORES = 2**26  # of a batch that is ranked, rows times items: 256 MiB


@extends(f"{_LOADERS}:NegSampleEvalDataLoader._init_batch_size_and_step")
def bound_sampled_batch(original: Any, self: Any) -> None:
    """Take a part without rows, such as no validation; rank no more rows at once than fit.

    data/dataloader/general_dataloader.py:128 looks at the first row. trainer/trainer.py:555 holds a
    score for every item even where a few are ranked.
    """
    if not self.sample_size:
        self.step = self.config["eval_batch_size"]
        self.set_batch_size(self.step)
        return
    original(self)
    if self.neg_sample_args["distribution"] != "none":
        self.step = min(self.step, most_rows(self._dataset.item_num))


@extends(f"{_LOADERS}:FullSortEvalDataLoader._init_batch_size_and_step")
def bound_full_batch(original: Any, self: Any) -> None:
    """Rank no more rows of a sequential model at once than fit.

    data/dataloader/general_dataloader.py:233 takes eval_batch_size rows, however many items each
    of them ranks.
    """
    original(self)
    if self.is_sequential:
        self.step = min(self.step, most_rows(self._dataset.item_num))
        self.set_batch_size(self.step)


def most_rows(n_items: int) -> int:
    """How many rows are ranked at once at most: their scores take 256 MiB, or there is one."""
    return max(1, _MOST_SCORES // n_items)
