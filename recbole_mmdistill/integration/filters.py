"""Filters say what they leave out."""

from __future__ import annotations

from typing import Any

from ..errors import UserError, near, show
from .fixes import extends

_DATASET = "recbole.data.dataset.dataset:Dataset"
_OF_COLUMNS = (
    *("val_interval", "alias_of_user_id", "alias_of_item_id", "normalize_field", "threshold"),
    *("numerical_features", "discretization", "preload_weight"),
)
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


@extends(f"{_DATASET}._init_alias")
def check_columns(original: Any, self: Any) -> None:
    """Refuse options that name columns which are not loaded, by the option's name.

    data/dataset/dataset.py:1040 says "Field [x] not defined in dataset", others fail on the key.
    """
    from recbole.utils import FeatureType

    for option in _OF_COLUMNS:
        given = self.config[option] or ()
        for name in [given] if isinstance(given, str) else given:
            if name not in self.field2type:
                raise UserError(
                    f"{option} names a column {name!r} that is not loaded.",
                    f"Loaded are {', '.join(self.field2type)}{near(str(name), self.field2type)}; "
                    "load_col says which are.",
                )
    for name, interval in (self.config["val_interval"] or {}).items():
        is_number = self.field2type[name] in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ)
        if is_number != isinstance(interval, str):
            raise UserError(
                f"{name!r} of val_interval is {show(interval)}, but the column is "
                f"{'a number' if is_number else 'no number'}.",
                'Give an interval such as "[5,inf)".'
                if is_number
                else "Give a list of its values.",
            )
    original(self)


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
