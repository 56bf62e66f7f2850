"""Files that are split already may be two, and of plain interactions.

RecBole takes three files, whose every row has its history as a list. Here histories are made of
plain interactions: what a user did before in time, whichever file it is in.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.parts import (
    PART,
    check_history,
    check_time,
    has_lists,
    is_of_interactions,
    item_list_field,
    part_of_interactions,
)
from ..data.sequences import flat_order, make_rows
from ..errors import UserError
from .atomic_files import open_file
from .fixes import extends, replaces

_DATASET = "recbole.data.dataset.dataset:Dataset"
_SEQUENTIAL = "recbole.data.dataset.sequential_dataset:SequentialDataset"


@extends(f"{_DATASET}._load_inter_feat")
def load_inter_feat(original: Any, self: Any, token: str, dataset_path: str) -> None:
    """Check the files before they are read, and drop rows with an empty history.

    data/dataset/dataset.py:315 names no option when a file is missing. Line 161 drops no row of
    these files.
    """
    from recbole.data.dataset import SequentialDataset

    if self.benchmark_filename_list is None:
        return original(self, token, dataset_path)
    paths = _paths(self.config, token, dataset_path)
    columns = [open_file(path, self.config).types for path in paths]
    original(self, token, dataset_path)
    _drop_empty_histories(self, paths)
    if isinstance(self, SequentialDataset):
        _check_columns(self, paths, columns)
    return None


@replaces(f"{_SEQUENTIAL}._benchmark_presets")
def benchmark_presets(self: Any) -> None:
    """Read lists of items of any length, and under any name of the item field.

    data/dataset/sequential_dataset.py:164 knows the name item_id alone, and takes the first items
    of a list that is too long but the length of all of it.
    """
    if has_lists(self):
        _shorten_lists(self)


@extends(f"{_SEQUENTIAL}._change_feat_format")
def change_feat_format(original: Any, self: Any) -> None:
    """Make histories of files of plain interactions, too.

    data/dataset/sequential_dataset.py:46 leaves such files as they are, without histories.
    """
    from recbole.data.dataset import Dataset

    if not has_lists(self):
        check_time(self)
    if is_of_interactions(self):
        Dataset._change_feat_format(self)
        user, time = self.inter_feat[self.uid_field], self.inter_feat[self.time_field]
        order = flat_order(user.numpy(), (time if time.dim() == 1 else time[..., 0]).numpy())
        row = order[make_rows(user.numpy()[order], 1).target]
        part = part_of_interactions(self)[row]
        self.data_augmentation()
        self.inter_feat[PART] = torch.from_numpy(part)
    else:
        original(self)
    check_history(self)


@extends(f"{_DATASET}.build")
def build(original: Any, self: Any) -> list[Any]:
    """Split rows by the file that each comes from, and take two files or shares, too.

    data/dataset/dataset.py:1816 cuts at the files' numbers of interactions, which are not those of
    rows; data/utils.py:168 takes three parts only.
    """
    from recbole.data.dataset import SequentialDataset

    if isinstance(self, SequentialDataset) and is_of_interactions(self):
        self._change_feat_format()
        self.sort(by=self.time_field)
        split_by_file = getattr(self, "split_by_file", None)
        parts = _split_by_file(self) if split_by_file is None else split_by_file()
    else:
        parts = original(self)
    if len(parts) == 2:
        parts.insert(1, parts[0].copy(parts[0].inter_feat[:0]))
    return parts


def _split_by_file(dataset: Any) -> list[Any]:
    part = dataset.inter_feat.interaction.pop(PART).numpy()
    dataset._drop_unused_col()
    rows = [np.flatnonzero(part == number) for number in range(len(dataset.file_size_list))]
    return [dataset.copy(dataset.inter_feat[index]) for index in rows]


def _paths(config: Any, token: str, dataset_path: str) -> list[Path]:
    """Paths of the files, which all are there."""
    names = config["benchmark_filename"]
    paths = [Path(dataset_path) / f"{token}.{name}.inter" for name in names]
    for path in paths:
        if not path.is_file():
            there = sorted(p.name for p in path.parent.glob(f"{token}.*.inter"))
            raise UserError(
                f"There is no {path.name} in {path.parent}, which benchmark_filename {names} asks "
                "for.",
                f"There are {', '.join(there)}." if there else "Put it there.",
            )
    return paths


def _drop_empty_histories(dataset: Any, paths: Sequence[Path]) -> None:
    """Drop rows whose list of items is empty, and count them."""
    frame, field = dataset.inter_feat, item_list_field(dataset)
    if field not in frame:
        return
    kept = np.array([not isinstance(items, float) and len(items) > 0 for items in frame[field]])
    if not kept.any():
        raise UserError(
            f"{' and '.join(path.name for path in paths)} (benchmark_filename) hold no row with a "
            "history.",
            f"Fill in the column {field}.",
        )
    n_kept = np.bincount(part_of_interactions(dataset)[kept], minlength=len(paths)).tolist()
    for path, n_rows, n in zip(paths, dataset.file_size_list, n_kept):
        if n < n_rows:
            getLogger().warning(
                f"{path.name}: {n_rows - n} of {n_rows} rows are dropped: their history is empty."
            )
    dataset.inter_feat = frame[kept].reset_index(drop=True)
    dataset.file_size_list = n_kept


def _check_columns(dataset: Any, paths: Sequence[Path], columns: Sequence[Container[str]]) -> None:
    """Refuse lists that are not read, and columns that some files lack."""
    from recbole.utils import FeatureType

    list_field, time = item_list_field(dataset), dataset.time_field
    for field in (dataset.uid_field, dataset.iid_field, list_field, time):
        lacking = [path for path, names in zip(paths, columns) if field not in names]
        if lacking and (
            len(lacking) < len(paths) or field in (dataset.uid_field, dataset.iid_field)
        ):
            raise UserError(
                f"{lacking[0].name} (benchmark_filename) has no column {field}.",
                "Give all files the same columns.",
            )
    is_read = dataset.field2type.get(list_field) == FeatureType.TOKEN_SEQ
    if list_field in columns[0] and not is_read:
        raise UserError(
            f"{paths[0].name} has a column {list_field}, which is not read as a list of items.",
            f"Name it {list_field}:token_seq in the header, and in load_col.",
        )


def _shorten_lists(dataset: Any) -> None:
    """Keep the last items of each list, as many as a model reads, and count them."""
    from recbole.utils import FeatureSource, FeatureType

    frame, suffix = dataset.inter_feat, dataset.config["LIST_SUFFIX"]
    list_field, width = item_list_field(dataset), dataset.max_item_list_len
    names = dataset.field2id_token
    if not np.array_equal(names[list_field], names[dataset.iid_field]):
        raise UserError(
            f"The items of {list_field} are numbered apart from those of {dataset.iid_field}.",
            f"Say alias_of_item_id: [{list_field}].",
        )
    for field in [field for field in frame if field.endswith(suffix)]:
        frame[field] = [_last(cell, width) for cell in frame[field]]
        dataset.field2seqlen[field] = min(dataset.field2seqlen[field], width)
        if field.removesuffix(suffix) in frame:
            setattr(dataset, f"{field.removesuffix(suffix)}_list_field", field)
    length = dataset.item_list_length_field
    dataset.set_field_property(length, FeatureType.TOKEN, FeatureSource.INTERACTION, 1)
    frame[length] = [len(items) for items in frame[list_field]]


def _last(cell: Any, width: int) -> Any:
    """The end of a list; of a numerical feature there are two lists in a cell."""
    return tuple(part[-width:] for part in cell) if isinstance(cell, tuple) else cell[-width:]
