"""Whole lines of a text file as UTF-8, or the sentence that says why it is none."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError

FORMAT = "Give an atomic file of RecBole: UTF-8, columns separated by tabs, headed name:type."

_LINE_BYTES = 64 * 2**20  # no line is longer: a file without line ends would fill the memory
_NO_TEXT = {
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip archive or an Excel file",
    b"\xd0\xcf\x11\xe0": "an Excel file",
    b"PAR1": "a Parquet file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
}


def wrong_line(path: Path, line: int, what: str, remedy: str = FORMAT) -> UserError:
    """Make the error of a line.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    line : int
        The line's number, from 1.
    what : str
        What is wrong with it, as the sentence goes on: ``"is empty"``.
    remedy : str
        What to do.
    """
    return UserError(f"Line {line} of {path} {what}.", remedy)


def check_encoding(encoding: Any) -> str:
    """Give the name of an encoding as Python spells it; raise a UserError if it knows none."""
    try:
        "a".encode(encoding)  # no codec that makes bytes of bytes
        codecs.getincrementaldecoder(encoding)
        return codecs.lookup(encoding).name.removesuffix("-sig")
    except (LookupError, TypeError, ValueError):
        raise UserError(
            f"encoding is {encoding!r}.", "Name one that Python knows, such as utf-8 or latin-1."
        ) from None


def read_lines(path: Path, encoding: str, n_bytes: int) -> Iterator[tuple[int, int, bytes]]:
    """Read a text, some whole lines at a time.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    encoding : str
        As :func:`check_encoding` gives it.
    n_bytes : int
        About how many are read at once.

    Yields
    ------
    offset : int
        Where the lines begin in the file, in bytes (of a file in UTF-8).
    line : int
        The number of the first of them, from 1.
    data : bytes
        UTF-8 without a byte order mark, ended by a line feed.

    Raises
    ------
    UserError
        If the file cannot be read, is compressed, or holds what is no text of the encoding.
    """
    offset, line, rest = 0, 1, b""
    for number, chunk in enumerate(_read_as_utf8(path, encoding, n_bytes)):
        if number == 0 and chunk.startswith(codecs.BOM_UTF8):
            chunk, offset = chunk[3:], 3
        end = chunk.rfind(b"\n") + 1
        if not end:
            rest += chunk
            if len(rest) > _LINE_BYTES:
                raise wrong_line(path, line, f"is longer than {_LINE_BYTES >> 20} MiB")
            continue
        data, rest = rest + chunk[:end], chunk[end:]
        _check_characters(path, line, data)
        yield offset, line, data
        offset += len(data)
        line += data.count(b"\n")
    if rest:
        _check_characters(path, line, rest)
        yield offset, line, rest + b"\n"


def _read_as_utf8(path: Path, encoding: str, n_bytes: int) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            first = file.peek(8)
            for magic, kind in _NO_TEXT.items():
                if first.startswith(magic):
                    raise UserError(
                        f"{path} is {kind}, no text.",
                        "Unpack it, or make atomic files of it with recbole-mm import.",
                    )
            chunks = iter(lambda: file.read(n_bytes), b"")
            if encoding == "utf-8":
                yield from chunks
                return
            decoder = codecs.getincrementaldecoder(encoding)()
            for chunk in chunks:
                yield decoder.decode(chunk).encode()
            yield decoder.decode(b"", final=True).encode()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{path} cannot be read: {reason}.", "Give a file you may read.") from None
    except UnicodeError as error:
        raise UserError(
            f"{path} is not in the encoding {encoding} ({error}).",
            "Name the encoding it is in with the option encoding.",
        ) from None


def _check_characters(path: Path, line: int, data: bytes) -> None:
    """Refuse what is no UTF-8, a NUL, and a carriage return that ends no line."""
    place = data.find(b"\0")
    what, remedy = "holds a NUL character", FORMAT
    if place < 0 and not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            place = error.start
            line_start = data.rfind(b"\n", 0, place) + 1
            what = f"is not UTF-8 (byte {place - line_start} of it)"
            remedy = "Write the file in UTF-8, or name its encoding with the option encoding."
    if place < 0 and b"\r" in data:
        place = data.replace(b"\r\n", b"\n\n").find(b"\r", 0, -1)
        what, remedy = "has a carriage return inside", "End lines with \\n or with \\r\\n."
    if place >= 0:
        raise wrong_line(path, line + data.count(b"\n", 0, place), what, remedy)
