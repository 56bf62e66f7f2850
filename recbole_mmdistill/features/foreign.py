"""Features made elsewhere: a ``.npy`` array and a file that names the item of each row."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import UserError
from .source import FeatureInfo, FeatureSource, as_item_tokens, as_tensor


def read_npy(values_path: str | Path, ids_path: str | Path, modality: str) -> FeatureSource:
    """Open a ``.npy`` file of features, mapped into memory, beside a file of item tokens.

    Parameters
    ----------
    values_path : str or pathlib.Path
        A ``.npy`` file of shape ``[n_items, n_tokens, dim]`` or ``[n_items, dim]``, float16 or
        float32.
    ids_path : str or pathlib.Path
        Either a text file in UTF-8 with one item token on each line, or a ``.npy`` file of shape
        ``[n_items]`` with strings or integers; row by row the items of the values.
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
    values = _load_array(values_path)
    item_tokens = _load_item_tokens(ids_path)
    if values.ndim > 0 and len(values) != len(item_tokens):
        raise UserError(
            f"{values_path} has {len(values)} rows, but {ids_path} names {len(item_tokens)} items.",
            "Give one item token for each row of the values, in the same order.",
        )
    return FeatureSource(
        values=as_tensor(str(values_path), values),
        token_mask=None,
        item_tokens=item_tokens,
        info=FeatureInfo(modality, source_fields=(values_path.name, ids_path.name)),
        name=f"{values_path} with {ids_path.name}",
        path=values_path,
        fingerprint=f"{_stamp(values_path)} {_stamp(ids_path)}",
        reopen=(read_npy, (str(values_path), str(ids_path), modality)),
    )


def _load_array(path: Path) -> np.ndarray:
    """Map a ``.npy`` file; no file that needs pickle is read."""
    if not path.is_file():
        raise UserError(f"There is no file {path}.", "Write it with numpy.save(path, values).")
    try:
        # Copy on write: torch wants memory it may write to, and the file must not change.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(
            f"{path} ({path.stat().st_size} bytes) is truncated, or no .npy file of plain numbers "
            f"or strings ({error}).",
            "Write it again with numpy.save(path, values, allow_pickle=False).",
        ) from None
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path} holds several arrays.", "Save one array with numpy.save.")
    return array


def _load_item_tokens(path: Path) -> np.ndarray:
    """Give the item tokens of a text file or ``.npy`` file, dtype object."""
    if path.suffix == ".npy":
        array = _load_array(path)
        if array.ndim != 1 or array.dtype.kind not in "iuU":
            raise UserError(
                f"{path} has dtype {array.dtype} and shape {list(array.shape)}, but must be one "
                "row of strings or integers.",
                "Save the item tokens as numpy.array(list of str).",
            )
        return as_item_tokens(str(path), array.astype(str).tolist())
    if not path.is_file():
        raise UserError(f"There is no file {path}.", "Write one item token on each line of it.")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 (byte {error.start}).", "Write it in UTF-8."
        ) from None
    if lines[-1] == "":
        lines.pop()
    if "" in lines:
        raise UserError(
            f"Line {lines.index('') + 1} of {path} is empty.", "Write one item token on each line."
        )
    return as_item_tokens(str(path), lines)


def _stamp(path: Path) -> str:
    """Give size and time of a file, which differ when it was written again."""
    status = path.stat()
    return f"{status.st_size}:{status.st_mtime_ns}"
