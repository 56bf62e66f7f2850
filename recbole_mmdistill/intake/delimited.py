"""Tables whose cells are separated by a character: CSV, TSV, MovieLens' ``::``, atomic files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import UserError
from .dialect import Dialect, Wanted, sniff
from .form import Form
from .lines import Block, read_blocks
from .records import all_on_one_line, records
from .table import Batch, Convert, Pick, TextTable
from .tally import Tally

_Row = tuple[int, list[str]]


class Delimited(TextTable):
    """Files of cells that a separator parts.

    Parameters
    ----------
    forms : mapping of pathlib.Path to Form
        The parts.
    wanted : Wanted
        What is known of their dialect.
    convert : Convert, optional
        For known formats.

    Raises
    ------
    UserError
        Their dialect cannot be told, or their columns are not alike.
    """

    def __init__(
        self,
        forms: Mapping[Path, Form],
        wanted: Wanted,
        convert: Convert | None,
    ) -> None:
        super().__init__(forms)
        self._convert = convert
        self._dialects: dict[Path, Dialect] = {}
        first = self.paths[0]
        for path, form in forms.items():
            dialect = sniff(path, form, wanted)
            self._dialects[path] = dialect
            if sorted(dialect.names) != sorted(self._dialects[first].names):
                raise UserError(
                    f"{path} has other columns ({', '.join(dialect.names)[:80]}) than "
                    f"{first.name} ({', '.join(self._dialects[first].names)[:80]}).",
                    "Give parts with the same columns, or one file, and that of items by --items.",
                )
            several = len({*dialect.names}) < len(dialect.names)
            if several and dialect.names != self._dialects[first].names:
                raise UserError(
                    f"{path} has columns of the same name, in another order than {first.name} "
                    f"({', '.join(dialect.names)[:80]}).",
                    "Give their columns different names.",
                )
        width = len(self._dialects[first].names)
        if convert is not None and width != convert.width:
            raise UserError(
                f"{first} has {width} columns, not the {convert.width} of its format.",
                "Give the file as it came, or move it out of the folder.",
            )
        self.names = convert.names if convert else self._dialects[first].names
        self.header = self._dialects[first].header
        self.description = f"{self._dialects[first]}, {forms[first].encoding.upper()}"

    def _rows(
        self, path: Path, picks: Sequence[Pick], tally: Tally, advance: Callable[[int], None]
    ) -> Iterator[Batch]:
        dialect = self._dialects[path]
        places = [pick.column for pick in picks]
        if not self._convert and dialect.names != self.names:  # in another order
            places = [dialect.names.index(self.names[place]) for place in places]
        blocks = read_blocks(path, self._forms[path], tally, advance)
        rows: list[_Row]
        for rows in _read_rows(path, dialect, blocks, tally):
            if not rows:
                continue
            lines, cells = zip(*rows)
            if self._convert is not None:
                cells = tuple(map(self._convert.row, cells))
            columns = list(zip(*cells))
            yield lines, [columns[place] for place in places]


def _read_rows(
    path: Path, dialect: Dialect, blocks: Iterator[Block], tally: Tally
) -> Iterator[list[_Row]]:
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
        if quotes and separator != "," and len(separator) == 1:
            for number, line in enumerate(block.lines, block.first):
                if number > dialect.skip and '"' in line:
                    tally.note("quotes_understood", path, number)
        cells = None
        if not quotes:
            cells = [line.split(separator) for line in lines]
        elif len(separator) == 1:
            cells = all_on_one_line(lines, separator)
        if cells is not None and all(len(row) == width for row in cells):
            tally.row(len(cells))
            yield list(zip(range(first, first + len(cells)), cells))
            continue
        rows: list[_Row] = []
        done = 0
        for offset, row, used in records(lines, separator, dialect.quoted, last, width):
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
    rows: list[_Row],
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


def _with_last(blocks: Iterator[Block]) -> Iterator[tuple[Block, bool]]:
    """Say of each block whether it is the last."""
    before: Block | None = None
    for block in blocks:
        if before is not None:
            yield before, False
        before = block
    if before is not None:
        yield before, True
