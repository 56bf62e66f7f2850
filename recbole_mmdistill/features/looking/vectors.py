"""One vector for each item, read a few MiB at a time, and what can be counted of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ..source import CHUNK_BYTES, FeatureSource

N_BINS = 24
SAME_NORM = 0.01


@dataclass(frozen=True, eq=False)
class Batch:
    """Some items' features.

    Parameters
    ----------
    items : numpy.ndarray
        Shape ``[n]``, places in the catalogue.
    values : numpy.ndarray
        Shape ``[n, n_tokens, dim]``, zero where a token is masked.
    mask : numpy.ndarray or None
        Shape ``[n, n_tokens]``, bool, True where a token is real; None: all are.
    """

    items: np.ndarray
    values: np.ndarray
    mask: np.ndarray | None

    def vectors(self) -> np.ndarray:
        """Give the mean of each item's real tokens, shape ``[n, dim]``, float32."""
        values = self.values.astype(np.float32)
        if values.shape[1] == 1:
            return values[:, 0]
        n_real = values.shape[1] if self.mask is None else self.mask.sum(1, keepdims=True)
        with np.errstate(all="ignore"):
            return values.sum(1) / np.float32(n_real)


def read_batches(source: FeatureSource, item_of_row: np.ndarray, title: str) -> Iterator[Batch]:
    """Read all items' features in the file's order, under a progress bar.

    Parameters
    ----------
    source : FeatureSource
        The features.
    item_of_row : numpy.ndarray
        Shape ``[n_rows]``, place in the catalogue, -1 for rows that are passed over.
    title : str
        What the bar is called.

    Yields
    ------
    Batch
        Of a few MiB.
    """
    step = max(1, CHUNK_BYTES // (source.values[0].numel() * source.values.element_size()))
    # disable=None: no bar where nobody looks, as in a log file.
    with tqdm(total=len(source), desc=title, dynamic_ncols=True, leave=False, disable=None) as bar:
        for first in range(0, len(source), step):
            rows = np.flatnonzero(item_of_row[first : first + step] >= 0)
            if len(rows):
                values = source.take(slice(first, first + step))[rows]
                yield _batch(source, item_of_row[first + rows], first + rows, values)
            bar.update(min(step, len(source) - first))


def read_items(source: FeatureSource, item_of_row: np.ndarray, items: np.ndarray) -> Batch:
    """Read the features of those of a few items that have any.

    Parameters
    ----------
    source : FeatureSource
        The features.
    item_of_row : numpy.ndarray
        Shape ``[n_rows]``, as for :func:`read_batches`.
    items : numpy.ndarray
        Shape ``[n]``, places in the catalogue.

    Returns
    -------
    Batch
        In the file's order.
    """
    rows = np.flatnonzero(np.isin(item_of_row, items))
    values = np.zeros((0, *source.values.shape[1:]), dtype=np.float32)
    if len(rows):
        values = source.take(rows)
    return _batch(source, item_of_row[rows], rows, values)


def _batch(source: FeatureSource, items: np.ndarray, rows: np.ndarray, values: np.ndarray) -> Batch:
    if source.token_mask is None:
        return Batch(items, values, None)
    mask = source.token_mask.numpy()[rows]
    return Batch(items, np.where(mask[:, :, None], values, values.dtype.type(0)), mask)


def norms_of(vectors: np.ndarray) -> np.ndarray:
    """Give the length of each vector, shape ``[n]``, float64; not finite if one number is not."""
    with np.errstate(all="ignore"):
        # In float64 no square of a float32 overflows or vanishes.
        return np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))


@dataclass(frozen=True)
class Norms:
    """Lengths of vectors.

    Parameters
    ----------
    minimum, median, maximum : float
        Of those vectors whose numbers are all finite.
    bins : tuple of int
        How many lengths fall into each of equally wide bins from minimum to maximum; empty if
        all are practically equal.
    """

    minimum: float
    median: float
    maximum: float
    bins: tuple[int, ...]


class Measures:
    """Norms and digests of all items' vectors: 16 bytes of memory an item, whatever its width.

    Parameters
    ----------
    n_items : int
        Size of the catalogue.
    """

    def __init__(self, n_items: int) -> None:
        self._present = np.zeros(n_items, dtype=bool)
        self._norms = np.zeros(n_items, dtype=np.float64)
        self._digests = np.zeros(n_items, dtype=np.uint64)

    def add(self, batch: Batch, norms: np.ndarray) -> None:
        """Take note of a batch, and of the norms of its vectors, shape ``[n]``."""
        self._present[batch.items] = True
        self._norms[batch.items] = norms
        for at, item in enumerate(batch.items.tolist()):
            digest = hashlib.blake2b(batch.values[at].tobytes(), digest_size=8)
            if batch.mask is not None:
                digest.update(batch.mask[at].tobytes())
            self._digests[item] = int.from_bytes(digest.digest(), "little")

    def is_zero(self, item: int) -> bool:
        """Whether an item's vector is zero."""
        return bool(self._present[item] and self._norms[item] == 0)

    @property
    def n_zero(self) -> int:
        """Number of vectors that are zero."""
        return int((self._norms[self._present] == 0).sum())

    @property
    def n_not_finite(self) -> int:
        """Number of vectors with NaN or an infinite number in them."""
        return int((~np.isfinite(self._norms[self._present])).sum())

    def norms(self) -> Norms | None:
        """Summarise the norms; None if no vector is finite."""
        norms = self._norms[self._present]
        norms = norms[np.isfinite(norms)]
        if len(norms) == 0:
            return None
        low, high = float(norms.min()), float(norms.max())
        bins: list[int] = []
        if high - low > SAME_NORM * high:
            bins = np.histogram(norms, bins=N_BINS, range=(low, high))[0].tolist()
        return Norms(low, float(np.median(norms)), high, tuple(bins))

    def duplicates(self) -> list[np.ndarray]:
        """Find the items whose features are the same to the bit.

        Returns
        -------
        list of numpy.ndarray
            Groups of two or more places in the catalogue, ascending; the largest group first.
        """
        items = np.flatnonzero(self._present)
        order = items[np.argsort(self._digests[items], kind="stable")]
        changes = np.flatnonzero(np.diff(self._digests[order])) + 1
        begins, ends = np.append(0, changes), np.append(changes, len(order))
        is_group = ends - begins > 1
        groups = [order[begin:end] for begin, end in zip(begins[is_group], ends[is_group])]
        return sorted(groups, key=lambda group: (-len(group), int(group[0])))
