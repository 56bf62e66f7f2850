"""What features need of a dataset's atomic files: the rows of items, counts of interactions."""

from __future__ import annotations

import glob
import os
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..atomic import AtomicFile, wrong_line
from ..errors import UserError

_BLOCK_BYTES = 1 << 20  # read at once


class ItemTable:
    """A file of items whose rows are read when asked for: memory does not grow with the texts.

    ``types`` are the types of its columns by name, ``item_tokens`` (``[n_items]``, dtype object)
    what stands in the one called ``item_field``. A UserError is raised if the file is missing or no
    table, lacks the column, names an item twice, or has a row of no item.
    """

    def __init__(self, path: Path, item_field: str = "item_id") -> None:
        if not path.is_file():
            raise UserError(f"There is no item file {path}.", "Give the dataset's .item file.")
        self._atomic = AtomicFile(path)
        self.types = self._atomic.types
        column = self._atomic.column(item_field)
        line_of: dict[str, int] = {}
        spans = []
        for block in self._atomic.blocks(_BLOCK_BYTES):
            for line, token in zip(block.line.tolist(), block.cells(column)):
                if not token:
                    raise wrong_line(path, line, f"has no {item_field}", "Name the item of a row.")
                if token in line_of:
                    raise UserError(
                        f"Lines {line_of[token]} and {line} of {path} are both of item {token!r}.",
                        "Keep one line for each item.",
                    )
                line_of[token] = line
            start, end = block.start[:, 0], block.end[:, -1]
            spans.append(np.column_stack([block.offset + start, end - start]))
        self.item_tokens = np.array([*line_of, None], dtype=object)[:-1]
        self._spans = np.concatenate(spans)  # [n_items, 2], offset and size of each row
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(self.types)

    def __len__(self) -> int:
        return len(self.item_tokens)

    def columns(self, fields: Sequence[str]) -> list[int]:
        """Give the numbers of columns by their names; a UserError if there is no such column."""
        return [self._atomic.column(field) for field in fields]

    def read(self, row: int) -> list[str]:
        """Read the cells of a row, given by its number from 0, in the order of ``fields``."""
        offset, size = self._spans[row].tolist()
        # Not seek and read: processes that inherit the file share its position.
        return os.pread(self._file, size, offset).decode().split("\t")

    def __iter__(self) -> Iterator[list[str]]:
        """Read all rows in their order."""
        return (self.read(row) for row in range(len(self)))

    def line_of(self, row: int) -> int:
        """Find the number of a row's line in the file, from 1."""
        return self._atomic.line_of(row)


def interaction_files(folder: Path, dataset: str) -> list[Path]:
    """List the ``.inter`` files of a dataset: one, or one for each of its given splits."""
    whole = folder / f"{dataset}.inter"
    return [whole] if whole.is_file() else sorted(folder.glob(f"{glob.escape(dataset)}.*.inter"))


def count_interactions(paths: Sequence[Path], item_field: str = "item_id") -> dict[str, int]:
    """Count how often each item occurs in ``.inter`` files, in the order of first appearance.

    As in RecBole, a line without an item token counts for nothing. A UserError is raised if a file
    cannot be read, is no table or lacks the column.
    """
    counts: Counter[str] = Counter()
    for path in paths:
        file = AtomicFile(path)
        file.column(item_field, "token")
        items = file.read([item_field])[item_field].cat
        count = np.bincount(items.codes[items.codes >= 0], minlength=len(items.categories))
        counts.update(dict(zip(items.categories, count.tolist())))
    return dict(counts)
