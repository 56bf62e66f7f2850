"""Interactions that were split before: RecBole's ``benchmark_filename``.

RecBole takes three files, whose every row has its history as a list. Here there may be two, for
training and for test; and files of plain interactions, of which histories are made: what a user
did before in time, whatever file it stands in. The file says what a row is for.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def install() -> None:
    """Let RecBole's datasets take files that are split already, of each kind."""
    from recbole.data.dataset import Dataset, SequentialDataset

    load = Dataset._load_inter_feat
    build = Dataset.build
    change_format = SequentialDataset._change_feat_format

    def _load_inter_feat(self: Any, token: str, dataset_path: str) -> None:
        """Check the files before they are read, and drop rows without a user, item or history.

        dataset.py:297 names no option when a file is missing, and :161 drops no row of these
        files: an item that is missing becomes the padding item.
        """
        if self.benchmark_filename_list is None:
            return load(self, token, dataset_path)
        paths = _paths(self.config, token, dataset_path)
        columns = [_columns(path, self.config) for path in paths]
        load(self, token, dataset_path)
        _drop_incomplete(self, paths)
        if isinstance(self, SequentialDataset):
            _check_columns(self, paths, columns)
        return None

    def _benchmark_presets(self: Any) -> None:
        """Read lists of any length, and of any item field (sequential_dataset.py:154).

        RecBole knows the name item_id alone, and takes the first items of a list that is too long
        but the length of all of it.
        """
        if has_lists(self):
            _shorten_lists(self)

    def _change_feat_format(self: Any) -> None:
        """Make rows of plain interactions, too (sequential_dataset.py:46 leaves such files)."""
        if not has_lists(self):
            check_time(self)
        if not is_of_interactions(self):
            change_format(self)
        else:
            super(SequentialDataset, self)._change_feat_format()
            user, time = self.inter_feat[self.uid_field], self.inter_feat[self.time_field]
            order = flat_order(user.numpy(), (time if time.dim() == 1 else time[..., 0]).numpy())
            row = order[make_rows(user.numpy()[order], 1).target]
            part = part_of_interactions(self)[row]
            self.data_augmentation()
            self.inter_feat[PART] = torch.from_numpy(part)
        check_history(self)

    def _split_by_file(self: Any) -> list[Any]:
        part = self.inter_feat.interaction.pop(PART).numpy()
        self._drop_unused_col()
        rows = [np.flatnonzero(part == number) for number in range(len(self.file_size_list))]
        return [self.copy(self.inter_feat[index]) for index in rows]

    def built(self: Any) -> list[Any]:
        """Split by file where there are files; give three parts where two are asked for.

        data/utils.py:168 takes three: for training, validation and test.
        """
        if isinstance(self, SequentialDataset) and is_of_interactions(self):
            self._change_feat_format()
            self.sort(by=self.time_field)
            parts = self._split_by_file()
        else:
            parts = build(self)
        if len(parts) == 2:
            parts.insert(1, parts[0].copy(parts[0].inter_feat[:0]))
        return parts

    Dataset._load_inter_feat = _load_inter_feat
    Dataset.build = built
    SequentialDataset._benchmark_presets = _benchmark_presets
    SequentialDataset._change_feat_format = _change_feat_format
    SequentialDataset._split_by_file = _split_by_file


def _paths(config: Any, token: str, dataset_path: str) -> list[Path]:
    """Paths of the files, which all are there."""
    names = config["benchmark_filename"]
    if not isinstance(names, (list, tuple)) or len(names) not in (2, 3):
        raise UserError(
            f"benchmark_filename is {names!r}.",
            "Name three files, [train, valid, test], or two, [train, test].",
        )
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


def _columns(path: Path, config: Any) -> set[str]:
    """Names of a file's columns."""
    encoding = config["encoding"] or "utf-8"
    with open(path, encoding=encoding, errors="replace") as file:
        header = file.readline().lstrip("\ufeff").rstrip("\r\n")
    return {column.partition(":")[0] for column in header.split(config["field_separator"])}


def _drop_incomplete(dataset: Any, paths: Sequence[Path]) -> None:
    """Drop rows without a user or an item, or with an empty history; they are counted."""
    frame = dataset.inter_feat
    complete = np.ones(len(frame), dtype=bool)
    for field in (dataset.uid_field, dataset.iid_field):
        if field in frame:
            complete &= frame[field].notna().to_numpy()
    if item_list_field(dataset) in frame:
        lists = frame[item_list_field(dataset)]
        complete &= np.array([not isinstance(row, float) and len(row) > 0 for row in lists], bool)
    part = part_of_interactions(dataset)
    n_kept = np.bincount(part[complete], minlength=len(paths)).tolist()
    for path, n_rows, kept in zip(paths, dataset.file_size_list, n_kept):
        if kept < n_rows:
            getLogger().warning(
                f"{path.name}: {n_rows - kept} of {n_rows} rows have no user, no item or an empty "
                "history, and are dropped."
            )
    if not complete.any():
        raise UserError(
            f"{' and '.join(path.name for path in paths)} (benchmark_filename) hold no row with a "
            "user and an item.",
            "Check the files.",
        )
    dataset.inter_feat = frame[complete].reset_index(drop=True)
    dataset.file_size_list = n_kept


def _check_columns(dataset: Any, paths: Sequence[Path], columns: Sequence[set[str]]) -> None:
    """Refuse lists that are not read, and columns that some files lack; give rows a time.

    Without a column of time the rows are in the order of the files and of their lines.
    """
    from recbole.utils import FeatureSource, FeatureType

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
    if any(list_field in names for names in columns):
        if dataset.field2type.get(list_field) != FeatureType.TOKEN_SEQ:
            raise UserError(
                f"{paths[0].name} has a column {list_field}, which is not read as a list of items.",
                f"Name it {list_field}:token_seq in the header, and in load_col.",
            )
    elif time is not None and not any(time in names for names in columns):
        dataset.inter_feat[time] = np.arange(len(dataset.inter_feat), dtype=np.float64)
        dataset.set_field_property(time, FeatureType.FLOAT, FeatureSource.INTERACTION, 1)
        getLogger().warning(
            f"{dataset.dataset_name} has no column {time} (TIME_FIELD): its interactions are taken "
            f"in the order of {', '.join(path.name for path in paths)}."
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
