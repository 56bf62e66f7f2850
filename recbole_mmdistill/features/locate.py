"""Where the feature files of a dataset lie."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from .conversion import read_npy
from .source import FeatureSource
from .store import open_features


def shipped() -> Path:
    """Give the folder of the features that come with this package."""
    return Path(str(resources.files("recbole_mmdistill.features") / "shipped"))


def find_features(dataset: str, modality: str, folders: Sequence[Path]) -> FeatureSource:
    """Open the features of one modality, from the first folder that has them.

    Parameters
    ----------
    dataset, modality : str
        Name the file: ``<dataset>.<modality>.safetensors``, or ``.npy`` beside ``.ids``.
    folders : sequence of pathlib.Path
        Where to look; the features that come with this package are looked for last.

    Returns
    -------
    FeatureSource

    Raises
    ------
    UserError
        If there is none, which says how to make it, or it is damaged.
    """
    name = f"{dataset}.{modality}"
    for folder in [*folders, shipped()]:
        if (folder / f"{name}.safetensors").is_file():
            return open_features(folder / f"{name}.safetensors")
        if (folder / f"{name}.npy").is_file():
            return read_npy(folder / f"{name}.npy", folder / f"{name}.ids", modality)
    return open_features(folders[0] / f"{name}.safetensors")  # says how to make it


def modalities_of(dataset: str, folders: Sequence[Path]) -> list[str]:
    """List the modalities that :func:`find_features` would find.

    Parameters
    ----------
    dataset : str
        Its name.
    folders : sequence of pathlib.Path
        Where to look.

    Returns
    -------
    list of str
        Text before image before any others, these by name.
    """
    found = {
        file.name.removeprefix(f"{dataset}.").rpartition(".")[0]
        for folder in [*folders, shipped()]
        for suffix in ("safetensors", "npy")
        for file in folder.glob(f"{dataset}.*.{suffix}")
    }
    found -= {name for name in found if "." in name}  # of another dataset whose name goes on so
    return sorted(found, key=lambda name: (name != "text", name != "image", name))
