"""Inputs that are nearly sound: sound ones with a few changes, and odd values in odd places."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np

NUMBERS = (0, -1, 1, 2, 3, 255, 2**31, 2**63, -(2**63), 2**64, 10**30, 0.5, -0.0, 1e308)
NUMBERS += (math.nan, math.inf, -math.inf)
TEXTS = (
    *("", " ", "\0", "\ufeff", "\t", "\n", "\r", "é", "電影", "\u2028", "a\tb", "x" * 300, "007"),
    *("None", "null", "~", "True", "yes", "nan", "inf", "1e999", "1_000", "٣", "0x1f", "9" * 5000),
    *("[", "]", "{", "}", "(", ")", "[" * 700, "{" * 700, "[1,", "{a: ", "'", '"', "`", "\\", "%s"),
    *("2024-13-45", "!!int x", "!!timestamp x", "!!float ''", "!!python/object:os.system x", "? "),
    *("&a [*a]", "*a", "<<: x", "- ", ": ", "a: b: c", "|", ">", "%YAML 9", "---", "...", "#"),
    *("../x", "/", "/dev/null", "~/x", "-", "--", "=", "--a=b=c", "__import__('os')", "${x}"),
    *("id", "text", "mean", "learned", "auto", "full", "inf)", "[0,inf)", "MRR@10", "LS", "user"),
)


def value(rng: Random, depth: int = 2) -> Any:
    """Anything that YAML or JSON could hold."""
    kind = rng.randrange(8 if depth else 6)
    if kind < 2:
        return rng.choice(NUMBERS)
    if kind < 5:
        return rng.choice(TEXTS)
    if kind < 6:
        return rng.choice((None, True, False))
    inner = [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return inner if kind == 6 else {rng.choice(TEXTS): each for each in inner}


def changed(rng: Random, data: Any) -> Any:
    """The same nest of lists and dicts with one place changed, left out or put elsewhere."""
    if rng.random() < 0.15 or not isinstance(data, (list, dict)) or not data:
        return value(rng)
    if isinstance(data, list):
        at = rng.randrange(len(data))
        new = [] if rng.random() < 0.2 else [changed(rng, data[at])]
        return [*data[:at], *new, *data[at + 1 :]]
    key = rng.choice(list(data))
    kind = rng.random()
    if kind < 0.1:
        return {other: inner for other, inner in data.items() if other != key}
    if kind < 0.25:
        return {**data, rng.choice(TEXTS): value(rng)}
    if kind < 0.35:
        return {**data, key: data[rng.choice(list(data))]}
    return {**data, key: changed(rng, data[key])}


def mutated(rng: Random, data: bytes, words: Sequence[bytes] = ()) -> bytes:
    """The same bytes with one to four changes; ``words`` are what they may be changed into."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        first = rng.randint(0, len(data))
        last = min(len(data), first + rng.choice((1, 1, 2, 4, 8, 40)))
        kind = rng.randrange(7)
        if kind == 0:
            data[first:last] = rng.randbytes(last - first)
        elif kind == 1:
            del data[first:last]
        elif kind == 2:
            data[first:first] = data[first:last] * rng.choice((1, 1, 30))
        elif kind == 3:
            data[first:last] = rng.choice(words) if words else text(rng)
        elif kind == 4:
            data[first:first] = text(rng)
        elif kind == 5 and rng.random() < 0.3:
            del data[first:]
        elif first < len(data):
            data[first] ^= 1 << rng.randrange(8)
    return bytes(data)


def text(rng: Random) -> bytes:
    """An odd text or number."""
    return str(rng.choice(rng.choice((TEXTS, NUMBERS)))).encode("utf-8")


def of(*samples: bytes, words: Sequence[bytes] = ()) -> Callable[[Random], bytes]:
    """Make inputs from sound files by changing bytes."""
    return lambda rng: mutated(rng, rng.choice(samples), words)


def npy(*samples: bytes) -> Callable[[Random], bytes]:
    """Make ``.npy`` files whose headers are changed, and sound headers before any bytes."""
    words = [b"'descr'", b"'shape'", b"<f4", b"|O", b"<U3", b"<U0", b"f16", b"True", b"(", b"),"]
    words += [b"(3, -2)", b"(True, 2)", b"(3L, 2)", b"[('a', '<f4')]", b"i4,(,)f8", b"{", b"1e3"]

    def make(rng: Random) -> bytes:
        sample = rng.choice(samples)
        kind = rng.random()
        if kind < 0.2:
            return mutated(rng, sample, words)
        if kind < 0.6:
            dtype = np.dtype(rng.choice(("<f2", "<f4", ">f4", "<f8", "<i8", "|u1", "|b1", "<U2")))
            shape = rng.choice(((3, 2), (3, 1, 2), (3,), (2, 3), (3, 2, 2), (3, 0), ()))
            head = {"descr": dtype.str, "fortran_order": rng.random() < 0.3, "shape": shape}
            file = io.BytesIO()
            np.lib.format.write_array_header_1_0(file, head)
            size = math.prod(shape) * dtype.itemsize
            bits = rng.choice((b"\0", b"\1", b"\x3c", b"\xff", b"a\0\0\0", b"\0\xd8\0\0"))
            body = rng.randbytes(size) if rng.random() < 0.3 else (bits * size)[:size]
            return file.getvalue() + body
        header, body = sample[10 : 10 + sample[8]], sample[10 + sample[8] :]
        header = mutated(rng, header, words)
        if rng.random() < 0.5:
            return sample[:8] + min(len(header), 65535).to_bytes(2, "little") + header + body
        return sample[:6] + bytes([rng.randint(1, 3), 0]) + bytes([len(header) % 256]) * 4 + header

    return make


def safetensors(*samples: bytes) -> Callable[[Random], bytes]:
    """Make safetensors files with changed headers, which have the length that they say."""
    words = [b'"dtype"', b'"F16"', b'"BF16"', b'"BOOL"', b"[3,2]", b"[0,24]", b"-1", b"1e3", b"{}"]

    def make(rng: Random) -> bytes:
        sample = rng.choice(samples)
        end = 8 + int.from_bytes(sample[:8], "little")
        header, body = sample[8:end], sample[end:]
        kind = rng.random()
        if kind < 0.15:
            return mutated(rng, sample)
        if kind < 0.4:
            body = mutated(rng, body)[: len(body)].ljust(len(body), b"\0")
        elif kind < 0.6:
            header = mutated(rng, header, words)
        else:
            header = json.dumps(changed(rng, json.loads(header))).encode()
        return len(header).to_bytes(8, "little") + header + body

    return make


def lines(*samples: str) -> Callable[[Random], bytes]:
    """Make text files whose cells and lines are changed."""
    words = [b"\t", b"\n", b"\r\n", b"\r", b"\xff", b"\xef\xbb\xbf", b"\0", b":", b":token", b"nan"]
    return of(*(sample.encode("utf-8") for sample in samples), words=words)
