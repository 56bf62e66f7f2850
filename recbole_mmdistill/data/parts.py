"""What a dataset must have before its histories are made, and which file each interaction is of."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UserError

PART = "benchmark_part"  # column of the rows' file numbers, from the making of rows to the split
# Fields of a batch of windows: where its targets stand. A GPU would have to be waited for.
TARGET_ROW, TARGET_POSITION = "target_row", "target_position"


def item_list_field(dataset: Any) -> str:
    """Name of the column that holds the items of histories, by default ``item_id_list``."""
    return dataset.iid_field + dataset.config["LIST_SUFFIX"]


def has_lists(dataset: Any) -> bool:
    """Whether each row was read with its history beside it, as files of a benchmark may have it."""
    return (
        dataset.benchmark_filename_list is not None
        and item_list_field(dataset) in dataset.inter_feat
    )


def is_of_interactions(dataset: Any) -> bool:
    """Whether the files of ``benchmark_filename`` hold interactions, not yet made into rows."""
    return dataset.benchmark_filename_list is not None and not has_lists(dataset)


def part_of_interactions(dataset: Any) -> np.ndarray:
    """Number of the file that each interaction was read from, int64 ``[n_interactions]``."""
    sizes = dataset.file_size_list
    return np.repeat(np.arange(len(sizes)), sizes)


def check_time(dataset: Any) -> None:
    """Refuse interactions without a time, of which histories are to be made.

    Raises
    ------
    UserError
        The column ``TIME_FIELD`` is not loaded.
    """
    if dataset.time_field not in dataset.inter_feat:
        raise UserError(
            f"The interactions of {dataset.dataset_name} have no column {dataset.time_field} "
            "(TIME_FIELD), so their order is not known.",
            "Name the column of the times in TIME_FIELD, and in load_col.",
        )


def check_history(dataset: Any) -> None:
    """Refuse a dataset without any row, which is to be split next.

    Raises
    ------
    UserError
        No user has two interactions.
    """
    if not len(dataset.inter_feat):
        raise UserError(
            f"In {dataset.dataset_name} no user has two interactions, so there is no history to "
            "predict from.",
            f"Check the filters, and that {dataset.uid_field} (USER_ID_FIELD) tells users.",
        )
