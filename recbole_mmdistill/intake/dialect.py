"""How the rows of a text file are written: its separator, its quotation marks, its header."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .columns import has_role
from .form import Form
from .records import records

SEPARATORS = (",", "\t", ";", "|", "::")
NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", "::": "double colons"}
_TYPED = re.compile(r"[^:\t]+:(token|token_seq|float|float_seq)$")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?$', re.I)  # Excel's own
_NUMBER = re.compile(r"[+-]?\d[\d.,:/eE+\- TZ]*$")
_SAMPLE = 200  # lines by which the form is told


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
    of : str
        How options of the file begin on the command line, for messages.
    """

    separator: str | None = None
    header: bool | None = None
    quoted: bool | None = None
    names: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    of: str = ""


NOTHING = Wanted()


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
        It cannot be told, or the separator cannot be one.
    """
    separator = wanted.separator
    if separator is not None and (not separator or {*separator} & {*'"\r\n\0'}):
        raise UserError(f"--separator is {separator!r}.", "Give another character, or tab.")
    lines = form.head.replace("\r\n", "\n").split(form.newline)
    if not lines[-1]:
        lines.pop()
    skip = next((n for n, line in enumerate(lines) if line.strip()), 0)
    if match := _SEPARATOR_LINE.match(lines[skip].strip("\r")):
        separator = separator or match[1]
        skip += 1
    lines = lines[skip : skip + _SAMPLE]
    typed = bool(lines) and all(_TYPED.match(cell) for cell in lines[0].rstrip("\r").split("\t"))
    quoted = not typed if wanted.quoted is None else wanted.quoted
    if typed:
        separator = separator or "\t"
    if separator is None:
        separator = _separator(lines, quoted)
    if separator is None:
        shown = lines[0][:60] if lines else ""
        raise UserError(
            f"{path} has one column only, or its separator cannot be told (line: {shown!r}).",
            "Say it, e.g. --separator=';' or --separator=tab.",
        )
    found = [
        (lines[place].split(separator) if cells is None else cells, used)
        for place, cells, used in records(lines, separator, quoted, last=True)
        if cells != []
    ]
    if not found:
        raise UserError(f"{path} holds no rows.", "Give a file with a header and rows.")
    names = tuple(cell.strip() for cell in found[0][0])
    rows = [row for row, _ in found[1:] if len(row) == len(names)]
    header = False if wanted.names else wanted.header
    if header is None:
        header = typed or _is_header(path, names, rows, wanted)
    if not header:
        names = wanted.names or tuple(str(n) for n in range(1, len(names) + 1))
        return Dialect(separator, quoted, names, header, skip)
    if typed:
        names = tuple(name.rpartition(":")[0] for name in names)
    elif not names[-1] and not any(row[-1] for row in rows):
        names = names[:-1]  # every line ends with the separator
    return Dialect(separator, quoted, names, header, skip + found[0][1], typed)


def is_list(form: Form, wanted: Wanted) -> bool:
    """Whether a text file has one column: no separator is asked for, and none can be told."""
    lines = [line for line in form.head.split(form.newline) if line.strip()][:_SAMPLE]
    if wanted.separator is not None or any(map(_SEPARATOR_LINE.match, lines[:1])):
        return False
    return _separator(lines, wanted.quoted is not False) is None


def _separator(lines: Sequence[str], quoted: bool) -> str | None:
    """Choose the separator that gives as many cells in nearly every record as in the first."""
    found: list[tuple[bool, bool, int, str]] = []
    for separator in SEPARATORS:
        rows = [cells for _, cells, _ in records(lines, separator, quoted, last=True) if cells]
        width = len(rows[0]) if rows else 1
        # A separator at line ends that the header lacks makes rows wider by one empty cell.
        fits = sum(len(row) == width or (len(row) == width + 1 and not row[-1]) for row in rows)
        if width > 1 and fits >= min(2, len(rows)):
            found.append((fits >= 0.95 * len(rows), 2 * fits > len(rows), width, separator))
    return max(found, key=lambda one: one[:3])[3] if found else None


def _is_header(path: Path, first: Sequence[str], rows: Sequence[list[str]], wanted: Wanted) -> bool:
    lowered = {name.lower() for name in first}
    if any(name.lower() in lowered and not name.isdecimal() for name in wanted.asked):
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
        f"Say --{wanted.of}header=yes or --{wanted.of}header=no.",
    )
