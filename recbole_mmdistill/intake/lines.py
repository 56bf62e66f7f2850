"""The lines of a text file, in blocks, whatever its encoding, line ends and packing are."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import UserError
from .form import Form, unpacked, unreadable
from .tally import Tally

BLOCK = 1 << 22  # bytes that are decoded at a time
MAX_LINE = 1 << 24  # characters; more is no table


class Block(NamedTuple):
    """Lines that follow one another, without their ends.

    Attributes
    ----------
    first : int
        Number of the first line, from 1.
    lines : list of str
    quotes : bool
        Whether any of them has a quotation mark.
    """

    first: int
    lines: list[str]
    quotes: bool


def read_blocks(
    path: Path, form: Form, tally: Tally, advance: Callable[[int], None]
) -> Iterator[Block]:
    """Read the lines of a text file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    form : Form
        As :func:`form_of` tells it.
    tally : Tally
        Counts lines that are not in the encoding; an empty line stands in for each.
    advance : callable
        Told the number of bytes of the disk that were read.

    Yields
    ------
    Block

    Raises
    ------
    UserError
        It is damaged, or not in its encoding.
    """
    try:
        with open(path, "rb") as file:
            yield from _split(path, form, _decode(path, form, file, tally, advance))
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from None


def _decode(
    path: Path, form: Form, file: BinaryIO, tally: Tally, advance: Callable[[int], None]
) -> Iterator[str]:
    """Give the text in pieces; those of encodings that keep ASCII end where lines do."""
    stream = unpacked(file) if form.packed else file
    by_lines = form.newline == "\n" and "\n".encode(form.encoding) == b"\n"
    decoder = codecs.getincrementaldecoder(form.encoding)("strict")
    rest, number, place, begun = b"", 1, 0, False
    while True:
        data = stream.read(BLOCK)
        advance(file.tell() - place)
        place = file.tell()
        end = not data
        try:
            if not by_lines:
                text = decoder.decode(data, end)
            else:
                data = rest + data
                cut = len(data) if end else data.rfind(b"\n") + 1
                data, rest = data[:cut], data[cut:]
                if len(rest) > 4 * MAX_LINE:
                    raise _too_long(path, number)
                text = data.decode(form.encoding)
        except UnicodeError as error:
            if not by_lines:
                raise UserError(
                    f"{path} is not {form.encoding.upper()} ({error}).",
                    f"Say its encoding by {form.option}.",
                ) from None
            text = "".join(_line_by_line(path, form, data, number, tally))
        yield text if begun else text.removeprefix("\ufeff")
        begun = begun or bool(text)
        number += data.count(b"\n") if by_lines else 0
        if end:
            return


def _line_by_line(path: Path, form: Form, data: bytes, number: int, tally: Tally) -> Iterator[str]:
    for count, line in enumerate(_lines(data), number):
        try:
            yield line.decode(form.encoding)
        except UnicodeError as error:
            if not form.lenient:
                at = error.start if isinstance(error, UnicodeDecodeError) else 0
                raise UserError(
                    f"Line {count} of {path} is not {form.encoding.upper()} "
                    f"(byte 0x{line[at]:02x}).",
                    f"Say its encoding, e.g. {form.option}=cp1252 for many files of Windows; "
                    f"{form.option}=utf-8 drops such lines and counts them.",
                ) from None
            tally.row()
            tally.drop("not_in_encoding", path, count)
            yield "\n"


def _lines(data: bytes) -> Iterator[bytes]:
    """Cut at line feeds alone; ``bytes.splitlines`` cuts at carriage returns, too."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end


def _split(path: Path, form: Form, texts: Iterator[str]) -> Iterator[Block]:
    rest, number = "", 1
    for text in texts:
        text = rest + text
        if form.newline == "\n":
            # A carriage return at the end may have its line feed in the next piece.
            text, held = (text[:-1], "\r") if text.endswith("\r") else (text, "")
            text = text.replace("\r\n", "\n") + held
        *lines, rest = text.split(form.newline)
        if len(rest) > MAX_LINE:
            raise _too_long(path, number + len(lines))
        if lines:
            yield Block(number, lines, '"' in text)
            number += len(lines)
    if rest.strip("\r"):
        yield Block(number, [rest.removesuffix("\r")], '"' in rest)


def _too_long(path: Path, number: int) -> UserError:
    return UserError(
        f"Line {number} of {path} has more than {MAX_LINE} characters.", "Give a table."
    )
