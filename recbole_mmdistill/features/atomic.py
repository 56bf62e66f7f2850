"""RecBole's atomic files, as far as features need them: the rows of items, counts of interactions.

Lines are cut at tabs and nothing else has a meaning: a quotation mark is part of a title.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import UserError

ATOMIC = "Give an atomic file of RecBole: UTF-8, columns separated by tabs, headed name:type."


class ItemTable:
    """An ``.item`` file whose rows are read when asked for: memory does not grow with the texts.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    item_field : str
        The column of the item tokens.

    Attributes
    ----------
    fields : tuple of str
        Names of the columns.
    item_tokens : numpy.ndarray
        Shape ``[n_items]``, dtype object, in the file's order.

    Raises
    ------
    UserError
        If the file is missing or no table, lacks the column, or names an item twice.
    """

    def __init__(self, path: Path, item_field: str = "item_id") -> None:
        if not path.is_file():
            raise UserError(f"There is no item file {path}.", "Give the dataset's .item file.")
        self.path = path
        self._file = open(path, "rb")
        self.fields = _read_header(self._file, path)
        (self._item_column,) = self.columns([item_field])
        tokens: list[str] = []
        spans: list[tuple[int, int]] = []
        line_of: dict[str, int] = {}
        for number, offset, line in self._lines():
            row = _cells(line, number, path)
            if len(row) != len(self.fields):
                raise UserError(
                    f"Line {number} of {path} has {len(row)} columns, its header "
                    f"{len(self.fields)}.",
                    ATOMIC,
                )
            token = row[self._item_column]
            if token in line_of:
                raise UserError(
                    f"Lines {line_of[token]} and {number} of {path} are both of item {token!r}.",
                    "Keep one line for each item.",
                )
            line_of[token] = number
            tokens.append(token)
            spans.append((offset, len(line)))
        self.item_tokens = np.empty(len(tokens), dtype=object)
        self.item_tokens[:] = tokens
        self._spans = np.array(spans, dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.item_tokens)

    def columns(self, fields: Sequence[str]) -> list[int]:
        """Give the numbers of columns by their names.

        Parameters
        ----------
        fields : sequence of str
            Names.

        Raises
        ------
        UserError
            If there is no such column.
        """
        return [_column(field, self.fields, self.path) for field in fields]

    def read(self, row: int) -> list[str]:
        """Read one row, the cells in the order of ``fields``.

        Parameters
        ----------
        row : int
            Its number, from 0.
        """
        offset, size = self._spans[row].tolist()
        # Not seek and read: processes that inherit the file share its position.
        return os.pread(self._file.fileno(), size, offset).decode().rstrip("\r\n").split("\t")

    def __iter__(self) -> Iterator[list[str]]:
        """Read all rows in their order."""
        return (self.read(row) for row in range(len(self)))

    def _lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Give the number of each line that holds anything, where it begins, and the line."""
        offset = self._file.tell()
        for number, line in enumerate(iter(self._file.readline, b""), 2):
            if line.strip():
                yield number, offset, line
            offset += len(line)


def interaction_files(folder: Path, dataset: str) -> list[Path]:
    """List the ``.inter`` files of a dataset: one, or one for each of its given splits."""
    whole = folder / f"{dataset}.inter"
    return [whole] if whole.is_file() else sorted(folder.glob(f"{glob.escape(dataset)}.*.inter"))


def count_interactions(paths: Sequence[Path], item_field: str = "item_id") -> dict[str, int]:
    """Count how often each item occurs in ``.inter`` files.

    As in RecBole, a line without an item token counts for nothing.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        The files.
    item_field : str
        The column of the item tokens.

    Returns
    -------
    dict of str to int
        In the order of first appearance.

    Raises
    ------
    UserError
        If a file cannot be read, is no table or lacks the column.
    """
    counts: Counter[str] = Counter()
    for path in paths:
        try:
            with open(path, "rb") as file:
                column = _column(item_field, _read_header(file, path), path)
                counts.update(
                    _cell(line, column, number, path)
                    for number, line in enumerate(file, 2)
                    if line.strip()
                )
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.", ATOMIC) from None
    del counts[""]
    return dict(counts)


def _read_header(file: BinaryIO, path: Path) -> tuple[str, ...]:
    header = _cells(file.readline().removeprefix(b"\xef\xbb\xbf"), 1, path)
    if not any(header):
        raise UserError(f"Line 1 of {path} is empty.", ATOMIC)
    return tuple(column.partition(":")[0] for column in header)


def _column(field: str, fields: tuple[str, ...], path: Path) -> int:
    if field not in fields:
        raise UserError(f"{path} has no column {field!r}.", f"Its columns are {', '.join(fields)}.")
    return fields.index(field)


def _cell(line: bytes, column: int, number: int, path: Path) -> str:
    cells = _cells(line, number, path)
    if len(cells) <= column:
        raise UserError(f"Line {number} of {path} has only {len(cells)} columns.", ATOMIC)
    return cells[column]


def _cells(line: bytes, number: int, path: Path) -> list[str]:
    try:
        return line.decode("utf-8").rstrip("\r\n").split("\t")
    except UnicodeDecodeError as error:
        raise UserError(
            f"Line {number} of {path} is not UTF-8 (byte {error.start} of it).",
            "Write the file in UTF-8.",
        ) from None
