"""The values of an atomic file's cells."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from .text import wrong_line

# Cells that hold no number in a column of numbers: what pandas, and so RecBole, takes for missing.
_MISSING = frozenset(
    "|#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None"
    "|n/a|nan|null".split("|")
)
_DATE = re.compile(r"\s*(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}:\d{2})")
_PLAIN_DIGITS = 15  # a number of so many digits is exact in a float64, and so is its power of ten
_ZERO, _POINT = b"0."
# Keeps the first 0 to 8 bytes of a word.
_FIRST_BYTES = np.array([2 ** (8 * n_bytes) - 1 for n_bytes in range(9)], dtype="<u8")


class Block(NamedTuple):
    """Some rows of an atomic file.

    Attributes
    ----------
    data : bytes
        UTF-8, of whole lines.
    offset : int
        Where it begins in the file, in bytes (of a file in UTF-8).
    line : numpy.ndarray
        Shape ``[n_rows]``, the number of each row's line, from 1.
    start, end : numpy.ndarray
        Shape ``[n_rows, n_columns]``, where each cell begins and ends in ``data``.
    """

    data: bytes
    offset: int
    line: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def cells(self, column: int) -> list[str]:
        """Give the cells of a column.

        Parameters
        ----------
        column : int
            Its number.
        """
        return [cell.decode() for cell in self.raw_cells(column)]

    def raw_cells(self, column: int) -> list[bytes]:
        """Give the cells of a column as they stand in ``data``."""
        starts, ends = self.start[:, column].tolist(), self.end[:, column].tolist()
        return [self.data[start:end] for start, end in zip(starts, ends)]

    def matrix(self, column: int) -> np.ndarray | None:
        """Give the cells of a column as an array, or None if a long one would make it large.

        Returns
        -------
        numpy.ndarray or None
            Shape ``[n_rows, width]``, uint8, padded with 0; the width is a multiple of 8.
        """
        start, length = self.start[:, column], self.end[:, column] - self.start[:, column]
        width = -(-max(int(length.max()), 1) // 8) * 8
        if width * len(start) > 8 * len(self.data) + 4096:
            return None
        # All words of eight bytes that begin at some byte of the data.
        word = np.ndarray(len(self.data) + width, "<u8", self.data + bytes(width + 8), strides=(1,))
        cells = np.empty((len(start), width // 8), dtype="<u8")
        for column, place in enumerate(range(0, width, 8)):
            cells[:, column] = word[start + place] & _FIRST_BYTES[np.clip(length - place, 0, 8)]
        return cells.view(np.uint8)


class Tokens:
    """The tokens of a column, numbered as its blocks come."""

    def __init__(self) -> None:
        self._known = np.zeros((0, 8), dtype=np.uint8)  # a row of bytes for each distinct token
        self._codes: list[np.ndarray] = []  # of each block, places in the above

    def add(self, block: Block, column: int) -> None:
        """Add the cells of a block's column."""
        cells = block.matrix(column)
        if cells is None:
            cells = np.array(block.raw_cells(column), dtype=object)
        n_known = len(self._known)
        cells = _join(self._known, cells)
        code, row = _factorize(cells)  # what is known is first and distinct, so it keeps its place
        self._known = cells[row]
        self._codes.append(code[n_known:].astype(np.int32))

    def categorical(self) -> pd.Categorical:
        """Give all cells, the tokens in the order of first appearance; an empty cell is missing."""
        tokens = [token.decode() for token in _as_bytes(self._known)]
        codes = np.concatenate(self._codes)
        if "" in tokens:
            empty = tokens.index("")
            del tokens[empty]
            codes[codes == empty] = -1
            codes[codes > empty] -= 1
        return pd.Categorical.from_codes(codes, pd.Index(tokens, dtype=object))


