"""Atomic files are read as they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..atomic import AtomicFile, wrong_line
from ..errors import UserError, near
from .fixes import replaces

# The options that name a file's ids, by its suffix: a row counts for nothing without one of them.
_ID_OPTIONS = {
    "inter": ("USER_ID_FIELD", "ITEM_ID_FIELD"),
    "user": ("USER_ID_FIELD",),
    "item": ("ITEM_ID_FIELD",),
    "kg": ("HEAD_ENTITY_ID_FIELD", "RELATION_ID_FIELD", "TAIL_ENTITY_ID_FIELD"),
    "link": ("ITEM_ID_FIELD", "ENTITY_ID_FIELD"),
}
_PAD = "[PAD]"
_NEEDED = ("inter", "kg", "link")


@replaces("recbole.data.dataset.dataset:Dataset._load_feat")
def load_feat(self: Any, filepath: str, source: Any) -> pd.DataFrame | None:
    """Read atomic files by this package's reader, which takes every cell as it is written.

    data/dataset/dataset.py:485 loses the rows between two quotation marks, takes ``NA`` for a
    missing token, fills short rows, shifts the columns of long ones, and says nothing of it. Here a
    malformed row is an error with its line.

    Rows without a user or an item, and second rows of one id in ``.user`` and ``.item``, are left
    out, as by RecBole, and counted in the log. A sequential model's ``.inter`` without times is
    taken in the order of its rows. Tokens are categories for a dataset that has
    ``token_categories``, else text.
    """
    from recbole.data.dataset import SequentialDataset
    from recbole.utils import FeatureSource, FeatureType

    suffix = source.value if isinstance(source, FeatureSource) else str(source)
    if self._get_load_and_unload_col(source)[0] == set() and suffix not in _NEEDED:
        return None
    file = open_file(filepath, self.config)
    time_field = None
    if suffix == "inter" and isinstance(self, SequentialDataset):
        time_field = _time_field(self, file)
    kept = _kept_fields(self, file, source, time_field)
    ids = _id_fields(self, file, suffix, kept)
    if suffix == "inter" and self.time_field in kept:
        file.column(self.time_field, "float", "TIME_FIELD")
    if not kept:
        self.logger.warning(f"No columns has been loaded from [{source}]")
        return None
    for field in kept if suffix != "link" else ():
        _check_source(self, file, field, source)
        self.field2source[field] = source
        self.field2type[field] = FeatureType(file.types[field])
        self.field2seqlen[field] = 1
        if file.types[field].startswith("float"):
            self.field2bucketnum[field] = 2
    frame = file.read(kept)
    if time_field in kept:
        _check_times(file, frame, time_field)
    for field in ids:
        _check_quotes(file, frame[field].cat.categories, field)
        _check_reserved(file, frame[field], field)
    frame = _drop_rows(self, file, frame, ids, is_unique=suffix in ("user", "item"))
    for field in kept:
        ftype = FeatureType(file.types[field])
        if ftype in (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ):
            _limit_length(self, frame, field)
        elif ftype is FeatureType.FLOAT:
            _log_missing(self, file, frame, field)
        elif not getattr(self, "token_categories", False):
            frame[field] = frame[field].astype(object)
    if time_field is not None and time_field not in kept:
        _count_rows(self, file, frame, time_field)
        self.set_field_property(time_field, FeatureType.FLOAT, source, 1)
        self.field2bucketnum[time_field] = 2
    return frame


def open_file(path: str | Path, config: Any) -> AtomicFile:
    """Open an atomic file as a config says, and read its header."""
    return AtomicFile(
        path,
        encoding=config["encoding"] or "utf-8",
        field_separator=config["field_separator"],
        seq_separator=config["seq_separator"],
    )


def _time_field(dataset: Any, file: AtomicFile) -> str | None:
    """Name of the column by which rows are ordered; None where the file's rows hold sequences."""
    listed = f"{dataset.iid_field}{dataset.config['LIST_SUFFIX']}"
    if dataset.benchmark_filename_list is not None and listed in file.types:
        return None
    if dataset.time_field is None:
        raise UserError(
            "TIME_FIELD is None, but a sequential model orders interactions by time.",
            "Name a column; if the file has none of that name, the order of its rows is taken.",
        )
    return dataset.time_field


def _kept_fields(dataset: Any, file: AtomicFile, source: Any, time_field: str | None) -> list[str]:
    """Columns that ``load_col`` and ``unload_col`` leave, which must not leave out the time."""
    load_col, unload_col = dataset._get_load_and_unload_col(source)
    for option, names in (("load_col", load_col), ("unload_col", unload_col)):
        for name in names or ():
            if name not in file.types and name != time_field:
                raise UserError(
                    f"{option} names a column {name!r} that {file.path} does not have.",
                    f"Its columns are {', '.join(file.types)}{near(str(name), file.types)}.",
                )
    kept = list(file.types)
    if load_col is not None:
        kept = [field for field in kept if field in load_col]
    if unload_col is not None:
        kept = [field for field in kept if field not in unload_col]
    if time_field in file.types and time_field not in kept:
        raise _left_out(file, time_field, "TIME_FIELD")
    return kept


