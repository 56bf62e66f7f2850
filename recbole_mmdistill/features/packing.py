"""Strings as UTF-8 bytes and offsets, the one way they fit into a file of tensors."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def pack_strings(strings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join strings ``[n]`` into bytes (uint8) and offsets ``[n + 1]`` (int64).

    String i is ``data[offsets[i]:offsets[i + 1]]``. A UnicodeEncodeError is raised if one holds
    half of a surrogate pair, which is no character.
    """
    encoded = [string.encode("utf-8") for string in strings]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(data) for data in encoded], dtype=np.int64, out=offsets[1:])
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets


def unpack_strings(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Undo :func:`pack_strings`, giving ``[n]`` of dtype object.

    A ValueError is raised if the offsets do not cut the bytes into strings of UTF-8.
    """
    if data.dtype != np.uint8 or offsets.dtype != np.int64:
        raise ValueError(f"bytes and offsets have dtypes {data.dtype} and {offsets.dtype}")
    if data.ndim != 1 or offsets.ndim != 1:
        raise ValueError(f"bytes and offsets have {data.ndim} and {offsets.ndim} axes")
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(data):
        raise ValueError("the offsets do not span the bytes")
    if (offsets[1:] < offsets[:-1]).any():
        raise ValueError("the offsets do not ascend")
    whole, cuts = data.tobytes(), offsets.tolist()
    strings = [whole[begin:end].decode("utf-8") for begin, end in pairwise(cuts)]
    return np.array([*strings, None], dtype=object)[:-1]
