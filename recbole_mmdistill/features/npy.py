"""Features in a ``.npy`` file beside a file that names the item of each row. No unpickling."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from ..errors import UserError
from .source import FeatureInfo, FeatureSource, as_item_tokens, as_tensor, from_array

_ROW_NUMBER = re.compile(r"[0-9]{1,18}")
_AS_MADE = "Give the table that the features were made with; its rows count from 0."


def read_npy(values_path: str | Path, ids_path: str | Path, modality: str) -> FeatureSource:
    """Open a ``.npy`` file of features, mapped into memory, beside a file of item tokens.

    Parameters
    ----------
    values_path : str or pathlib.Path
        A ``.npy`` file of shape ``[n_items, n_tokens, dim]`` or ``[n_items, dim]``, float16 or
        float32.
    ids_path : str or pathlib.Path
        The items of its rows: a text file in UTF-8 with one item token on each line, row by row;
        or one with two columns separated by a tab, item token and row number (from 0), with or
        without a header line; or a ``.npy`` file of shape ``[n_items]`` with strings or integers.
    modality : str
        Name of the modality.

    Returns
    -------
    FeatureSource
        Pickled, it keeps only the paths.

    Raises
    ------
    UserError
        If a file is missing, truncated or of another format, or the two do not fit.
    """
    values_path, ids_path = Path(values_path).absolute(), Path(ids_path).absolute()
    values = map_features(values_path)
    item_tokens = read_ids(ids_path, values_path, len(values))
    stamps = [path.stat() for path in (values_path, ids_path)]
    return from_array(
        values,
        item_tokens,
        FeatureInfo(modality, source_fields=(values_path.name, ids_path.name)),
        name=f"{values_path} with {ids_path.name}",
        path=values_path,
        fingerprint=" ".join(f"{stamp.st_size}:{stamp.st_mtime_ns}" for stamp in stamps),
        reopen=(read_npy, (str(values_path), str(ids_path), modality)),
        remap=lambda: as_tensor(str(values_path), map_features(values_path)),
    )


def map_features(path: Path) -> np.ndarray:
    """Map a ``.npy`` file of features, any dtype, as ``[n_items, n_tokens, dim]``."""
    values = _map(path)
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise UserError(
            f"{path} has shape {list(values.shape)}, but must have shape [n_items, dim] or "
            "[n_items, n_tokens, dim] with no axis of length 0.",
            "Store one vector of length dim for each token of each item.",
        )
    return values[:, None] if values.ndim == 2 else values


def check_file(path: Path, advice: str) -> None:
    """Raise a UserError with `advice` if there is no such file, or it may not be read."""
    if not os.path.isfile(path):
        raise UserError(f"There is no file {path}.", advice)
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", advice) from None


def _map(path: Path) -> np.ndarray:
    """Map an array; what is written to it does not change the file."""
    advice = "Write it with numpy.save(path, values, allow_pickle=False)."
    check_file(path, advice)
    size = path.stat().st_size
    try:
        array = np.lib.format.open_memmap(path, mode="c")
        if array.dtype.kind not in "fiubU" or array.dtype.itemsize == 0:
            raise ValueError(f"its dtype is {array.dtype}")
        if array.offset + array.nbytes != size:
            raise ValueError(f"its header is about {array.offset + array.nbytes} bytes")
    except Exception as error:  # a damaged header makes numpy raise nearly anything
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} ({size} bytes) is truncated, or no .npy file of plain numbers or strings "
            f"({reason}).",
            advice,
        ) from None
    return array if array.flags.aligned else np.array(array)


def read_ids(ids_path: Path, values_path: Path, n_rows: int) -> np.ndarray:
    """Read which item each of `n_rows` rows belongs to, ``[n_rows]`` of str, from any ids file."""
    if ids_path.suffix == ".npy":
        tokens = _tokens_of_array(ids_path)
    else:
        tokens = _lines(ids_path)
        if "\t" in tokens[0]:
            tokens = _tokens_of_table(ids_path, tokens, values_path, n_rows)
    if len(tokens) != n_rows:
        raise UserError(
            f"{values_path} has {n_rows} rows, but {ids_path} names {len(tokens)} items.",
            "Give one item token for each row of the values, in the same order.",
        )
    return as_item_tokens(str(ids_path), tokens)


def _tokens_of_array(path: Path) -> list[str]:
    array = _map(path)
    advice = "Save the item tokens as numpy.array(list of str)."
    if array.ndim != 1 or array.dtype.kind not in "iuU":
        raise UserError(
            f"{path} has dtype {array.dtype} and shape {list(array.shape)}, but must be one "
            "row of strings or integers.",
            advice,
        )
    try:
        tokens = array.astype(str).tolist()
        "".join(tokens).encode()  # which no half of a surrogate pair survives
    except (ValueError, SystemError):  # the latter is how numpy refuses them
        raise UserError(f"{path} holds numbers that are no characters.", advice) from None
    return tokens


def _lines(path: Path) -> list[str]:
    advice = "Write in UTF-8 one item token on each line of it."
    check_file(path, advice)
    try:
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}).", advice) from None
    if "" in lines:
        raise UserError(f"Line {lines.index('') + 1} of {path} is empty.", advice)
    return lines


def _tokens_of_table(path: Path, lines: list[str], values_path: Path, n_rows: int) -> list[str]:
    """Put the tokens of lines ``<token>, tab, <row number>`` in the order of the rows."""
    token_of: dict[int, str] = {}
    has_header = not _ROW_NUMBER.fullmatch(lines[0].rpartition("\t")[2])
    for number, line in enumerate(lines[has_header:], start=1 + has_header):
        token, _, row = line.partition("\t")
        if not token or not _ROW_NUMBER.fullmatch(row):
            wrong = f"is {line!r}, but must be an item token, a tab and a row number"
        elif int(row) >= n_rows:
            wrong = f"names row {row}, but {values_path} has only {n_rows} rows"
        elif int(row) in token_of:
            wrong = f"names row {row}, which a line before it names, too"
        else:
            token_of[int(row)] = token
            continue
        raise UserError(f"Line {number} of {path} {wrong}.", _AS_MADE)
    if len(token_of) < n_rows:
        raise UserError(
            f"{n_rows - len(token_of)} of the {n_rows} rows of {values_path} have no line in "
            f"{path}: first row {min({*range(n_rows)} - token_of.keys())}.",
            _AS_MADE,
        )
    return [token_of[row] for row in range(n_rows)]
