"""Filters say what they leave out."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from .fixes import extends

_DATASET = "recbole.data.dataset.dataset:Dataset"
_BY_FILES = "_filter_inter_by_user_or_item"

# RecBole's filters in the order in which they are applied, and the options of each.
_OPTIONS = {
    "_filter_nan_user_or_item": ("USER_ID_FIELD", "ITEM_ID_FIELD"),
    "_filter_by_field_value": ("val_interval",),
    _BY_FILES: ("filter_inter_by_user_or_item",),
    "_filter_by_inter_num": ("user_inter_num_interval", "item_inter_num_interval"),
}


@extends(*(f"{_DATASET}.{name}" for name in _OPTIONS))
def filter_rows(original: Any, self: Any) -> None:
    """Name the options of a filter that leaves nothing, and count rows of unknown users or items.

    data/dataset/dataset.py:1063 says "some feat is empty", whatever emptied it. The filter of
    line 1089 is on by default: it drops interactions whose item is not in the ``.item`` file, and
    does not say so.
    """
    before = {name: len(getattr(self, name)) for name in self.feat_name_list}
    original(self)
    for name, n_rows in before.items():
        if n_rows and not len(getattr(self, name)):
            options = _OPTIONS[original.__name__]
            given = " and ".join(f"{option}={self.config[option]!r}" for option in options)
            file = f"{self.dataset_name}.{name.removesuffix('_feat')}"
            raise UserError(
                f"The filter {given} leaves none of the {n_rows} rows of {file}.",
                "Give a filter that keeps some, or leave it out.",
            )
    if original.__name__ != _BY_FILES:
        return
    dropped = before["inter_feat"] - len(self.inter_feat)
    if dropped:
        self.logger.warning(
            f"{dropped} of {before['inter_feat']} interactions are left out: their users or items "
            f"are not in the .user or .item file ({_OPTIONS[_BY_FILES][0]})."
        )


@extends(f"{_DATASET}._parse_intervals_str")
def parse_intervals(original: Any, self: Any, intervals_str: Any) -> Any:
    """Refuse what is no interval.

    data/dataset/dataset.py:1003 warns, and filters nothing.
    """
    if intervals_str is None:
        return None
    try:
        intervals = original(self, intervals_str)
    except (ValueError, IndexError):
        intervals = []
    n_given = str(intervals_str).count(";") + 1
    if len(intervals) < n_given or any(not low <= high for _, low, high, _ in intervals):
        raise UserError(
            f"{intervals_str!r} is no interval (user_inter_num_interval, "
            "item_inter_num_interval, val_interval).",
            'Write it as "[5,inf)", several as "[1,3];[5,inf)".',
        )
    return intervals
