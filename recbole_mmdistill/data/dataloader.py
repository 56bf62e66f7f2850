"""The training dataloader of windows."""

from __future__ import annotations

from typing import Any

import numpy as np
from recbole.data.dataloader import TrainDataLoader
from recbole.data.interaction import Interaction

from .parts import TARGET_POSITION, TARGET_ROW


class WindowDataLoader(TrainDataLoader):
    """Draws windows; ``train_batch_size`` means targets, as it does for RecBole's rows.

    So a step sees as many targets, and an epoch has as many steps, as with RecBole's own loader.
    """

    epoch = -1  # the last one begun; a checkpoint keeps it

    def _init_batch_size_and_step(self) -> None:
        self.step = self._dataset.windows_per_batch(self.config["train_batch_size"])
        self.set_batch_size(self.step)

    def __iter__(self) -> Any:
        """Begin an epoch, with the histories cut into windows anew."""
        self.epoch += 1
        self._dataset.cut_into_windows(self.epoch)
        return super().__iter__()

    def collate_fn(self, index: Any) -> Interaction:
        """Draw the windows of a batch, and say where their targets are."""
        batch = self._dataset[np.asarray(index)]
        row, position = batch[self._dataset.target_list_field].nonzero(as_tuple=True)
        batch.update(Interaction({TARGET_ROW: row, TARGET_POSITION: position}))
        return batch
