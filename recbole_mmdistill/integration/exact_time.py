"""Time order without rounding, for every sequential model.

data/dataset/dataset.py:2207 turns timestamps into float32 before they are sorted: unix seconds
lose the last 64 s, and 149 of ml-100k's 943 test items are then not the users' last. Here the
time field stays in float64 until the interactions are sorted and split; models get float32 as
before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pandas.api.types import is_numeric_dtype


def install() -> None:
    """Mend ``SequentialDataset``, and so every dataset of a sequential model."""
    from recbole.data.dataset import SequentialDataset

    convert = SequentialDataset._dataframe_to_interaction
    augment = SequentialDataset.data_augmentation
    build = SequentialDataset.build

    def _dataframe_to_interaction(self: Any, data: Any) -> Any:
        interaction = convert(self, data)
        time = self.time_field
        if time in data and is_numeric_dtype(data[time]):
            # A copy, because pandas hands out arrays that may not be written to.
            interaction[time] = torch.tensor(data[time].to_numpy(dtype=np.float64))
        return interaction

    def data_augmentation(self: Any) -> None:
        time = self.time_field
        if time not in self.inter_feat:
            return augment(self)
        self.sort(by=[self.uid_field, time], ascending=True)
        # RecBole copies the column into one list for each row; in float32 these are what they
        # were. Its own sort, stable as it is, leaves the order alone: rounding keeps it.
        exact = self.inter_feat[time]
        self.inter_feat[time] = exact.float()
        user = self.inter_feat[self.uid_field]
        augment(self)
        # One row of each interaction that has one of the same user before it, in this order.
        self.inter_feat[time] = exact[1:][user[1:] == user[:-1]]
        return None

    def built(self: Any) -> Any:
        datasets = build(self)
        for dataset in (self, *datasets):
            if self.time_field in dataset.inter_feat:
                dataset.inter_feat[self.time_field] = dataset.inter_feat[self.time_field].float()
        return datasets

    SequentialDataset._dataframe_to_interaction = _dataframe_to_interaction
    SequentialDataset.data_augmentation = data_augmentation
    SequentialDataset.build = built
