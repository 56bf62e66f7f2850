"""Where the feature files of a dataset lie: where ``feature_path`` says, or else by their names."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import UserError, near
from .npy import read_npy
from .source import FeatureSource
from .store import open_features

PRELOADED = "preload:"  # begins the value of a modality that RecBole itself has read
_USUAL = {"text", "image"}
_HOW = "Give a folder, or the file of each modality such as {text: FILE, image: FILE}"


def shipped() -> Path:
    """Give the folder of the features that come with this package."""
    return Path(str(resources.files("recbole_mmdistill.features") / "shipped"))


def check_feature_path(feature_path: Any, modalities: Sequence[str]) -> None:
    """Check the option ``feature_path``: None, a folder, or a mapping of modalities to files.

    The mapping may name ``text`` and ``image`` beside those that are used, or any if it has a file
    for each of them. A UserError is raised if it is something else, there is no such folder, or a
    name in it is no modality.
    """
    if isinstance(feature_path, Mapping):
        unnamed = [name for name in modalities if feature_path.get(name) is None]
        for name, file in feature_path.items():
            if file is not None and not _is_path(file):
                raise UserError(
                    f"feature_path of {name} is {file!r}, which names no file.", f"{_HOW}."
                )
            if unnamed and name not in {*modalities, *_USUAL}:
                raise UserError(
                    f"feature_path names {name!r}, but modalities is {[*modalities]}.",
                    f"Give the file of each of them{near(str(name), unnamed)}.",
                )
    elif feature_path is not None and not _is_path(feature_path):
        raise UserError(f"feature_path is {feature_path!r}, which is no path.", f"{_HOW}.")
    elif feature_path is not None and not os.path.isdir(feature_path):
        what = "is a file" if os.path.isfile(feature_path) else "does not exist"
        raise UserError(f"feature_path is the folder {feature_path}, which {what}.", f"{_HOW}.")


def _is_path(value: Any) -> bool:
    return isinstance(value, Path) or (isinstance(value, str) and value.strip() != "")


def find_features(
    dataset: str, modality: str, folder: Path, feature_path: Any = None
) -> FeatureSource:
    """Open the features of one modality.

    Parameters
    ----------
    dataset, modality : str
        Name the file: ``<dataset>.<modality>.safetensors``, or ``.npy`` beside ``.ids``.
    folder : pathlib.Path
        The dataset's own. It is looked in if ``feature_path`` does not say where this modality
        lies, and then the features that come with this package.
    feature_path : object, optional
        The option, see :func:`check_feature_path`. What it names is opened, and nothing else.

    Raises
    ------
    UserError
        If there is none, which says how to make it, or it is damaged.
    """
    if isinstance(feature_path, Mapping) and feature_path.get(modality) is not None:
        path = Path(feature_path[modality])
        if not os.path.isfile(path):
            what = "is a folder" if os.path.isdir(path) else "does not exist"
            there = os.listdir(path.parent) if os.path.isdir(path.parent) else ()
            raise UserError(
                f"feature_path of {modality} is the file {path}, which {what}.",
                f"Give a .safetensors or .npy file{near(path.name, there)}.",
            )
        return _open(path, modality)
    is_named = feature_path is not None and not isinstance(feature_path, Mapping)
    name = f"{dataset}.{modality}"
    for place in [Path(feature_path)] if is_named else [folder, shipped()]:
        for suffix in ("safetensors", "npy"):
            if os.path.isfile(place / f"{name}.{suffix}"):
                return _open(place / f"{name}.{suffix}", modality)
    if is_named:
        raise UserError(
            f"feature_path is {feature_path}, where there is neither {name}.safetensors nor "
            f"{name}.npy.",
            f"{_HOW}{near(f'{name}.safetensors', os.listdir(feature_path))}.",
        )
    if re.search(r"[\[\],\s]", modality):
        raise UserError(
            f"modalities has {modality!r}, which is no name.",
            "Write a list in brackets, for example --modalities=[text,image].",
        )
    there = modalities_of(dataset, [folder, shipped()])
    if modality not in _USUAL and near(modality, [*_USUAL, *there]):
        raise UserError(
            f"{dataset} has no features {modality!r}.",
            f"Features of it are {', '.join(there) or 'none'}{near(modality, [*_USUAL, *there])}.",
        )
    return open_features(folder / f"{name}.safetensors")  # says how to make it


def _open(path: Path, modality: str) -> FeatureSource:
    if path.suffix == ".npy":
        return read_npy(path, path.with_suffix(".ids"), modality)
    return open_features(path)


def modalities_of(dataset: str, folders: Sequence[Path]) -> list[str]:
    """List the modalities that have a feature file in some folders: text, image, others by name."""
    found = {
        file.name.removeprefix(f"{dataset}.").rpartition(".")[0]
        for folder in folders
        for suffix in ("safetensors", "npy")
        for file in folder.glob(f"{glob.escape(dataset)}.*.{suffix}")
    }
    found -= {name for name in found if "." in name}  # of another dataset whose name goes on so
    return sorted(found, key=lambda name: (name != "text", name != "image", name))
