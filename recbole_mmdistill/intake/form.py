"""What lies on the disk: the parts of a source, and what each is by its first bytes."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import UserError, near

HEAD = 1 << 20  # bytes by which a file's form is told

_GZIP = b"\x1f\x8b"
_AS_CSV = "Save it as CSV, Parquet or JSON lines."
_UNPACK = "Unpack it first, or pack it with gzip."
_REFUSED = {  # by their first bytes
    b"PK\x03\x04": ("is a zip archive or an Excel workbook", "Unpack it, or save a sheet as CSV."),
    b"PK\x05\x06": ("is an empty zip archive", "Give the file that was to be in it."),
    b"\xd0\xcf\x11\xe0": ("is an old Excel workbook", "Save the sheet as CSV."),
    b"BZh": ("is packed with bzip2", _UNPACK),
    b"\xfd7zXZ\x00": ("is packed with xz", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("is packed with zstd", _UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("is a 7z archive", _UNPACK),
    b"Rar!": ("is a rar archive", _UNPACK),
    b"SQLite format 3": ("is an SQLite database", "Export the table as CSV."),
    b"ARROW1": ("is an Arrow (Feather) file", _AS_CSV),
    b"Obj\x01": ("is an Avro file", _AS_CSV),
    b"ORC": ("is an ORC file", _AS_CSV),
    b"\x89HDF": ("is an HDF5 file", _AS_CSV),
    b"\x93NUMPY": ("is a NumPy array", _AS_CSV),
    b"%PDF": ("is a PDF", _AS_CSV),
    b"\x80\x02": ("is a pickle, which is never read", _AS_CSV),
    b"\x80\x03": ("is a pickle, which is never read", _AS_CSV),
    b"\x80\x04": ("is a pickle, which is never read", _AS_CSV),
    b"\x80\x05": ("is a pickle, which is never read", _AS_CSV),
    b"version https://git-lfs": ("is a pointer of Git LFS", "Fetch the file by `git lfs pull`."),
}
_MARKUP = re.compile(rb"\s*<(!doctype|html|\?xml)", re.I)
_MARKS = {  # byte order marks; UTF-32 before UTF-16, whose mark it begins with
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_SPLITS = {"train": ".0.", "valid": ".1.", "test": ".2."}
_NOT_DATA = re.compile(r"[._]|.*\.crc$")  # as Spark leaves them beside the parts


class Form(NamedTuple):
    """What the first bytes of a file say.

    Attributes
    ----------
    kind : str
        ``parquet``, ``json`` (lines), ``text`` or ``empty``.
    packed : bool
        Whether it is packed with gzip.
    encoding : str
        Of its text.
    lenient : bool
        Whether lines that are not in the encoding are dropped; else they are refused.
    newline : str
        What ends its lines.
    head : str
        How its text begins, whole lines.
    option : str
        What says its encoding on the command line, for messages.
    """

    kind: str
    packed: bool
    encoding: str = ""
    lenient: bool = False
    newline: str = "\n"
    head: str = ""
    option: str = "--encoding"


def parts_of(path: Path) -> list[Path]:
    """List the files of a source: the file, or those of a folder, ``part-2`` before ``part-10``.

    Parameters
    ----------
    path : pathlib.Path
        A file or a folder.

    Raises
    ------
    UserError
        There is none, it is no plain file, or the folder holds nothing.
    """
    try:
        if path.is_file():
            return [path]
        if not path.exists():
            folder = path.parent if path.parent.is_dir() else Path()
            close = near(path.name, (entry.name for entry in folder.iterdir()))
            raise UserError(f"There is no file {path}.", f"Give a file or a folder{close}.")
        if not path.is_dir():
            raise UserError(f"{path} is no plain file.", "Give a file or a folder of files.")
        entries = [entry for entry in path.iterdir() if not _NOT_DATA.match(entry.name)]
        files = sorted((entry for entry in entries if entry.is_file()), key=_natural)
    except OSError as error:
        raise unreadable(path, error) from None
    if not files:
        raise UserError(f"The folder {path} holds no files.", "Give the folder that has them.")
    return files


def form_of(path: Path, encoding: str | None = None, option: str = "--encoding") -> Form:
    """Tell what a file is by its first bytes; its name says nothing.

    Parameters
    ----------
    path : pathlib.Path
        A plain file.
    encoding : str, optional
        Of its text; by default UTF-8, or what its byte order mark says.
    option : str
        What says the encoding on the command line, for messages.

    Raises
    ------
    UserError
        It is nothing that can be read as a table, which is said, or cannot be read at all.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(len(_GZIP))
            packed = head == _GZIP
            file.seek(0)
            head = unpacked(file).read(HEAD) if packed else file.read(HEAD)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from None
    if not head:
        return Form("empty", packed)
    if head.startswith(b"PAR1"):
        if packed:
            raise UserError(f"{path} is Parquet packed with gzip.", "Unpack it.")
        return Form("parquet", packed)
    for signature, (what, remedy) in _REFUSED.items():
        if head.startswith(signature):
            raise UserError(f"{path} {what}.", remedy)
    if _MARKUP.match(head):
        raise UserError(f"{path} is a web page or XML, no table.", "Fetch the file again.")
    return _text_form(path, head, packed, encoding, option)


