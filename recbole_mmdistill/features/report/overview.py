"""What there is to say of a dataset's features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import UserError
from ..locate import check_feature_path, find_features, modalities_of, shipped
from ..source import FeatureSource
from .catalogue import Catalogue
from .modality import ModalityFeatures

N_PROBES = 64


@dataclass(frozen=True)
class FeatureOverview:
    """The features of a dataset."""

    dataset: str
    catalogue: Catalogue
    modalities: dict[str, ModalityFeatures]  # measured
    covered: pd.DataFrame  # for each item, whether it has features of each modality
    # Items to look at, by their places in the catalogue: the most popular of those that have
    # features (True), and as many others, drawn at random.
    examples: dict[int, bool]


def inspect_features(
    dataset: str,
    folder: Path,
    feature_path: Path | None = None,
    modalities: Sequence[str] = (),
    n_examples: int = 8,
    seed: int = 0,
    item_field: str = "item_id",
    title_field: str | None = None,
) -> FeatureOverview:
    """Look at all features of a dataset; each file is read once, and never held as a whole.

    Parameters
    ----------
    dataset, folder : str, pathlib.Path
        Its name, and where its atomic files lie.
    feature_path : pathlib.Path, optional
        The folder of the features; by default they are looked for as training does.
    modalities : sequence of str
        Which ones; by default all there are.
    n_examples, seed : int
        How many items to show with their neighbours: half of them the most popular, half drawn.
    item_field, title_field : str
        Columns of the atomic files; the titles' is guessed by default.

    Raises
    ------
    UserError
        If there are no features, or a file is damaged.
    """
    sources = _find(dataset, folder, feature_path, modalities)
    catalogue = Catalogue(dataset, folder, item_field, title_field)
    found = {name: ModalityFeatures(source, catalogue) for name, source in sources.items()}
    every_item = np.arange(len(catalogue))
    covered = pd.DataFrame({name: np.isin(every_item, part.items) for name, part in found.items()})
    items = np.flatnonzero(covered.any(axis=1))
    by_popularity = items[np.argsort(-catalogue.n_interactions[items], kind="stable")]
    n_popular = (n_examples + 1) // 2
    drawn = _draw(by_popularity[n_popular:], n_examples // 2, seed)
    examples = dict.fromkeys(by_popularity[:n_popular].tolist(), True)
    examples.update(dict.fromkeys(drawn.tolist(), False))
    for part in found.values():
        # The few shown are too few to judge by, and the popular ones are not like the others.
        part.measure(np.array([*examples, *_draw(part.items, N_PROBES, seed)]))
    return FeatureOverview(dataset, catalogue, found, covered, examples)


def _find(
    dataset: str, folder: Path, feature_path: Path | None, modalities: Sequence[str]
) -> dict[str, FeatureSource]:
    """Open the features by modality, as training finds them."""
    check_feature_path(feature_path, modalities)
    folders = [folder, shipped()] if feature_path is None else [feature_path]
    found = list(dict.fromkeys(modalities)) or modalities_of(dataset, folders)
    if not found:
        raise UserError(
            f"There are no features of {dataset} in {folders[0]}.",
            f"Make them with `recbole-mm extract --dataset={dataset} --modality=text` (or image), "
            "or say with --feature_path where they lie.",
        )
    return {name: find_features(dataset, name, folder, feature_path) for name in found}


def _draw(items: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Draw different items, all of them if there are no more."""
    return np.random.default_rng(seed).choice(np.sort(items), min(n, len(items)), replace=False)