def _id_fields(dataset: Any, file: AtomicFile, suffix: str, kept: list[str]) -> list[str]:
    options = {option: dataset.config[option] for option in _ID_OPTIONS.get(suffix, ())}
    fields = {option: field for option, field in options.items() if field is not None}
    for option, field in fields.items():
        file.column(field, "token", option)
        if field not in kept:
            raise _left_out(file, field, option)
    return list(fields.values())


def _left_out(file: AtomicFile, field: str | None, option: str) -> UserError:
    return UserError(
        f"load_col or unload_col leaves out the column {field!r} ({option}) of {file.path}.",
        "Load it too: it is needed.",
    )


def _check_source(dataset: Any, file: AtomicFile, field: str, source: Any) -> None:
    """Refuse a column that another file has too: RecBole would take one of them for the other."""
    before = dataset.field2source.get(field, source)
    ids = {".user": dataset.uid_field, ".item": dataset.iid_field}
    if before != source and field != ids.get(file.path.suffix):
        raise UserError(
            f"{file.path} has a column {field!r}, and so has .{getattr(before, 'value', before)}.",
            "Give it another name, or leave one of them out with unload_col.",
        )


def _check_quotes(file: AtomicFile, tokens: pd.Index, field: str) -> None:
    """Refuse an id with a quotation mark before it that closes nowhere, if it is there without.

    It is one id that became two, and to RecBole's own reader all up to the next mark is one cell.
    """
    quoted = tokens[tokens.str.match(r'"[^"]*$')]
    for token in quoted[quoted.str[1:].isin(tokens)][:1]:
        raise UserError(
            f"{file.path} has {token!r} in {field}, and {token[1:]!r} in other rows.",
            "Take out the quotation mark: here it is a part of the id.",
        )


def _check_reserved(file: AtomicFile, ids: pd.Series, field: str) -> None:
    """Refuse the id that RecBole gives to no user and no item."""
    is_reserved = (ids == _PAD).to_numpy()
    if is_reserved.any():
        raise wrong_line(
            file.path,
            file.line_of(int(is_reserved.argmax())),
            f"has {_PAD!r} in {field}, RecBole's own word for none",
            "Give it another id, or leave its rows out.",
        )


def _check_times(file: AtomicFile, frame: pd.DataFrame, time_field: str) -> None:
    missing = frame[time_field].isna().to_numpy()
    if missing.any():
        raise wrong_line(
            file.path,
            file.line_of(int(missing.argmax())),
            f"has no {time_field} ({missing.sum()} of {len(frame)} rows have none)",
            "Give each row its time, or leave the column out of the file: then its order counts.",
        )


def _drop_rows(
    dataset: Any, file: AtomicFile, frame: pd.DataFrame, ids: list[str], is_unique: bool
) -> pd.DataFrame:
    is_missing = frame[ids].isna().any(axis=1).to_numpy()
    is_again = np.zeros(len(frame), dtype=bool)
    if is_unique:
        is_again = frame.duplicated(ids).to_numpy() & ~is_missing
    reasons = {f"without {' or '.join(ids)}": is_missing, "of an id that came before": is_again}
    for reason, is_left_out in reasons.items():
        if is_left_out.any():
            line = file.line_of(int(is_left_out.argmax()))
            dataset.logger.warning(
                f"{is_left_out.sum()} of {len(frame)} rows of {file.path} are left out: rows "
                f"{reason}; the first is line {line}."
            )
    is_left_out = is_missing | is_again
    if is_missing.all():
        raise UserError(
            f"No row of {file.path} has {' and '.join(ids)}.", "Fill in the empty cells."
        )
    return frame[~is_left_out].reset_index(drop=True) if is_left_out.any() else frame


def _log_missing(dataset: Any, file: AtomicFile, frame: pd.DataFrame, field: str) -> None:
    missing = int(frame[field].isna().sum())
    if missing:
        dataset.logger.info(
            f"{missing} of {len(frame)} cells of {field} in {file.path} are empty: they count as "
            "the mean of the others."
        )


def _limit_length(dataset: Any, frame: pd.DataFrame, field: str) -> None:
    """Cut sequences as ``seq_len`` says, and note the length of the longest."""
    longest = int(frame[field].map(len).max())
    limit = (dataset.config["seq_len"] or {}).get(field)
    if limit is not None:
        frame[field] = [sequence[:limit] for sequence in frame[field]]
        longest = min(limit, longest)
    dataset.field2seqlen[field] = longest


def _count_rows(dataset: Any, file: AtomicFile, frame: pd.DataFrame, time_field: str) -> None:
    """Add the time field: the numbers of the rows, on from those of the file before."""
    first = getattr(dataset, "_n_rows_counted", 0)
    dataset._n_rows_counted = first + len(frame)
    frame[time_field] = np.arange(first, first + len(frame), dtype=np.float64)
    dataset.logger.warning(
        f"{file.path} has no column {time_field!r} (TIME_FIELD), only {', '.join(file.types)}: "
        "the order of its rows is taken as their order in time."
    )
