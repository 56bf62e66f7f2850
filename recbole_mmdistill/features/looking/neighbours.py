"""Nearest neighbours of a few items, found while all vectors go by once."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

N_NEIGHBOURS = 5
MARGIN = 1.25  # real encoders reach 1.7 to 3, their numbers shuffled over the items at most 1.2
MIN_ITEMS = 20


@dataclass(frozen=True)
class Closeness:
    """How near nearest neighbours are, beside what is near anyway.

    Parameters
    ----------
    neighbours : float
        Mean cosine of the queries and their nearest neighbours.
    pairs : float
        Mean cosine of all pairs of items.
    chance : float
        What `neighbours` would be if the numbers of a vector had nothing to do with each other,
        each with the mean and the variance that it has over the items.
    n_items : int
        How many vectors have a direction.
    """

    neighbours: float
    pairs: float
    chance: float
    n_items: int

    @property
    def is_beyond_chance(self) -> bool | None:
        """Whether the vectors are unlike random ones; None if they are too few to tell."""
        if self.n_items < MIN_ITEMS:
            return None
        return self.neighbours - self.pairs > MARGIN * (self.chance - self.pairs)


class NearestNeighbours:
    """Running search by cosine: memory does not grow with the number of vectors that go by.

    Parameters
    ----------
    query_items : numpy.ndarray
        Shape ``[n_queries]``, the items asked for, none of which is its own neighbour.
    queries : numpy.ndarray
        Shape ``[n_queries, dim]``, their vectors divided by their norms.
    k : int
        How many neighbours.

    Attributes
    ----------
    items : numpy.ndarray
        Shape ``[n_queries, k]``, int64, the nearest first; -1 where there are no more.
    similarities : numpy.ndarray
        Shape ``[n_queries, k]``, float32.
    """

    def __init__(self, query_items: np.ndarray, queries: np.ndarray, k: int = N_NEIGHBOURS) -> None:
        n_queries, dim = queries.shape
        self.query_items = query_items
        self.items = np.full((n_queries, k), -1, dtype=np.int64)
        self.similarities = np.full((n_queries, k), -np.inf, dtype=np.float32)
        self._queries = queries
        self._sum = np.zeros(dim)
        self._sum_of_squares = np.zeros(dim)
        self._n = 0

    def add(self, items: np.ndarray, units: np.ndarray) -> None:
        """Compare the queries with some items.

        Parameters
        ----------
        items : numpy.ndarray
            Shape ``[n]``.
        units : numpy.ndarray
            Shape ``[n, dim]``, float32, their vectors divided by their norms.
        """
        self._n += len(items)
        self._sum += units.sum(0, dtype=np.float64)
        self._sum_of_squares += np.einsum("nd,nd->d", units, units, dtype=np.float64)
        new = np.clip(self._queries @ units.T, -1, 1)  # [n_queries, n]
        new[self.query_items[:, None] == items] = -np.inf
        similarities = np.concatenate([self.similarities, new], axis=1)
        both = np.concatenate([self.items, np.broadcast_to(items, new.shape)], axis=1)
        # Stable: of equally near items the one met first stays, whatever the batches are.
        best = np.argsort(-similarities, axis=1, kind="stable")[:, : self.items.shape[1]]
        self.similarities = np.take_along_axis(similarities, best, axis=1)
        self.items = np.take_along_axis(both, best, axis=1)
        self.items[np.isneginf(self.similarities)] = -1

    def closeness(self) -> Closeness | None:
        """Summarise all comparisons; None without a query or another item."""
        n_others = self._n - 1
        if len(self.query_items) == 0 or n_others < 1:
            return None
        # The sum over all pairs is the square of the sum, without each vector's own square.
        pairs = (self._sum @ self._sum - self._n) / (self._n * n_others)
        mean = self._sum / self._n
        variance = np.maximum(self._sum_of_squares / self._n - mean**2, 0)
        at_random = self._queries @ mean
        # Without the mean: along it, vectors of length 1 cannot vary as their numbers do.
        spread = np.sqrt((self._queries - mean) ** 2 @ variance)
        k = min(self.items.shape[1], n_others)
        chance = np.minimum(at_random + spread * _mean_of_greatest(k, n_others), 1)
        found = self.similarities[:, :k]
        return Closeness(float(found.mean()), float(pairs), float(chance.mean()), self._n)


def _mean_of_greatest(k: int, n: int) -> float:
    """Expect the mean of the k greatest of n standard normal numbers (Blom, 1958)."""
    places = np.arange(1, k + 1)
    quantiles = 1 - (places - 0.375) / (n + 0.25)
    return float(np.mean([NormalDist().inv_cdf(q) for q in quantiles]))
