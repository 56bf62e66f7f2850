"""One pass over the feature file of each modality, and what is seen on the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import UserError
from ..align import N_EXAMPLES, UnknownItems
from ..locate import find_features, modalities_of, shipped
from ..source import FeatureSource
from .catalogue import Catalogue
from .neighbours import NearestNeighbours
from .overview import (
    DuplicateGroup,
    Example,
    FeatureOverview,
    ModalityOverview,
    Neighbour,
    Share,
)
from .popularity import GROUPS
from .vectors import Measures, norms_of, read_batches, read_items

N_LARGEST = 5
N_OF_GROUP = 6
N_PROBES = 64

Near = tuple[Neighbour, ...] | None


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
    dataset : str
        Its name.
    folder : pathlib.Path
        Where its atomic files lie.
    feature_path : pathlib.Path, optional
        The folder of the features; by default they are looked for as training does.
    modalities : sequence of str
        Which ones; by default all there are.
    n_examples : int
        How many items to show with their neighbours: half of them the most popular, half drawn.
    seed : int
        To draw them with.
    item_field, title_field : str
        Columns of the atomic files; the titles' is guessed by default.

    Returns
    -------
    FeatureOverview

    Raises
    ------
    UserError
        If there are no features, or a file is damaged.
    """
    sources = _find(dataset, folder, feature_path, modalities)
    catalogue = Catalogue(dataset, folder, item_field, title_field)
    rows = {modality: _Rows(source, catalogue) for modality, source in sources.items()}
    has = np.array([rows[modality].present for modality in sources])  # [n_modalities, n_items]
    has_any = np.flatnonzero(has.sum(axis=0))
    popular, drawn = _choose(has_any, catalogue.n_interactions, n_examples, seed)
    chosen = np.concatenate([popular, drawn])
    overviews = []
    neighbours: dict[int, dict[str, Near]] = {i: {} for i in chosen}
    for modality, source in sources.items():
        overview, near = _look(modality, source, rows[modality], catalogue, chosen, seed)
        overviews.append(overview)
        for item, found in near.items():
            neighbours[item][modality] = found
    return FeatureOverview(
        dataset=dataset,
        n_items=len(catalogue),
        n_interactions=int(catalogue.n_interactions.sum()),
        group_sizes=tuple(np.bincount(catalogue.groups, minlength=len(GROUPS)).tolist()),
        modalities=tuple(overviews),
        combinations=_combinations(list(sources), has),
        examples=tuple(
            Example(catalogue.item(item), at < len(popular), neighbours[item])
            for at, item in enumerate(chosen.tolist())
        ),
        seed=seed,
    )


def _find(
    dataset: str, folder: Path, feature_path: Path | None, modalities: Sequence[str]
) -> dict[str, FeatureSource]:
    """Open the features by modality, as training finds them."""
    if feature_path is not None and not feature_path.is_dir():
        raise UserError(
            f"There is no folder {feature_path}.", "Give the folder of the feature files."
        )
    folders = [folder, shipped()] if feature_path is None else [feature_path]
    found = list(dict.fromkeys(modalities)) or modalities_of(dataset, folders)
    if not found:
        raise UserError(
            f"There are no features of {dataset} in {folders[0]}.",
            f"Make them with `recbole-mm extract --dataset={dataset} --modality=text` (or image), "
            "or say with --feature_path where they lie.",
        )
    return {modality: find_features(dataset, modality, folder, feature_path) for modality in found}


class _Rows:
    """Which item each row of a source belongs to, and which items have a row.

    As in training, an item whose every token is masked has no features.
    """

    def __init__(self, source: FeatureSource, catalogue: Catalogue) -> None:
        self.item_of_row = catalogue.item_of_row(source)
        unknown = source.item_tokens[self.item_of_row < 0]
        self.unknown_items = UnknownItems(len(unknown), tuple(unknown[:N_EXAMPLES]))
        self.n_empty = 0
        if source.token_mask is not None:
            is_empty = ~source.token_mask.any(dim=1).numpy() & (self.item_of_row >= 0)
            self.n_empty = int(is_empty.sum())
            self.item_of_row[is_empty] = -1
        self.present = np.zeros(len(catalogue), dtype=bool)
        self.present[self.item_of_row[self.item_of_row >= 0]] = True


