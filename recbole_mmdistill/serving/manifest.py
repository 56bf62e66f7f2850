"""The folder of an export: what is in it, checked before any of it is used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .tables import DTYPES

NAME = "manifest.json"
FORMAT, VERSION = "recbole_mmdistill.export", 1
_AGAIN = "Export the checkpoint again."
_LARGEST = 1 << 24  # bytes of a manifest


@dataclass(frozen=True)
class Branch:
    """A part of states and vectors.

    Attributes
    ----------
    name : str
    width : int
    weight : float
        In the score of an item that has all sources.
    """

    name: str
    width: int
    weight: float


@dataclass(frozen=True)
class Manifest:
    """What an export says of itself.

    Attributes
    ----------
    model : str
        Name of the model.
    package : str
        Version of this package that wrote it.
    n_items : int
        The padding included.
    max_length : int
        Items of a history that are read.
    branches : list of Branch
        In the order of the table's columns.
    read_width : int
        Width of what the user encoder reads of an item.
    dtype : str
        Of the table.
    repeats : bool
        Whether there is a repeat bias.
    index : dict or None
        How the approximate index is searched, and what was measured of it.
    measured : dict
        How the export differs from the checkpoint.
    files : dict of str to dict
        Size and SHA-256 of each file.
    """

    model: str
    package: str
    n_items: int
    max_length: int
    branches: list[Branch]
    read_width: int
    dtype: str
    repeats: bool
    index: dict[str, Any] | None = None
    measured: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Width of states and vectors."""
        return sum(branch.width for branch in self.branches)


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest of a folder, and give it with sizes and hashes of the files there."""
    files = {
        path.name: {"size": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.iterdir())
        if path.name != NAME
    }
    manifest = replace(manifest, files=files)
    plain = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    (folder / NAME).write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    return manifest


def read_manifest(folder: Path, verify: bool = True) -> Manifest:
    """Read a manifest, and compare the files of the folder with it.

    Parameters
    ----------
    folder : Path
        An export.
    verify : bool
        Whether the files' hashes are compared, too: that reads all of them.

    Returns
    -------
    Manifest

    Raises
    ------
    UserError
        There is none, it is of another version, or a file is not the one it names.
    """
    path = folder / NAME
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        given = json.loads(path.read_text(encoding="utf-8"))
        if given["format"] != FORMAT:
            raise ValueError("it is of something else")
        if given["version"] != VERSION:
            raise UserError(
                f"{folder} is an export of version {given['version']!r}, but only {VERSION} can be "
                "read.",
                "Use the version of recbole_mmdistill that wrote it, or export again.",
            )
        manifest = _manifest(given)
    except FileNotFoundError:
        raise UserError(
            f"{folder} is no export: it has no {NAME}.", "Give a folder of `recbole-mm export`."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error!s:.200}).", _AGAIN) from None
    for name, facts in manifest.files.items():
        _check_file(folder / name, facts, verify)
    return manifest


def _manifest(given: Mapping[str, Any]) -> Manifest:
    fields = {name: given[name] for name in Manifest.__dataclass_fields__}
    fields["branches"] = [Branch(**branch) for branch in given["branches"]]
    manifest = Manifest(**fields)
    widths = [branch.width for branch in manifest.branches]
    for number in (manifest.n_items, manifest.max_length, manifest.read_width, *widths):
        if type(number) is not int or not 0 < number < 2**31:
            raise ValueError(f"{number!r} is no size")
    if manifest.dtype not in DTYPES or not widths:
        raise ValueError(f"its table is of {manifest.dtype!r} and {len(widths)} branches")
    for name in manifest.files:
        if Path(name).name != name:
            raise ValueError(f"{name!r} is no name of a file")
    return manifest


def _check_file(path: Path, facts: Mapping[str, Any], verify: bool) -> None:
    if not path.is_file():
        raise UserError(f"The export's file {path} is not there.", _AGAIN)
    size = path.stat().st_size
    if size != facts["size"]:
        raise UserError(
            f"{path} has {size} bytes, not the {facts['size']} it was made with.", _AGAIN
        )
    if verify and sha256(path) != facts["sha256"]:
        raise UserError(f"{path} is not the file that the export was made with.", _AGAIN)


def sha256(path: Path) -> str:
    """Give the SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_array(
    folder: Path, name: str, dtype: Any, shape: tuple[int, ...], mapped: bool = True
) -> np.ndarray:
    """Read an array of an export.

    Parameters
    ----------
    folder : Path
        The export.
    name : str
        Of the file.
    dtype : numpy dtype
        That it must have.
    shape : tuple of int
        That it must have; -1 is any size.
    mapped : bool
        Whether it stays in its file, and is read when it is needed. A file that is cut short while
        it is mapped ends the process.

    Raises
    ------
    UserError
        It is another array, or none.
    """
    path = folder / name
    try:
        array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise UserError(f"{path} is no array ({error!s:.200}).", _AGAIN) from None
    fits = len(array.shape) == len(shape) and all(
        wanted in (-1, size) for wanted, size in zip(shape, array.shape)
    )
    if array.dtype != np.dtype(dtype) or not fits or not array.flags.c_contiguous:
        raise UserError(
            f"{path} is an array of {array.dtype} and {list(array.shape)}, not of "
            f"{np.dtype(dtype)} and {list(shape)}.",
            _AGAIN,
        )
    return array.view(np.ndarray)  # np.memmap costs time for each slice


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Make a folder that takes the place of an export once it is whole.

    Parameters
    ----------
    folder : Path
        Where it will be; an export that is there is replaced, anything else is not.

    Yields
    ------
    Path
        The folder to write into.

    Raises
    ------
    UserError
        Something else is there, or it cannot be written.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"{folder} is there, and is no folder.", "Name another folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / NAME).is_file():
        raise UserError(
            f"The folder {folder} holds something else than an export.", "Name another folder."
        )
    making = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        making.mkdir(parents=True)
        yield making
        for path in making.iterdir():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        if folder.exists():
            os.rename(folder, old)
        os.rename(making, folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror or error}).", "Name another folder."
        ) from None
    finally:
        shutil.rmtree(making, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
