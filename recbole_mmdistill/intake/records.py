"""Records of text: lines, unless a quotation mark opens a cell that goes on in the next line.

A mark that nobody closes costs its own line at most, never the rows after it: DuckDB's and pandas'
readers would take all lines up to the next mark for one cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from .lines import MAX_LINE

MAX_RECORD = 1 << 20  # characters of a record that goes over several lines


def records(
    lines: Sequence[str], separator: str, quoted: bool, last: bool, width: int | None = None
) -> Iterator[tuple[int, list[str] | None, int]]:
    """Cut lines into records.

    Parameters
    ----------
    lines : sequence of str
        Without their ends.
    separator : str
        Between cells; quotation marks are understood with one of one character.
    quoted : bool
        Whether quotation marks have a meaning.
    last : bool
        Whether nothing follows. Else a record that may go on behind the lines is left out.
    width : int, optional
        Number of cells of a record, if it is known.

    Yields
    ------
    tuple of int, list of str or None, int
        Place of its first line, its cells (none for a blank line; None if quotation marks do not
        match), and its number of lines.
    """
    place = 0
    while place < len(lines):
        line, used = lines[place], 1
        cells: list[str] | None
        if not line.strip(" \r"):
            cells = []
        elif not quoted or '"' not in line:
            cells = line.removesuffix("\r").split(separator)
        elif len(separator) > 1:
            cells = None
        else:
            cells, used = _quoted(lines, place, separator, last, width)
            if not used:
                return
        yield place, cells, used
        place += used


def _quoted(
    lines: Sequence[str], place: int, separator: str, last: bool, width: int | None
) -> tuple[list[str] | None, int]:
    """Read a record with quotation marks; 0 lines if it goes on behind the last of them."""
    text, used = lines[place], 1
    while True:
        cells = _parse(text, separator)
        if cells is not None:
            return cells, used
        if not _goes_on(text, separator):
            break
        following = place + used
        while following < len(lines) and '"' not in lines[following]:
            following += 1
        if following >= len(lines):
            if last or sum(map(len, lines[place:])) > MAX_RECORD:
                break
            return None, 0
        text = "\n".join([text, *lines[place + used : following + 1]])
        used = following + 1 - place
        if len(text) > MAX_RECORD:
            break
    # As Spark and MySQL write: a backslash before a quotation mark.
    cells = _parse(lines[place], separator, doublequote=False, escapechar="\\")
    return (cells if cells is not None and width in (None, len(cells)) else None), 1


def _parse(text: str, separator: str, **options: object) -> list[str] | None:
    try:
        rows = list(_reader(io.StringIO(text, newline=""), separator, **options))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _goes_on(text: str, separator: str) -> bool:
    """Whether a quotation mark is open at the end."""
    try:
        list(_reader(io.StringIO(text, newline=""), separator))
    except csv.Error as error:
        return "end of data" in str(error)
    return False


def all_on_one_line(lines: list[str], separator: str) -> list[list[str]] | None:
    """Read rows of one line each at once, or give None if there is anything else among them."""
    try:
        rows = list(_reader(lines, separator))
    except csv.Error:
        return None
    return rows if len(rows) == len(lines) else None


def _reader(lines: object, separator: str, **options: object) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_LINE)
    return csv.reader(lines, delimiter=separator, strict=True, **options)  # type: ignore
