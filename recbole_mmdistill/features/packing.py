"""Item tokens as UTF-8 bytes and offsets, the one way strings fit into a file of tensors."""

from __future__ import annotations

import numpy as np


def pack_strings(strings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join strings into UTF-8 bytes, with the place where each begins.

    Parameters
    ----------
    strings : numpy.ndarray
        Shape ``[n]``, dtype object, each a str.

    Returns
    -------
    data : numpy.ndarray
        Shape ``[n_bytes]``, uint8.
    offsets : numpy.ndarray
        Shape ``[n + 1]``, int64: string i is ``data[offsets[i]:offsets[i + 1]]``.

    Raises
    ------
    UnicodeEncodeError
        If a string holds half of a surrogate pair, which is no character.
    """
    data = np.frombuffer("".join(strings).encode("utf-8"), dtype=np.uint8)
    lengths = np.fromiter(map(len, strings), dtype=np.int64, count=len(strings))
    ends_in_characters = np.concatenate([[0], np.cumsum(lengths)])
    byte_of_character = np.append(np.flatnonzero(_begins_character(data)), len(data))
    return data, byte_of_character[ends_in_characters].astype(np.int64)


def unpack_strings(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Undo :func:`pack_strings`.

    Parameters
    ----------
    data : numpy.ndarray
        Shape ``[n_bytes]``, uint8.
    offsets : numpy.ndarray
        Shape ``[n + 1]``, int64.

    Returns
    -------
    numpy.ndarray
        Shape ``[n]``, dtype object, each a str.

    Raises
    ------
    ValueError
        If the offsets do not cut the bytes into strings, or the bytes are not UTF-8.
    """
    if data.dtype != np.uint8 or offsets.dtype != np.int64:
        raise ValueError(f"bytes and offsets have dtypes {data.dtype} and {offsets.dtype}")
    if data.ndim != 1 or offsets.ndim != 1:
        raise ValueError(f"bytes and offsets have {data.ndim} and {offsets.ndim} axes")
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(data):
        raise ValueError("the offsets do not span the bytes")
    if (offsets[1:] < offsets[:-1]).any():
        raise ValueError("the offsets do not ascend")
    text = data.tobytes().decode("utf-8")
    begins = np.append(_begins_character(data), True)
    if not begins[offsets].all():
        raise ValueError("an offset lies inside a character")
    character_of_byte = np.cumsum(begins) - 1
    cuts = character_of_byte[offsets].tolist()
    strings = np.empty(len(cuts) - 1, dtype=object)
    # Slicing through map() keeps the loop over a million items in C.
    strings[:] = list(map(text.__getitem__, map(slice, cuts[:-1], cuts[1:])))
    return strings


def _begins_character(data: np.ndarray) -> np.ndarray:
    """Mark the bytes that are not the continuation (0b10xxxxxx) of a UTF-8 character."""
    return (data & 0xC0) != 0x80
