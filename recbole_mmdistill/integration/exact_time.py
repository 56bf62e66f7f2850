"""The order of time is exact.

Every sequential model, also one of RecBole's own, gets its interactions in their true order: the
time field stays in float64 until they are sorted and split.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pandas.api.types import is_numeric_dtype

from .fixes import extends

_DATASET = "recbole.data.dataset.sequential_dataset:SequentialDataset"


@extends("recbole.data.dataset.dataset:Dataset._dataframe_to_interaction")
def dataframe_to_interaction(original: Any, self: Any, data: Any) -> Any:
    """Keep the timestamps of a sequential model's data in float64.

    data/dataset/dataset.py:2207 makes them float32, in which unix seconds lose the last 64 s: 149
    of ml-100k's 943 test items are then not the users' last.
    """
    from recbole.data.dataset import SequentialDataset

    interaction = original(self, data)
    time = self.time_field
    if isinstance(self, SequentialDataset) and time in data and is_numeric_dtype(data[time]):
        # A copy, because pandas hands out arrays that may not be written to.
        interaction[time] = torch.tensor(data[time].to_numpy(dtype=np.float64))
    return interaction


@extends(f"{_DATASET}.data_augmentation")
def data_augmentation(original: Any, self: Any) -> None:
    """Sort by the exact time before rows are made, and keep it for the split.

    data/dataset/sequential_dataset.py:100 sorts by the rounded time, and line 141 copies it into a
    list for each row.
    """
    time = self.time_field
    if time not in self.inter_feat:
        return original(self)
    self.sort(by=[self.uid_field, time], ascending=True)
    # RecBole copies the column into one list for each row; in float32 these are what they were.
    # Its own sort, stable as it is, leaves the order alone: rounding keeps it.
    exact = self.inter_feat[time]
    self.inter_feat[time] = exact.float()
    user = self.inter_feat[self.uid_field]
    original(self)
    # One row of each interaction that has one of the same user before it, in this order.
    self.inter_feat[time] = exact[1:][user[1:] == user[:-1]]
    return None


@extends(f"{_DATASET}.build")
def build(original: Any, self: Any) -> Any:
    """Give models the time in float32 once it has been split by.

    data/dataset/sequential_dataset.py:225 sorts by time to split; models expect float32.
    """
    datasets = original(self)
    for dataset in (self, *datasets):
        if self.time_field in dataset.inter_feat:
            dataset.inter_feat[self.time_field] = dataset.inter_feat[self.time_field].float()
    return datasets
