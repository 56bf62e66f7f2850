"""A table of rows, whatever its files are: what its columns are called, and its rows in DuckDB."""

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from .engine import Engine
from .form import Form
from .tally import Tally

HEAD = 100  # rows that are looked at
Batch = tuple[Sequence[int], Sequence[Sequence[str]]]  # numbers of lines, and columns of cells


class Pick(NamedTuple):
    """A column that is wanted.

    Attributes
    ----------
    column : int
        Its place.
    text : bool
        Whether it is for reading: lists become texts, and line breaks spaces.
    each : bool
        Whether its cells are lists of ids, and are handed on as JSON, see :mod:`.lists`.
    """

    column: int
    text: bool = False
    each: bool = False


class Convert(NamedTuple):
    """Other columns, made of those of a file; of known formats.

    Attributes
    ----------
    width : int
        Number of the file's columns.
    names : tuple of str
        Of the new columns.
    row : callable
        Makes the new cells of a row's.
    """

    width: int
    names: tuple[str, ...]
    row: Callable[[list[str]], list[str]]


class Table(ABC):
    """Files of one kind with the same columns.

    Attributes
    ----------
    paths : list of pathlib.Path
        The files, without those that are empty.
    names : tuple of str
        Of the columns.
    description : str
        How the files are written, in a few words.
    empty : list of str
        Names of files that are empty.
    header : bool
        Whether a line of text has the names.
    """

    paths: list[Path]
    names: tuple[str, ...]
    description: str
    empty: Sequence[str] = ()
    header: bool = False

    @abstractmethod
    def head(self) -> Sequence[Sequence[str]]:
        """Give some first cells of each column, as text."""

    def holds_lists(self, column: int) -> bool:
        """Whether a column has lists."""
        return False

    @abstractmethod
    def load(self, engine: Engine, name: str, picks: Mapping[str, Pick], tally: Tally) -> None:
        """Make a table in DuckDB: ``part``, ``line``, then each pick as text, empty if missing.

        Parameters
        ----------
        engine : Engine
            The database.
        name : str
            Of the table there.
        picks : mapping of str to Pick
            Names there, and the columns.
        tally : Tally
            Counts the rows, and what is dropped of them.
        """


class TextTable(Table):
    """Rows that Python reads, and hands on in batches."""

    def __init__(self, forms: Mapping[Path, Form]) -> None:
        self._forms = forms
        self.paths = [*forms]

    @abstractmethod
    def _rows(
        self, path: Path, picks: Sequence[Pick], tally: Tally, advance: Callable[[int], None]
    ) -> Iterator[Batch]:
        """Give batches of line numbers and of the picked columns."""

    def head(self) -> Sequence[Sequence[str]]:
        """See :meth:`Table.head`."""
        picks = [Pick(place, text=True) for place in range(len(self.names))]
        for _, cells in self._rows(self.paths[0], picks, Tally(), lambda _: None):
            return [column[:HEAD] for column in cells]
        return []

    def load(self, engine: Engine, name: str, picks: Mapping[str, Pick], tally: Tally) -> None:
        """See :meth:`Table.load`."""
        columns = "".join(f", {pick} VARCHAR" for pick in picks)
        engine.run(f"CREATE TEMP TABLE {name} (part INTEGER, line BIGINT{columns})")
        total = sum(path.stat().st_size for path in self.paths)
        with (
            _no_garbage_collection(),
            tqdm(total=total, desc="reading", unit="B", unit_scale=True, disable=None) as bar,
        ):
            for part, path in enumerate(self.paths):
                for lines, cells in self._rows(path, [*picks.values()], tally, bar.update):
                    if not len(lines):
                        continue
                    batch = {"part": np.full(len(lines), part), "line": np.array(lines)}
                    for pick, column in zip(picks, cells):
                        batch[pick] = np.array(column, dtype=object)
                    engine.insert(name, batch)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Spare the collector millions of lists of cells, none of which is in a cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
