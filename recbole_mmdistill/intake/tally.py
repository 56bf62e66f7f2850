"""What was read, dropped and noted, by kind, with the places of the first of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

EXAMPLES = 5  # places that are named of each kind


class Place(NamedTuple):
    """A line of a file, or a row of a Parquet file, from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Count:
    """How often something was seen, and where first.

    Attributes
    ----------
    rows : int
    places : list of str
        At most :data:`EXAMPLES`.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.places: list[str] = []

    def add(self, rows: int, places: list[str]) -> None:
        """Count some more, in the order of the file."""
        self.rows += rows
        self.places += places[: EXAMPLES - len(self.places)]

    def plain(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {"rows": self.rows, "examples": self.places}


class Tally:
    """Counts of one table.

    Attributes
    ----------
    read : int
        Rows, also those that were dropped.
    dropped, noted : dict of str to Count
        By kind. What is noted was kept.
    """

    def __init__(self) -> None:
        self.read = 0
        self.dropped: dict[str, Count] = {}
        self.noted: dict[str, Count] = {}

    def row(self, rows: int = 1) -> None:
        """Count rows as read."""
        self.read += rows

    def drop(self, kind: str, path: Path, line: int) -> None:
        """Count a row of a file as dropped."""
        self.drops(kind, 1, [str(Place(path.name, line))])

    def drops(self, kind: str, rows: int, places: list[str]) -> None:
        """Count some rows as dropped."""
        self.dropped.setdefault(kind, Count()).add(rows, places)

    def note(self, kind: str, path: Path, line: int) -> None:
        """Count a row that was kept, of which something is to be said."""
        self.notes(kind, 1, [str(Place(path.name, line))])

    def notes(self, kind: str, rows: int, places: list[str]) -> None:
        """Count some rows that were kept."""
        self.noted.setdefault(kind, Count()).add(rows, places)

    @property
    def left(self) -> int:
        """Rows that were not dropped."""
        return self.read - sum(count.rows for count in self.dropped.values())
