"""Results reach the disk whole or not at all; a YAML file is read, or said to be none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from .errors import UserError, near


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
    if not os.path.isfile(path):
        folder = path.parent if os.path.isdir(path.parent) else Path()
        close = near(path.name, (entry.name for entry in folder.iterdir()))
        raise UserError(f"There is no config file {file}.", f"Give a YAML file{close}.")
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # PyYAML raises nearly anything at a value that it cannot make
        reason = " ".join(str(error).split())
        raise UserError(f"{file} is no YAML: {reason}.", "Mend it there.") from None
    if not isinstance(read, dict):
        raise UserError(
            f"{file} holds {type(read).__name__}, no options.", "Write one `key: value` a line."
        )
    return read
