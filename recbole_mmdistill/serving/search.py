"""The best items of a table for some users, exactly, block by block of the table."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from .tables import Table

_BLOCK = 4096  # items: with 256 users the block's scores are 4 MiB, which stays near the core


class Cells(NamedTuple):
    """What is added to single scores: a bias, or -inf for what may not be recommended.

    Attributes
    ----------
    row : numpy.ndarray
        Users, ``[n]``.
    item : numpy.ndarray
        Items, ``[n]``; no pair twice unless its value is -inf.
    value : numpy.ndarray
        float32 ``[n]``.
    """

    row: np.ndarray
    item: np.ndarray
    value: np.ndarray


class Index(Protocol):
    """Finds items by the dot product of their vectors with users' states."""

    def top_k(
        self, users: np.ndarray, k: int, candidates: np.ndarray, cells: Cells | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the best items.

        Parameters
        ----------
        users : numpy.ndarray
            States, float32 ``[B, D]``.
        k : int
            How many.
        candidates : numpy.ndarray
            Numbers of the items that may be found, rising, ``[n_candidates]``.
        cells : Cells or None
            Added to single scores.

        Returns
        -------
        scores : numpy.ndarray
            float32 ``[B, k]``, falling; -inf where there are fewer than ``k``.
        numbers : numpy.ndarray
            int64 ``[B, k]``; 0 where the score is -inf.
        """

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Give the vectors of items (any shape), float32 ``[*numbers.shape, D]``."""


class ExactIndex:
    """Looks at every item.

    A block of items is scored by one matrix product, and compared with each user's k-th best
    score so far: hardly any score of a later block is above it, so that the product is nearly all
    of the work.

    Parameters
    ----------
    table : Table
        The items' vectors.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """See :class:`Index`."""
        rows = self._table.part(numbers.reshape(-1))
        return np.array(rows).reshape(*numbers.shape, -1)

    def top_k(
        self, users: np.ndarray, k: int, candidates: np.ndarray, cells: Cells | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Index`."""
        best = _Best(len(users), k)
        ordered = None if cells is None else _by_place(cells, candidates)
        buffer = np.empty((len(users), min(_BLOCK, len(candidates))), dtype=np.float32)
        for first in range(0, len(candidates), _BLOCK):
            numbers = candidates[first : first + _BLOCK]
            last = first + len(numbers)
            scores = buffer[:, : len(numbers)] if len(numbers) == buffer.shape[1] else None
            scores = np.dot(users, self._table.part(_as_slice(numbers)).T, out=scores)
            if ordered is not None:
                here = slice(*np.searchsorted(ordered.item, (first, last)))
                scores[ordered.row[here], ordered.item[here] - first] += ordered.value[here]
            best.add(scores, numbers)
        return best.scores, best.numbers


class _Best:
    """The k best of what was added so far, by user."""

    def __init__(self, n_users: int, k: int) -> None:
        self.scores = np.full((n_users, k), -np.inf, dtype=np.float32)
        self.numbers = np.zeros((n_users, k), dtype=np.int64)

    def add(self, scores: np.ndarray, numbers: np.ndarray) -> None:
        """Take in the scores of more items, ``[n_users, n]``, whose numbers are ``[n]``."""
        k, n = self.scores.shape[1], len(numbers)
        if self.scores[:, -1].min(initial=np.inf) == -np.inf and n > 4 * k:
            # No user has a bound yet: a few items give one, so that the rest is seldom above it.
            few = max(4 * k, n // 16)
            if few < n:
                self.add(scores[:, :few], numbers[:few])
                scores, numbers, n = scores[:, few:], numbers[few:], n - few
        found = np.flatnonzero(scores > self.scores[:, -1:])
        if not len(found):
            return
        row, column = np.divmod(found, n)
        changed = np.unique(row)
        value, number = scores[row, column], numbers[column]
        row = np.concatenate([row, np.repeat(changed, k)])
        value = np.concatenate([value, self.scores[changed].ravel()])
        number = np.concatenate([number, self.numbers[changed].ravel()])
        order = np.lexsort((number, -value, row))
        row = row[order]
        first = np.searchsorted(row, changed)
        top = order[first[:, None] + np.arange(k)]
        self.scores[changed], self.numbers[changed] = value[top], number[top]


def _by_place(cells: Cells, candidates: np.ndarray) -> Cells:
    """Give the cells of candidates, by their places among these, which take the numbers' place."""
    place = np.searchsorted(candidates, cells.item)
    known = place < len(candidates)
    known[known] = candidates[place[known]] == cells.item[known]
    row, place, value = cells.row[known], place[known], cells.value[known]
    order = np.argsort(place, kind="stable")
    return Cells(row[order], place[order], value[order])


def _as_slice(numbers: np.ndarray) -> slice | np.ndarray:
    """Give neighbouring numbers as a slice, for which nothing is copied."""
    first, last = int(numbers[0]), int(numbers[-1])
    return slice(first, last + 1) if last - first + 1 == len(numbers) else numbers
