"""Results reach the disk whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from . import signals
from .errors import UserError

_temporaries: set[Path] = set()
_TEMPORARY = re.compile(r"\..+\.\d+\.tmp")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of another once it is whole; folders are made as needed.

    Parameters
    ----------
    path : Path
        Where it will be. Until the block has ended without an exception, what was there stays.

    Yields
    ------
    BinaryIO
        To be written, and sought in.

    Raises
    ------
    OSError
        It cannot be written; nothing is left of it.
    """
    if "\0" in str(path):  # for which Python raises a ValueError
        raise OSError(f"{str(path)!r} is no path")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _temporaries.add(temporary)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent)
        with _open_locked(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name and no content
            os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        _temporaries.discard(temporary)


def _open_locked(temporary: Path) -> BinaryIO:
    """Open a new file whose lock says, until it is closed, that somebody writes it."""
    while True:
        file = open(temporary, "wb")
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(temporary)):
                return file
        file.close()  # it was taken for abandoned before it was locked


def _remove_abandoned(folder: Path) -> None:
    """Remove what processes that were killed have left: files that nobody holds the lock of."""
    names: list[str] = []
    with suppress(OSError):  # a folder that may be written and not listed
        names = [name for name in os.listdir(folder) if _TEMPORARY.fullmatch(name)]
    for name in names:
        with suppress(OSError):
            descriptor = os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(folder / name)
            finally:
                os.close(descriptor)


def _remove_temporaries() -> None:
    for temporary in list(_temporaries):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


signals.before_sudden_end(_remove_temporaries)


def check_writable(folder: str | Path, option: str) -> None:
    """See that files can be made in a folder, before there is something to lose.

    Parameters
    ----------
    folder : str or Path
        It need not exist yet; nothing is made.
    option : str
        What named it, for the message.

    Raises
    ------
    UserError
        It is a file, or may not be written.
    """
    there = _nearest(folder)
    if not there.is_dir():
        raise UserError(
            f"{option} is {folder}, but {there} is no folder.", "Move it away, or name another."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(
            f"{option} is {folder}, but {there} may not be written.",
            "Change its permissions, or name another folder.",
        )


@contextmanager
def alone_in(folder: Path, taken: UserError) -> Iterator[None]:
    """Be the only process that works in a folder, for as long as the block lasts.

    Parameters
    ----------
    folder : Path
        Made as needed; removed again if the block leaves it empty.
    taken : UserError
        Raised if another process is there, see :func:`is_taken`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    here = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(here, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise taken from None
        except OSError:  # a file system without locks
            pass
        try:
            yield
        finally:
            with suppress(OSError):  # while it is locked: it may be empty and another's by then
                folder.rmdir()
    finally:
        os.close(here)


def is_taken(folder: Path, option: str) -> UserError:
    """Give the error of a folder, named by an option, in which another process works."""
    return UserError(
        f"{option} is {folder}, where another process is at work.",
        "Wait until it has ended, or name another folder.",
    )


def _nearest(folder: str | Path) -> Path:
    """The folder, or the first above it that is there."""
    there = Path(folder).absolute()
    while not os.path.lexists(there):
        there = there.parent
    return there


def check_room(folder: str | Path, n_bytes: int = 1 << 24) -> None:
    """See that the disk has room for results, before they are computed.

    Parameters
    ----------
    folder : str or Path
        Where to; it need not exist yet.
    n_bytes : int
        How much room; nothing of it is kept.

    Raises
    ------
    UserError
        There is less, or the folder may not be written.
    """
    try:
        with tempfile.TemporaryFile(dir=_nearest(folder)) as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
    except OSError as error:
        raise UserError(
            f"{folder} has no room for {n_bytes >> 20} MiB of results ({error.strerror}).",
            "Make room on that disk, or name another folder; what is finished is kept.",
        ) from None


def plain_value(value: Any) -> Any:
    """Give what JSON has of a value that it does not know: numbers, lists, or else a text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def check_output(path: Path, option: str) -> None:
    """See that a file can be written, before there is something to lose.

    Parameters
    ----------
    path : Path
        Where to.
    option : str
        What named it, for the message.

    Raises
    ------
    UserError
        It is a folder, or its folder may not be written.
    """
    if path.is_dir():
        raise UserError(f"{option} is {path}, which is a folder.", "Name a file.")
    check_writable(path.parent, f"The folder of {option}")


def _sync_folder(folder: Path) -> None:
    """Make a new name last through a power cut, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, atomically; folders are made as needed.

    Parameters
    ----------
    path : Path
        Where to.
    text : str
        What.

    Raises
    ------
    UserError
        It cannot be written there; what was there before is still whole.
    """
    try:
        with replacing(path) as file:
            file.write(text.encode("utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error}).", "Give another path.") from None


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically; folders are made as needed.

    Parameters
    ----------
    path : Path
        Where to.
    value : object
        Of dicts, lists, strings, numbers, bools and None; arrays become lists, all else texts.

    Raises
    ------
    UserError
        It cannot be written there; what was there before is still whole.
    """
    write_text(path, json.dumps(value, indent=2, default=plain_value) + "\n")


def is_file_part(text: str) -> bool:
    """Whether a text can be part of the name of a file, and cannot lead out of its folder.

    Parameters
    ----------
    text : str
        For example a dataset's name.

    Returns
    -------
    bool
    """
    return (
        0 < len(text) <= 150
        and text.isprintable()
        and text == text.strip()
        and text not in (".", "..")
        and not set(text) & set("/\\")
    )