def _join(known: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Put cells one below the other, as a matrix of bytes if both are one."""
    if known.ndim == cells.ndim == 2:
        width = max(known.shape[1], cells.shape[1])
        return np.concatenate([_pad(known, width), _pad(cells, width)])
    return np.concatenate([_as_bytes(known), _as_bytes(cells)])


def _pad(cells: np.ndarray, width: int) -> np.ndarray:
    return np.pad(cells, ((0, 0), (0, width - cells.shape[1])))


def _factorize(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct cells, a matrix of bytes or an array of bytes, as they appear.

    Returns
    -------
    code, row : numpy.ndarray
        ``[n_rows]``, the number of each cell; ``[n_distinct]``, where each appears first.
    """
    if cells.ndim == 1:
        code = pd.factorize(cells)[0]
    else:
        first, *words = np.ascontiguousarray(cells).view("<u8").T
        code = pd.factorize(first)[0]
        for word in words:
            next_code, distinct = pd.factorize(word)
            code = pd.factorize(code * np.int64(len(distinct)) + next_code)[0]
    row = np.empty(code.max() + 1, dtype=np.int64)
    row[code[::-1]] = np.arange(len(code))[::-1]
    return code, row


def _as_bytes(cells: np.ndarray) -> np.ndarray:
    """Turn a matrix of bytes into an array of bytes, without the padding."""
    if cells.ndim == 1:
        return cells
    return np.ascontiguousarray(cells).view(f"S{cells.shape[1]}").ravel().astype(object)


def read_floats(block: Block, column: int, path: Path, field: str) -> np.ndarray:
    """Read the numbers of a column of type float.

    Parameters
    ----------
    block : Block
        Some rows.
    column : int
        The column's number.
    path, field : pathlib.Path, str
        The file and the column's name, for the message.

    Returns
    -------
    numpy.ndarray
        Shape ``[n_rows]``, float64; NaN where one is missing.

    Raises
    ------
    UserError
        If a cell holds no finite number.
    """
    matrix = block.matrix(column)
    if matrix is not None and matrix.shape[1] <= 2 * _PLAIN_DIGITS:
        value, is_plain = _plain_numbers(matrix)
    else:
        value, is_plain = np.empty(len(block.line)), np.zeros(len(block.line), dtype=bool)
    for row in np.flatnonzero(~is_plain).tolist():
        cell = block.data[block.start[row, column] : block.end[row, column]].decode()
        missing = cell in _MISSING
        value[row] = math.nan if missing else _number(cell, path, int(block.line[row]), field)
    return value


def read_sequences(
    block: Block, column: int, separator: str, ftype: str, path: Path, field: str
) -> np.ndarray:
    """Read a column of type token_seq or float_seq.

    Parameters
    ----------
    block : Block
        Some rows.
    column : int
        The column's number.
    separator : str
        What stands between words.
    ftype : str
        The column's type.
    path, field : pathlib.Path, str
        The file and the column's name, for the message.

    Returns
    -------
    numpy.ndarray
        Shape ``[n_rows]``, of arrays of str or float64.

    Raises
    ------
    UserError
        If a word of a float_seq is no finite number.
    """
    sequences = np.empty(len(block.line), dtype=object)
    for row, cell in enumerate(block.cells(column)):
        if ftype == "token_seq":
            sequences[row] = np.array([word for word in cell.split(separator) if word], dtype=str)
            continue
        words = [] if cell in _MISSING else [word for word in cell.split(separator) if word]
        line = int(block.line[row])
        sequences[row] = np.array([_number(w, path, line, field) for w in words], dtype=np.float64)
    return sequences


def _number(text: str, path: Path, line: int, field: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # Python's float also takes underscores and the digits of other scripts.
    if not math.isfinite(value) or "_" in text or not text.isascii():
        remedy = "Give finite numbers, and leave the cell empty where there is none."
        if _DATE.match(text):
            remedy = "Give seconds since 1970, as recbole-mm import writes them."
        raise wrong_line(path, line, f"has {text[:80]!r} in {field}, no finite number", remedy)
    return value


def _plain_numbers(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read cells of few digits, with a point or without.

    The digits and the power of ten are both exact, so their quotient is the nearest float64.

    Parameters
    ----------
    matrix : numpy.ndarray
        ``[n_rows, width]`` uint8, padded with 0.

    Returns
    -------
    value, is_plain : numpy.ndarray
        ``[n_rows]``, float64, and whether the cell is such a number.
    """
    digit = matrix - np.uint8(_ZERO)  # what is no digit wraps around to more than 9
    is_digit, is_point = digit < 10, matrix == _POINT
    n_digits, n_points = is_digit.sum(1), is_point.sum(1)
    is_plain = (n_digits > 0) & (n_digits <= _PLAIN_DIGITS) & (n_points <= 1)
    is_plain &= n_digits + n_points == (matrix != 0).sum(1)
    value = np.zeros(len(matrix), dtype=np.int64)
    for place in range(int((n_digits + n_points).max())):
        value = np.where(is_digit[:, place], 10 * value + digit[:, place], value)
    decimals = np.where(is_plain & (n_points > 0), n_digits - is_point.argmax(1), 0)
    return value / 10.0**decimals, is_plain
