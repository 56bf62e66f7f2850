"""Results reach the disk whole or not at all; a YAML file is read, or said to be none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from . import signals
from .errors import UserError, near

_temporaries: set[Path] = set()


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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _temporaries.add(temporary)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name and no content
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        _temporaries.discard(temporary)


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
    there = Path(folder).absolute()
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        raise UserError(
            f"{option} is {folder}, but {there} is no folder.", "Move it away, or name another."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(
            f"{option} is {folder}, but {there} may not be written.",
            "Change its permissions, or name another folder.",
        )


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
        Of dicts, lists, strings, numbers, bools and None.

    Raises
    ------
    UserError
        It cannot be written there; what was there before is still whole.
    """
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_yaml(file: str) -> dict[str, Any]:
    """Read a YAML file of settings.

    Parameters
    ----------
    file : str
        Its path.

    Returns
    -------
    dict of str to object

    Raises
    ------
    UserError
        It does not exist, is no YAML, or holds something else than settings.
    """
    path = Path(file)
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        close = near(path.name, (entry.name for entry in folder.iterdir()))
        raise UserError(f"There is no config file {file}.", f"Give a YAML file{close}.")
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file} is no YAML: {reason}.", "Mend it there.") from None
    if not isinstance(read, dict):
        raise UserError(
            f"{file} holds {type(read).__name__}, no options.", "Write one `key: value` a line."
        )
    return read
