"""Tables whose cells are separated by a character: CSV, TSV, MovieLens' ``::``, atomic files.

A record is a line, unless a quotation mark opens a cell that goes on in the next line. A mark that
nobody closes costs its own line at most, never the rows after it: DuckDB's and pandas' readers
would take all lines up to the next mark for one cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .columns import has_role
from .source import MAX_LINE, Block, Form
from .tally import Tally

SEPARATORS = (",", "\t", ";", "|", "::")
NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", "::": "double colons"}
MAX_RECORD = 1 << 20  # characters of a record that goes over several lines
_TYPED = re.compile(r"[^:\t]+:(token|token_seq|float|float_seq)$")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?$', re.I)  # Excel's own
_NUMBER = re.compile(r"[+-]?\d[\d.,:/eE+\- TZ]*$")
_SAMPLE = 200  # records by which the form is told


class Dialect(NamedTuple):
    """How the rows of a file are written.

    Attributes
    ----------
    separator : str
    quoted : bool
        Whether quotation marks around a cell are no part of it.
    names : tuple of str
        Of the columns; ``1``, ``2``, ... if there is no header.
    header : bool
        Whether a line of the file has the names.
    skip : int
        Lines before the first row.
    typed : bool
        Whether the names have types, as in RecBole's atomic files.
    """

    separator: str
    quoted: bool
    names: tuple[str, ...]
    header: bool
    skip: int
    typed: bool = False

    def __str__(self) -> str:
        separator = NAMES.get(self.separator, repr(self.separator))
        kind = "atomic file" if self.typed else f"text separated by {separator}"
        return kind + ("" if self.header else ", no header")


class Wanted(NamedTuple):
    """What a user or a known format says of a file's dialect; None is to be found out.

    Attributes
    ----------
    separator : str or None
    header : bool or None
    quoted : bool or None
    names : tuple of str
        Of the columns of a file without a header.
    asked : tuple of str
        Names that a header would have.
    """

    separator: str | None = None
    header: bool | None = None
    quoted: bool | None = None
    names: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


NOTHING = Wanted()
Row = tuple[int, list[str]]


def sniff(path: Path, form: Form, wanted: Wanted) -> Dialect:
    """Find out how a file is written.

    Parameters
    ----------
    path : pathlib.Path
        For messages.
    form : Form
        Its head.
    wanted : Wanted
        What is known already.

    Raises
    ------
    UserError
        It cannot be told, or two columns that matter have one name.
    """
    lines = form.head.replace("\r\n", "\n").split(form.newline)
    lines = lines[:-1] if len(lines) > 1 else lines
    skip = next((n for n, line in enumerate(lines) if line.strip()), 0)
    separator = wanted.separator
    if match := _SEPARATOR_LINE.match(lines[skip].strip("\r")):
        separator = separator or match[1]
        skip += 1
    lines = lines[skip : skip + _SAMPLE]
    typed = bool(lines) and all(_TYPED.match(cell) for cell in lines[0].rstrip("\r").split("\t"))
    quoted = not typed if wanted.quoted is None else wanted.quoted
    if typed:
        separator = separator or "\t"
    if separator is None:
        separator = _separator(path, lines, quoted)
    records = [
        (lines[place].split(separator) if cells is None else cells, used)
        for place, cells, used in _records(lines, separator, quoted, last=True)
        if cells != []
    ]
    if not records:
        raise UserError(f"{path} holds no rows.", "Give a file with a header and rows.")
    names = tuple(cell.strip() for cell in records[0][0])
    rows = [row for row, _ in records[1:] if len(row) == len(names)]
    header = False if wanted.names else wanted.header
    if header is None:
        header = typed or _is_header(path, names, rows, wanted.asked)
    if not header:
        names = wanted.names or tuple(str(n) for n in range(1, len(names) + 1))
        return Dialect(separator, quoted, names, header, skip)
    if typed:
        names = tuple(name.rpartition(":")[0] for name in names)
    elif not names[-1] and not any(row[-1] for row in rows):
        names = names[:-1]  # every line ends with the separator
    return Dialect(separator, quoted, names, header, skip + records[0][1], typed)


def _separator(path: Path, lines: Sequence[str], quoted: bool) -> str:
    """Choose the separator that gives as many cells in nearly every record as in the first."""
    found: list[tuple[bool, bool, int, str]] = []
    for separator in SEPARATORS:
        rows = [cells for _, cells, _ in _records(lines, separator, quoted, last=True) if cells]
        width = len(rows[0]) if rows else 1
        # A separator at line ends that the header lacks makes rows wider by one empty cell.
        fits = sum(len(row) == width or (len(row) == width + 1 and not row[-1]) for row in rows)
        if width > 1 and fits >= min(2, len(rows)):
            found.append((fits >= 0.95 * len(rows), 2 * fits > len(rows), width, separator))
    if not found:
        shown = lines[0][:60] if lines else ""
        raise UserError(
            f"{path} has one column only, or its separator cannot be told (line: {shown!r}).",
            "Say it, e.g. --separator=';' or --separator=tab.",
        )
    return max(found, key=lambda one: one[:3])[3]


def _is_header(
    path: Path, first: Sequence[str], rows: Sequence[list[str]], asked: Sequence[str]
) -> bool:
    lowered = {name.lower() for name in first}
    if any(name.lower() in lowered and not name.isdecimal() for name in asked):
        return True
    if any(_NUMBER.match(cell) for cell in first):
        return False
    if any(has_role(cell) for cell in first):
        return True
    # Names above numbers are a header; names above names may be either.
    for place in range(len(first)):
        column = [row[place] for row in rows if row[place]]
        if column and all(_NUMBER.match(cell) for cell in column):
            return True
    shown = ", ".join(first)[:80]
    raise UserError(
        f"It cannot be told whether the first line of {path} ({shown}) is a header.",
        "Say --header=yes or --header=no.",
    )


def read_rows(
    path: Path, dialect: Dialect, blocks: Iterator[Block], tally: Tally
) -> Iterator[list[Row]]:
    """Read the rows of a file.

    Parameters
    ----------
    path : pathlib.Path
        For the tally.
    dialect : Dialect
        How they are written.
    blocks : iterator of Block
        Its lines.
    tally : Tally
        Counts the rows, and drops those that have too few or too many cells.

    Yields
    ------
    list of (int, list of str)
        Number of the row's first line, and its cells.
    """
    separator, width = dialect.separator, len(dialect.names)
    carried: list[str] = []
    for block, last in _with_last(blocks):
        first, lines = block.first - len(carried), carried + block.lines
        if block.first <= dialect.skip:
            lines, first = lines[dialect.skip + 1 - first :], max(first, dialect.skip + 1)
        quotes = dialect.quoted and (block.quotes or bool(carried))
        carried = []
        cells = None
        if not quotes:
            cells = [line.split(separator) for line in lines]
        elif len(separator) == 1:
            cells = _all_on_one_line(lines, separator)
        if cells is not None and all(len(row) == width for row in cells):
            tally.row(len(cells))
            yield list(zip(range(first, first + len(cells)), cells))
            continue
        rows: list[Row] = []
        done = 0
        for offset, row, used in _records(lines, separator, dialect.quoted, last, width):
            done = offset + used
            _keep(path, first + offset, row, lines[offset], dialect, tally, rows)
        carried = lines[done:]
        yield rows


def _keep(
    path: Path,
    line: int,
    row: list[str] | None,
    text: str,
    dialect: Dialect,
    tally: Tally,
    rows: list[Row],
) -> None:
    width = len(dialect.names)
    if row is None:  # quotation marks that do not match: as it stands, if that fits
        row = text.split(dialect.separator)
        if len(row) == width:
            tally.note("quotes_as_text", path, line)
    elif not row:
        return
    while len(row) > width and not row[-1]:
        row = row[:-1]
    tally.row()
    if len(row) == width:
        rows.append((line, row))
    else:
        tally.drop("wrong_number_of_columns", path, line)


def _records(
    lines: Sequence[str], separator: str, quoted: bool, last: bool, width: int | None = None
) -> Iterator[tuple[int, list[str] | None, int]]:
    """Give where each record begins, its cells, and its number of lines.

    The cells are empty for a blank line, and None if quotation marks do not match. What may go on
    behind the last line is left out, unless nothing follows.
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


def _all_on_one_line(lines: list[str], separator: str) -> list[list[str]] | None:
    """Read rows of one line each at once, or give None if there is anything else among them."""
    try:
        rows = list(_reader(lines, separator))
    except csv.Error:
        return None
    return rows if len(rows) == len(lines) else None


def _reader(lines: object, separator: str, **options: object) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_LINE)
    return csv.reader(lines, delimiter=separator, strict=True, **options)  # type: ignore


def _with_last(blocks: Iterator[Block]) -> Iterator[tuple[Block, bool]]:
    """Say of each block whether it is the last."""
    before: Block | None = None
    for block in blocks:
        if before is not None:
            yield before, False
        before = block
    if before is not None:
        yield before, True