def _choose(
    items: np.ndarray, n_interactions: np.ndarray, n_examples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the most popular of some items, and draw as many of the others."""
    by_popularity = items[np.argsort(-n_interactions[items], kind="stable")]
    n_popular = (n_examples + 1) // 2
    return by_popularity[:n_popular], _draw(by_popularity[n_popular:], n_examples // 2, seed)


def _draw(items: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Draw different items, all of them if there are no more."""
    return np.random.default_rng(seed).choice(np.sort(items), min(n, len(items)), replace=False)


def _look(
    modality: str,
    source: FeatureSource,
    rows: _Rows,
    catalogue: Catalogue,
    chosen: np.ndarray,
    seed: int,
) -> tuple[ModalityOverview, dict[int, Near]]:
    """Read the features of a modality once; give the neighbours of those chosen that have it."""
    # The few chosen are too few to judge by, and the popular ones are not like the others.
    probes = _draw(np.flatnonzero(rows.present), N_PROBES, seed)
    queries = read_items(source, rows.item_of_row, np.concatenate([chosen, probes]))
    vectors = queries.vectors()
    norms = norms_of(vectors)
    nearest = NearestNeighbours(queries.items[_has_direction(norms)], _units(vectors, norms))
    measures = Measures(len(catalogue))
    for batch in read_batches(source, rows.item_of_row, f"reading {modality}"):
        vectors = batch.vectors()
        norms = norms_of(vectors)
        measures.add(batch, norms)
        nearest.add(batch.items[_has_direction(norms)], _units(vectors, norms))
    place = {item: at for at, item in enumerate(nearest.query_items.tolist())}
    near: dict[int, Near] = {}
    for item in chosen[rows.present[chosen]].tolist():
        near[item] = _neighbours(nearest, place[item], catalogue) if item in place else None
    duplicates = measures.duplicates()
    present, counts = rows.present, catalogue.n_interactions
    overview = ModalityOverview(
        modality=modality,
        info=source.info,
        path=source.path or Path(source.name),
        n_bytes=source.path.stat().st_size if source.path else 0,
        n_rows=len(source),
        n_tokens=source.values.shape[1],
        dim=source.values.shape[2],
        dtype=str(source.values.dtype).removeprefix("torch."),
        items=Share(int(present.sum()), len(catalogue)),
        interactions=Share(int(counts[present].sum()), int(counts.sum())),
        groups=tuple(
            Share(int((present & of_group).sum()), int(of_group.sum()))
            for of_group in (catalogue.groups == group for group in range(len(GROUPS)))
        ),
        n_empty=rows.n_empty,
        unknown_items=rows.unknown_items,
        norms=measures.norms(),
        n_zero=measures.n_zero,
        n_not_finite=measures.n_not_finite,
        n_duplicates=sum(map(len, duplicates)),
        n_duplicate_groups=len(duplicates),
        largest_groups=tuple(
            DuplicateGroup(
                size=len(group),
                is_zero=measures.is_zero(group[0]),
                examples=tuple(catalogue.item(item) for item in group[:N_OF_GROUP].tolist()),
            )
            for group in duplicates[:N_LARGEST]
        ),
        closeness=nearest.closeness(),
    )
    return overview, near


def _neighbours(nearest: NearestNeighbours, at: int, catalogue: Catalogue) -> Near:
    return tuple(
        Neighbour(catalogue.item(other), float(similarity))
        for other, similarity in zip(nearest.items[at].tolist(), nearest.similarities[at])
        if other >= 0
    )


def _has_direction(norms: np.ndarray) -> np.ndarray:
    return np.isfinite(norms) & (norms > 0)


def _units(vectors: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Divide those vectors that have a direction by their norms."""
    usable = _has_direction(norms)
    return (vectors[usable] / norms[usable, None]).astype(np.float32)


def _combinations(
    modalities: Sequence[str], has: np.ndarray
) -> tuple[tuple[tuple[str, ...], int], ...]:
    """Count the items by which modalities they have."""
    codes, numbers = np.unique(has.T @ (1 << np.arange(len(modalities))), return_counts=True)
    count = {
        tuple(modality for at, modality in enumerate(modalities) if code >> at & 1): number
        for code, number in zip(codes.tolist(), numbers.tolist())
    }
    several = sorted((which for which in count if len(which) > 1), key=len, reverse=True)
    order = dict.fromkeys([tuple(modalities), *several, *((m,) for m in modalities), ()])
    return tuple((which, count.get(which, 0)) for which in order)
