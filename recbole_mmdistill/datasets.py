"""Where a dataset's atomic files lie."""

from __future__ import annotations

import glob
import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .errors import UserError, near, show
from .files import is_file_part

SHIPPED_BY_RECBOLE = "ml-100k"


def wrong_dataset(name: Any) -> Iterator[str]:
    """Say what is wrong with the name of a dataset, which is part of the names of its files.

    Parameters
    ----------
    name : object
        A name, or anything else.

    Yields
    ------
    str
        The name, and what it could be.
    """
    if not isinstance(name, str) or not name:
        yield f"dataset is {show(name)}, which is no name of a dataset"
    elif not is_file_part(name):
        hint = "a name has no / in it and is part of the names of files"
        folder, _, last = name.rstrip("/").rpartition("/")
        if folder.strip("/.") and is_file_part(last):
            hint = f"say --data_path={folder} --dataset={last}"
        yield f"dataset is {name!r:.160}, which is no name of a dataset: {hint}"


def dataset_folder(
    dataset: str, data_path: str | Path, suffixes: Sequence[str] = ("inter",)
) -> Path:
    """Find the folder of a dataset as RecBole does.

    Parameters
    ----------
    dataset : str
        Its name.
    data_path : str or pathlib.Path
        The folder of the datasets' folders.
    suffixes : sequence of str
        Kinds of atomic files, one of which has to be there.

    Returns
    -------
    pathlib.Path
        Holds ``<dataset>.<suffix>``, or ``<dataset>.<split>.<suffix>``.

    Raises
    ------
    UserError
        If there is none; the message has the names nearest to it. Or the name is none.
    """
    if wrong := [*wrong_dataset(dataset)]:
        raise UserError(f"{wrong[0]}.", "Give the name of a dataset.")
    if dataset == SHIPPED_BY_RECBOLE:
        spec = importlib.util.find_spec("recbole")
        assert spec is not None and spec.origin is not None  # this package needs it
        return Path(spec.origin).parent / "dataset_example" / dataset
    data_path = Path(data_path)
    folder = data_path / dataset
    for suffix in suffixes:
        parts = glob.glob(f"{glob.escape(dataset)}.*.{suffix}", root_dir=folder)
        if parts or os.path.isfile(folder / f"{dataset}.{suffix}"):
            return folder
    if os.path.isdir(folder):
        raise UserError(
            f"The folder {folder} has no {dataset}.{suffixes[0]}.",
            "Name the atomic files as the dataset, or give another --dataset.",
        )
    there = [entry.name for entry in data_path.glob("*/")] if os.path.isdir(data_path) else []
    close = near(dataset, [*there, SHIPPED_BY_RECBOLE])
    raise UserError(
        f"There is no dataset {dataset!r} in {data_path}.",
        f"Put its atomic files into {folder}, or say with --data_path where they lie{close}.",
    )