def _text_form(path: Path, head: bytes, packed: bool, encoding: str | None, option: str) -> Form:
    mark = next((mark for mark in _MARKS if head.startswith(mark)), b"")
    found = _MARKS.get(mark) or encoding or _utf_16_without_mark(head) or "utf-8"
    if found.startswith("utf-8") and b"\0" in head:
        raise UserError(
            f"{path} is no text in UTF-8: it holds zero bytes.",
            f"Save it as CSV, or say its encoding, e.g. {option}=utf-16-le.",
        )
    try:
        text = codecs.getincrementaldecoder(found)("replace").decode(head).removeprefix("\ufeff")
    except UnicodeError as error:
        raise UserError(f"{path} is not {found.upper()} ({error}).", "Say another.") from None
    newline = "\n" if "\n" in text or "\r" not in text else "\r"
    whole = text if len(head) < HEAD else text[: text.rfind(newline) + 1] or text
    kind = "text"
    if not text.strip():
        kind = "empty" if len(head) < HEAD else "text"
    elif whole.lstrip().startswith("{"):
        kind = "json"
    elif re.match(r"\s*\[\s*[\[{\]]", whole):
        raise UserError(
            f"{path} is one JSON array, not JSON lines.",
            "Write one object a line, e.g. by `jq -c '.[]'`.",
        )
    return Form(kind, packed, found, encoding is not None, newline, whole, option)


def _utf_16_without_mark(head: bytes) -> str | None:
    """Tell UTF-16 by the zero bytes that Latin letters have in it."""
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if zeros.count(0) > 0.4 * len(zeros):
            text = head[: 1 << 10].decode(encoding, "replace")
            if sum(char.isprintable() or char in "\t\r\n" for char in text) > 0.9 * len(text):
                return encoding
    return None


def check_encoding(name: str | None) -> str | None:
    """Give the name of an encoding of text as Python has it, or raise a UserError."""
    if name is None:
        return None
    try:
        info = codecs.lookup(name)
        "a\n".encode(name)
    except (LookupError, UnicodeError, ValueError):
        info = None
    if info is None or not getattr(info, "_is_text_encoding", True) or info.name == "undefined":
        raise UserError(f"There is no encoding {name!r}.", "Say e.g. utf-8, cp1252 or gb18030.")
    return "utf-8" if info.name == "utf-8-sig" else info.name


def unpacked(file: BinaryIO) -> BinaryIO:
    """Unpack a file by gzip while it is read; what is damaged raises at once or at its end."""
    return gzip.GzipFile(fileobj=file, mode="rb")  # type: ignore[return-value]


def _natural(path: Path) -> list[tuple[int, int, str]]:
    # Of given splits, the training comes first: it is the earlier.
    name = re.sub(r"\.(train|valid|test)\.", lambda split: _SPLITS[split[1]], path.name)
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


def unreadable(path: Path, error: Exception) -> UserError:
    """Give the mistake of the user's that an error of reading or unpacking is."""
    if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
        return UserError(f"{path} cannot be read ({error.strerror}).", "Check its rights.")
    reason = " ".join(str(error).split())
    return UserError(f"{path} is a damaged gzip file ({reason}).", "Fetch or pack it again.")
