"""Where an array lies in a ``.npy`` or ``.safetensors`` file, by a header that is checked first.

A header is text from anywhere. Both kinds are read by a grammar that knows what such files hold
and nothing else, and nothing is mapped before its size is known to be that of the file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import UserError

_NPY_HEADER = 10_000  # bytes; also the limit of numpy
_SAFETENSORS_HEADER = 1 << 20
_NPY_DTYPE = re.compile(r"[<>|=]?(f[248]|[iu][1248]|b1|U[1-9]\d{0,6})")
_NPY_ENTRY = re.compile(
    r"""\s*(['"])(\w+)\1\s*:\s*(?:(['"])([^'"]{1,20})\3|(True|False)|\(([\d\s,L]*)\))\s*(,|$)"""
)
_DTYPES = {
    **{"F16": "<f2", "F32": "<f4", "F64": "<f8", "BOOL": "|b1"},
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
}


@dataclass(frozen=True)
class StoredArray:
    """An array of plain numbers or strings in a file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    dtype : numpy.dtype
        Its dtype, of one or more bytes.
    shape : tuple of int
        Its shape.
    offset : int
        The byte where it begins.
    order : str
        ``C`` or ``F``.
    """

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    order: str = "C"

    @property
    def nbytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * self.dtype.itemsize

    def map(self) -> np.ndarray:
        """Map it into memory; what is written to it does not change the file."""
        if self.nbytes == 0:
            return np.zeros([min(axis, 1) for axis in self.shape], self.dtype)
        array = np.memmap(
            self.path, self.dtype, "c", self.offset, self.shape, "F" if self.order == "F" else "C"
        )
        return array if array.flags.aligned else np.array(array)


class _Damaged(Exception):
    """What is wrong with a header."""


def read_npy_header(path: Path) -> StoredArray:
    """Find the array of a ``.npy`` file.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    StoredArray

    Raises
    ------
    UserError
        If it cannot be read, is no such file, holds other things than numbers and strings, or has
        another size than its header says.
    """
    remedy = "Write it again with numpy.save(path, values, allow_pickle=False)."
    try:
        with open(path, "rb") as file:
            return _npy(path, file, path.stat().st_size)
    except _Damaged as error:
        what = "is truncated, or no .npy file of plain numbers or strings"
        raise _unreadable(path, what, error, remedy) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", remedy) from None


def _npy(path: Path, file: BinaryIO, size: int) -> StoredArray:
    start = file.read(8)
    if start[:4] == b"PK\x03\x04":
        raise UserError(f"{path} holds several arrays.", "Save one array with numpy.save.")
    if start[:6] != b"\x93NUMPY" or start[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise _Damaged(f"it begins with {start!r}")
    length = int.from_bytes(file.read(2 if start[6] == 1 else 4), "little")
    if length > _NPY_HEADER:
        raise _Damaged(f"its header would have {length} bytes")
    text = file.read(length).decode("latin-1")
    fields = _npy_fields(text)
    descr, order = fields.get("descr"), fields.get("fortran_order")
    shape: Any = fields.get("shape")
    is_sound = len(fields) == 3 and isinstance(order, bool) and isinstance(shape, tuple)
    if not is_sound or len(shape) > 32 or not _NPY_DTYPE.fullmatch(str(descr)):
        raise _Damaged(f"its header is {text.strip()[:100]!r}")
    stored = StoredArray(path, np.dtype(descr), shape, file.tell(), "F" if order else "C")
    if stored.offset + stored.nbytes != size:
        raise _Damaged(f"{stored.dtype} of shape {list(shape)} take {stored.nbytes} bytes")
    return stored


def _npy_fields(text: str) -> dict[str, Any]:
    """Read a dict of names to short strings, truth values and tuples of integers, or else {}."""
    text = text.strip()
    if text[:1] != "{" or text[-1:] != "}":
        return {}
    fields: dict[str, Any] = {}
    rest = text[1:-1].strip()
    while rest:
        found = _NPY_ENTRY.match(rest)
        if found is None or found[2] in fields:
            return {}
        fields[found[2]] = found[4] or found[5] == "True" if found[6] is None else _ints(found[6])
        rest = rest[found.end() :]
    return fields


def _ints(text: str) -> tuple[int, ...] | None:
    """Read what stands between the brackets of a tuple of integers; None if it is none."""
    words = [word.strip() for word in text.split(",")]
    if words[-1] == "":
        words.pop()
    elif len(words) == 1:
        return None
    sound = all(re.fullmatch(r"[0-9]{1,18}L?", word) for word in words)
    return tuple(int(word.rstrip("L")) for word in words) if sound else None


def read_safetensors_header(path: Path, remedy: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Find the arrays of a safetensors file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    remedy : str
        What to do if it cannot be read.

    Returns
    -------
    metadata : dict of str to str
    arrays : dict of str to StoredArray

    Raises
    ------
    UserError
        If it cannot be read, is no such file, has a dtype that numpy lacks, or another size than
        its header says.
    """
    try:
        with open(path, "rb") as file:
            return _safetensors(path, file, path.stat().st_size)
    except _Damaged as error:
        what = "is truncated, or no safetensors file of numbers"
        raise _unreadable(path, what, error, remedy) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", remedy) from None


def _safetensors(
    path: Path, file: BinaryIO, size: int
) -> tuple[dict[str, str], dict[str, StoredArray]]:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _SAFETENSORS_HEADER):
        raise _Damaged(f"its header would have {length} bytes")
    try:
        header = json.loads(file.read(length).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _Damaged(f"its header is no JSON: {error}") from None
    if not isinstance(header, Mapping):
        raise _Damaged("its header is no JSON object")
    entries = dict(header)
    metadata = entries.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())):
        raise _Damaged("its metadata are no strings")
    start = 8 + length
    arrays = {name: _entry(path, name, entry, start) for name, entry in entries.items()}
    end = start
    for array in sorted(arrays.values(), key=lambda array: (array.offset, array.nbytes)):
        if array.offset != end:
            raise _Damaged("its arrays overlap, or leave gaps")
        end += array.nbytes
    if end != size:
        raise _Damaged(f"its header is about {end} bytes")
    return metadata, arrays


def _entry(path: Path, name: str, entry: Any, start: int) -> StoredArray:
    if not isinstance(entry, dict):
        raise _Damaged(f"of {name[:50]!r} its header says nothing")
    dtype: Any = entry.get("dtype")
    shape: Any = entry.get("shape")
    place: Any = entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise _Damaged(f"the dtype of {name[:50]!r} is {str(dtype)[:50]!r}")
    if not (_are_sizes(shape) and _are_sizes(place) and len(place) == 2):
        raise _Damaged(f"the shape or place of {name[:50]!r} is wrong")
    stored = StoredArray(path, np.dtype(_DTYPES[dtype]), tuple(shape), start + place[0])
    if stored.nbytes != place[1] - place[0]:
        raise _Damaged(f"the shape of {name[:50]!r} is not that of its {place[1] - place[0]} bytes")
    return stored


def _are_sizes(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 32
        and all(type(number) is int and 0 <= number < 1 << 62 for number in value)
    )


def _unreadable(path: Path, what: str, error: _Damaged, remedy: str) -> UserError:
    return UserError(f"{path} ({path.stat().st_size} bytes) {what} ({error}).", remedy)
