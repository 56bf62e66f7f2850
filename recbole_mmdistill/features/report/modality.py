"""The features of one modality, measured while their file is read once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri
from tqdm import tqdm

from ..align import N_EXAMPLES, UnknownItems
from ..source import FeatureSource
from .catalogue import Catalogue

N_NEIGHBOURS = 5
MARGIN = 1.25  # real encoders reach 1.7 to 3, their numbers shuffled over the items at most 1.2
MIN_ITEMS = 20


@dataclass(frozen=True)
class Closeness:
    """Mean cosines: how near nearest neighbours are, beside what is near anyway."""

    neighbours: float  # of some items and their nearest neighbours
    # What that would be if the numbers of a vector had nothing to do with each other, each with
    # the mean and the variance that it has over the items.
    chance: float
    pairs: float  # of all pairs of items
    n_items: int  # how many vectors have a direction

    @property
    def is_beyond_chance(self) -> bool | None:
        """Whether the vectors are unlike random ones; None if they are too few to tell."""
        if self.n_items < MIN_ITEMS:
            return None
        return self.neighbours - self.pairs > MARGIN * (self.chance - self.pairs)


class ModalityFeatures:
    """Which items of a dataset have features, and after :meth:`measure` what these are.

    As in training, an item whose every token is masked has none. An item's vector is the mean of
    its real tokens. Items are named by their places in the catalogue.

    Attributes
    ----------
    items : numpy.ndarray
        Shape ``[n]``, those that have features, in the file's order.
    n_empty : int
        Number of items whose every token is masked.
    unknown_items : UnknownItems
        Items of the file that the dataset has not.
    norms : numpy.ndarray
        Shape ``[n]``, float64, of the items' vectors; not finite if a number of them is not.
    duplicates : list of numpy.ndarray
        Items with the same vector to the bit, ascending; the largest group first.
    neighbours : dict of int to list of (int, float)
        Of some items the nearest neighbours with their cosines, the nearest first. An item whose
        vector has no direction is not in it.
    closeness : Closeness or None
        Of those items; None without one that has a neighbour.
    """

    def __init__(self, source: FeatureSource, catalogue: Catalogue) -> None:
        self.source = source
        items = catalogue.item_tokens.get_indexer(pd.Index(source.item_tokens, dtype=object))
        unknown = source.item_tokens[items < 0]
        self.unknown_items = UnknownItems(len(unknown), tuple(unknown[:N_EXAMPLES]))
        is_real = np.full(len(source), True)
        if source.token_mask is not None:
            is_real = source.token_mask.any(dim=1).numpy()
        self.n_empty = int(((items >= 0) & ~is_real).sum())
        self._rows = np.flatnonzero((items >= 0) & is_real)
        self.items = items[self._rows]

    def measure(self, queries: np.ndarray) -> None:
        """Read the file, a few MiB at a time, and find the neighbours of some items."""
        rows, (n_rows, _, dim) = self._rows, self.source.values.shape
        asked = np.flatnonzero(np.isin(self.items, queries))
        vectors = self._vectors(rows[asked], self.source.take(rows[asked]))
        _, has_direction, units = _directions(vectors)
        asked = asked[has_direction]
        self.norms = np.zeros(len(rows))
        digests = np.zeros(len(rows), dtype=np.uint64)
        cosines = np.zeros((len(asked), 0), dtype=np.float32)
        places = np.zeros((len(asked), 0), dtype=np.int64)  # in rows, of the nearest so far
        total, squares, n_directed = np.zeros(dim), np.zeros(dim), 0
        title = f"reading {self.source.info.modality}"
        # disable=None: no bar where nobody looks, as in a log file.
        with tqdm(total=n_rows, desc=title, dynamic_ncols=True, leave=False, disable=None) as bar:
            first = 0
            for values in self.source.rows().chunks():
                part = slice(*np.searchsorted(rows, [first, first + len(values)]))
                vectors = self._vectors(rows[part], values[rows[part] - first])
                self.norms[part], has_direction, others = _directions(vectors)
                digests[part] = pd.util.hash_pandas_object(pd.DataFrame(vectors), index=False)
                n_directed += len(others)
                total += others.sum(axis=0, dtype=np.float64)
                squares += np.einsum("nd,nd->d", others, others, dtype=np.float64)
                new = np.flatnonzero(has_direction) + part.start
                near = np.hstack([cosines, np.clip(units @ others.T, -1, 1)])
                places = np.hstack([places, np.tile(new, (len(asked), 1))])
                near[places == asked[:, None]] = -np.inf
                # Stable: of equally near ones the first of the file stays.
                best = np.argsort(-near, axis=1, kind="stable")[:, :N_NEIGHBOURS]
                cosines = np.take_along_axis(near, best, axis=1)
                places = np.take_along_axis(places, best, axis=1)
                first += len(values)
                bar.update(len(values))
        same = pd.Series(self.items).sort_values().groupby(digests[np.argsort(self.items)])
        groups = [group.to_numpy() for _, group in same if len(group) > 1]
        self.duplicates = sorted(groups, key=lambda group: (-len(group), group[0]))
        k = min(N_NEIGHBOURS, n_directed - 1)
        self.neighbours = {
            item: list(zip(self.items[others[:k]].tolist(), near[:k].tolist()))
            for item, others, near in zip(self.items[asked].tolist(), places, cosines)
        }
        self.closeness = None
        if len(asked) and k > 0:
            expected = _expected(units, total, squares, n_directed, k)
            self.closeness = Closeness(float(cosines[:, :k].mean()), *expected, n_directed)

    def _vectors(self, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Give the mean of the real tokens of some rows, shape ``[n, dim]``, float32."""
        is_real: np.ndarray | bool = True
        if self.source.token_mask is not None:
            is_real = self.source.token_mask.numpy()[rows][:, :, None]
        with np.errstate(all="ignore"):
            return values.mean(axis=1, dtype=np.float32, where=is_real)


def _directions(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give all norms, which vectors have a direction, and these divided by their norms."""
    with np.errstate(all="ignore"):
        # In float64 no square of a float32 overflows or vanishes.
        norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    usable = np.isfinite(norms) & (norms > 0)
    return norms, usable, (vectors[usable] / norms[usable, None]).astype(np.float32)


def _expected(
    units: np.ndarray, total: np.ndarray, squares: np.ndarray, n: int, k: int
) -> tuple[float, float]:
    """Give the mean cosine of the k nearest neighbours by chance, and of all pairs.

    ``units`` are those asked for, ``[n_asked, dim]``; ``total`` and ``squares``, ``[dim]``, the
    sums of all n vectors of length 1 and of their squares.
    """
    mean = total / n
    variance = np.maximum(squares / n - mean**2, 0)
    # Without the mean: along it, vectors of length 1 cannot vary as their numbers do.
    spread = np.sqrt((units - mean) ** 2 @ variance)
    # The mean of the k greatest of n - 1 standard normal numbers (Blom, 1958).
    greatest = -ndtri((np.arange(1, k + 1) - 0.375) / (n - 0.75)).mean()
    chance = np.minimum(units @ mean + spread * greatest, 1).mean()
    # The sum over all pairs is the square of the sum, without each vector's own square.
    return float(chance), float((total @ total - n) / (n * (n - 1)))
