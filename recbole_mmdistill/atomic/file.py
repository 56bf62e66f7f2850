"""The header and the rows of an atomic file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import UserError, near
from .text import FORMAT, check_encoding, read_lines, wrong_line
from .values import Block, Tokens, read_floats, read_sequences

_TYPES = ("token", "token_seq", "float", "float_seq")
_LINE_FEED, _RETURN = b"\n\r"
_BLOCK_BYTES = 4 * 2**20  # of arrays: with smaller ones each token is found in more of them
_FEW_BYTES = 2**16  # of lists


class AtomicFile:
    """An atomic file, whose header is read at once and its rows when asked for.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    encoding : str
        As Python names it.
    field_separator : str
        The one ASCII character between cells.
    seq_separator : str
        What stands between the words of a sequence.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    types : dict of str to str
        The type of each column, in the file's order: ``token``, ``token_seq``, ``float`` or
        ``float_seq``.

    Raises
    ------
    UserError
        If the file cannot be read or has no such header. From the other methods, if what they read
        has another form, or if there is no row.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        encoding: str = "utf-8",
        field_separator: str = "\t",
        seq_separator: str = " ",
    ) -> None:
        if not isinstance(field_separator, str) or not _is_separator(field_separator):
            raise UserError(
                f"field_separator is {field_separator!r}.",
                "Give one ASCII character other than a colon and a line end; a tab by default.",
            )
        if not isinstance(seq_separator, str) or not seq_separator:
            raise UserError(
                f"seq_separator is {seq_separator!r}.",
                "Give what stands between the words of a sequence; a space by default.",
            )
        self.path = Path(path)
        self._encoding = check_encoding(encoding)
        self._separator, self._seq_separator = field_separator, seq_separator
        self.types = self._read_header()

    def column(self, field: str, ftype: str | None = None, option: str = "") -> int:
        """Give the number of a column that has to be there.

        Parameters
        ----------
        field : str
            Its name.
        ftype : str, optional
            The type that it has to have.
        option : str
            The option that names it, for the message.

        Raises
        ------
        UserError
            If there is no such column.
        """
        if field not in self.types:
            raise UserError(
                f"{self.path} has no column {field!r}{f' ({option})' if option else ''}.",
                f"Its columns are {', '.join(self.types)}{near(field, self.types)}.",
            )
        if ftype not in (None, self.types[field]):
            raise UserError(
                f"Column {field!r} of {self.path} is of type {self.types[field]}, not {ftype}.",
                f"Head it {field}:{ftype}, if that is what it holds.",
            )
        return list(self.types).index(field)

    def blocks(self, n_bytes: int = _BLOCK_BYTES) -> Iterator[Block]:
        """Read all rows, some at a time.

        Parameters
        ----------
        n_bytes : int
            About how many bytes are read at once.
        """
        n_rows = 0
        for offset, line, data in read_lines(self.path, self._encoding, n_bytes):
            if line == 1:
                header = data.index(b"\n") + 1
                offset, line, data = offset + header, 2, data[header:]
            block = self._block(offset, line, data)
            n_rows += len(block.line)
            if len(block.line):
                yield block
        if not n_rows:
            raise UserError(f"{self.path} has no rows below its header.", FORMAT)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Read the rows one by one: the number of the line, and its cells."""
        for block in self.blocks(_FEW_BYTES):
            columns = [block.cells(column) for column in range(len(self.types))]
            yield from ((line, [*row]) for line, *row in zip(block.line.tolist(), *columns))

    def read(self, fields: Sequence[str] | None = None) -> pd.DataFrame:
        """Read columns into a table.

        Parameters
        ----------
        fields : sequence of str, optional
            Names of columns; by default all.

        Returns
        -------
        pandas.DataFrame
            Columns in the file's order. Those of tokens are categories, in the order of first
            appearance; those of floats float64; NaN is missing. A sequence is an array of str or
            float64, an empty one if it is missing.
        """
        wanted = set(self.types if fields is None else fields)
        kept = {field: self.column(field) for field in sorted(wanted, key=self.column)}
        tokens = {field: Tokens() for field in kept if self.types[field] == "token"}
        parts: dict[str, list[np.ndarray]] = {field: [] for field in kept}
        for block in self.blocks():
            for field, column in kept.items():
                ftype = self.types[field]
                if ftype == "token":
                    tokens[field].add(block, column)
                elif ftype == "float":
                    parts[field].append(read_floats(block, column, self.path, field))
                else:
                    parts[field].append(
                        read_sequences(block, column, self._seq_separator, ftype, self.path, field)
                    )
        # Floats first: the parts of tokens are the smaller ones to hold beside them.
        frame = {field: np.concatenate(parts.pop(field)) for field in kept if field not in tokens}
        frame |= {field: tokens.pop(field).categorical() for field in kept if field in tokens}
        return pd.DataFrame({field: frame[field] for field in kept}, copy=False)

    def line_of(self, row: int) -> int:
        """Find the number of a row's line.

        Parameters
        ----------
        row : int
            The row's number, from 0.
        """
        for block in self.blocks():
            if row < len(block.line):
                return int(block.line[row])
            row -= len(block.line)
        raise IndexError(f"{self.path} has fewer rows")

    def _block(self, offset: int, first_line: int, data: bytes) -> Block:
        """Find the cells of whole lines."""
        n_columns = len(self.types)
        array = np.frombuffer(data, dtype=np.uint8)
        at = np.flatnonzero((array == ord(self._separator)) | (array == _LINE_FEED))
        last = np.flatnonzero(array[at] == _LINE_FEED)  # place in `at` of each line's end
        line_end = at[last]
        first = np.append(0, last + 1)[:-1]
        line_start = np.append(0, line_end + 1)[:-1]
        n_cells = last - first + 1
        if b"\r" in data:
            line_end = line_end - ((line_end > line_start) & (array[line_end - 1] == _RETURN))
        is_row = np.ones(len(last), dtype=bool)
        for number in np.flatnonzero(n_cells == 1).tolist():
            is_row[number] = bool(data[line_start[number] : line_end[number]].decode().strip())
        # Empty cells more than the header has are what a separator at the line's end leaves.
        row_end = at[np.minimum(first + n_columns, last + 1) - 1]
        is_more = (n_cells > n_columns) & (line_end - row_end > n_cells - n_columns)
        wrong = np.flatnonzero(is_row & ((n_cells < n_columns) | is_more))
        if len(wrong):
            number = int(wrong[0])
            found = f"has {n_cells[number]} columns, its header {n_columns}"
            raise wrong_line(self.path, first_line + number, found)
        rows = np.flatnonzero(is_row)
        end = at[first[rows, None] + np.arange(n_columns)]
        start = np.column_stack([line_start[rows], end[:, :-1] + 1])
        end[:, -1] = np.minimum(end[:, -1], line_end[rows])
        return Block(data, offset, first_line + rows, start, end)

    def _read_header(self) -> dict[str, str]:
        _, _, data = next(read_lines(self.path, self._encoding, _FEW_BYTES), (0, 1, b""))
        if not data:
            raise UserError(f"{self.path} is empty.", FORMAT)
        header = data[: data.index(b"\n")].removesuffix(b"\r").decode()
        header = header.rstrip(self._separator)
        if not header.strip():
            raise wrong_line(self.path, 1, "is empty")
        types: dict[str, str] = {}
        for column in header.split(self._separator):
            field, _, ftype = column.partition(":")
            if ftype not in _TYPES or not field:
                raise self._wrong_header(header, column)
            if field in types:
                raise wrong_line(self.path, 1, f"has two columns {field!r}", "Keep one of them.")
            types[field] = ftype
        return types

    def _wrong_header(self, header: str, column: str) -> UserError:
        shown = repr(column[:80])
        others = [other for other in "\t,;|" if other in header]
        if others and self._separator not in header:
            return wrong_line(
                self.path,
                1,
                f"is one column, {shown}, and seems to be separated by {others[0]!r}",
                f"Separate columns by {self._separator!r}, or name what separates them with the "
                "option field_separator.",
            )
        field, colon, ftype = column.partition(":")
        types = f"{', '.join(_TYPES[:-1])} or {_TYPES[-1]}"
        if not field:
            return wrong_line(self.path, 1, f"has a column {shown} without a name")
        if not colon:
            wrong = f"has a column {shown} without a type"
            return wrong_line(self.path, 1, wrong, f"Head each column name:type, with {types}.")
        wrong = f"has a column {shown} of unknown type"
        return wrong_line(self.path, 1, wrong, f"A type is {types}{near(ftype, _TYPES)}.")


def _is_separator(character: str) -> bool:
    return len(character) == 1 and character.isascii() and character not in "\0\r\n:"
