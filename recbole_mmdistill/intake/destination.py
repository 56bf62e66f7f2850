"""The folder of the new dataset: all of its files appear at once, and nothing before."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..datasets import SHIPPED_BY_RECBOLE
from ..errors import UserError
from ..files import alone_in
from .interactions import SPLITS

_NAME = re.compile(r"\w[\w.-]*")


class Destination:
    """Where a dataset is made.

    Attributes
    ----------
    folder : pathlib.Path
        Where it will be.
    making : pathlib.Path
        Where its files are written until then.
    scratch : pathlib.Path
        For what nobody keeps.
    """

    def __init__(self, dataset: str, folder: Path, workplace: Path) -> None:
        self._dataset = dataset
        self.folder = folder
        self.making = workplace / "dataset"
        self.scratch = workplace / "scratch"

    @property
    def report(self) -> Path:
        """The report's place in the finished dataset."""
        return self.folder / f"{self._dataset}.import.json"

    def publish(self) -> None:
        """Put the dataset where it belongs.

        A folder that is not there yet appears whole. In one that is, the files are replaced one by
        one, and the report is away until all of them are.
        """
        for path in self.making.iterdir():
            _to_disk(path)
        _to_disk(self.making)
        try:
            os.rename(self.making, self.folder)  # also over an empty folder
        except OSError:
            if not self.folder.is_dir():
                raise
            self.report.unlink(missing_ok=True)
            made = sorted(self.making.iterdir(), key=lambda path: path.name == self.report.name)
            for name in {*_files(self._dataset)} - {path.name for path in made}:
                (self.folder / name).unlink(missing_ok=True)
            for path in made:
                os.replace(path, self.folder / path.name)
            _to_disk(self.folder)
        _to_disk(self.folder.parent)


@contextmanager
def destination(dataset: str, data_path: Path, overwrite: bool) -> Iterator[Destination]:
    """Prepare a place for a dataset, and clear away what is not published.

    Parameters
    ----------
    dataset : str
        Its name.
    data_path : pathlib.Path
        The folder of the datasets' folders.
    overwrite : bool
        Whether one of this name may be replaced.

    Raises
    ------
    UserError
        The name cannot be one, there is such a dataset, another import makes it at the moment, or
        the place cannot be written.
    """
    folder = data_path / dataset
    check_name(dataset)
    there = [name for name in _files(dataset) if (folder / name).exists()]
    if there and not overwrite:
        raise UserError(
            f"There is a dataset {folder} ({there[0]}).",
            "Give another --dataset, or replace it by --overwrite.",
        )
    workplace = data_path / f".{dataset}.import"
    new = [path for path in (data_path, *data_path.parents) if not path.exists()]
    try:
        data_path.mkdir(parents=True, exist_ok=True)
        taken = f"Another import makes this dataset at the moment ({workplace})."
        with alone_in(workplace, UserError(taken, "Wait for it.")):
            place = Destination(dataset, folder, workplace)
            try:
                for path in (place.making, place.scratch):
                    shutil.rmtree(path, ignore_errors=True)  # of an import that was killed
                    path.mkdir()
                yield place
            finally:
                shutil.rmtree(workplace, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{error.filename or data_path} cannot be written ({error.strerror}).",
            "Give another --data_path.",
        ) from None
    finally:
        for path in new:
            with suppress(OSError):  # it is no longer empty
                path.rmdir()


def check_name(dataset: str) -> None:
    """Raise a UserError if a dataset cannot be called so."""
    if dataset == SHIPPED_BY_RECBOLE:
        raise UserError(
            f"{dataset!r} is the name of RecBole's own example, which every run would take.",
            "Give another --dataset, e.g. movielens-100k.",
        )
    if not _NAME.fullmatch(dataset):
        raise UserError(
            f"A dataset cannot be called {dataset!r}.",
            "Give a --dataset of letters, digits, '.', '_' and '-'.",
        )


def _files(dataset: str) -> list[str]:
    parts = [f"{dataset}.{split}.inter" for split in SPLITS]
    return [f"{dataset}.inter", f"{dataset}.item", *parts, f"{dataset}.import.json"]


def _to_disk(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that a power cut leaves no empty file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
