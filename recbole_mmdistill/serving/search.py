"""The best items of a table for some users, exactly, block by block of the table."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from .tables import Table

_BLOCK = 4096  # items: with 256 users the block's scores are 4 MiB, which stays near the core
_FEW = 16  # users, for whom larger blocks are faster
_FIRST = 1024  # items that give the first bound


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
        # Memory fresh from the system would cost more time for each block than reading it.
        block = max(1, min(_BLOCK if len(users) > _FEW else 4 * _BLOCK, len(candidates)))
        vectors = np.empty((block, users.shape[1]), dtype=np.float32)
        flat_scores = np.empty(len(users) * block, dtype=np.float32)
        flat_above = np.empty(len(users) * block, dtype=bool)
        for first in range(0, len(candidates), block):
            numbers = candidates[first : first + block]
            shape = len(users), len(numbers)
            scores = flat_scores[: len(users) * len(numbers)].reshape(shape)
            above = flat_above[: len(users) * len(numbers)].reshape(shape)
            self._table.score(users, _as_slice(numbers), scores, vectors)
            if ordered is not None:
                here = slice(*np.searchsorted(ordered.item, (first, first + len(numbers))))
                scores[ordered.row[here], ordered.item[here] - first] += ordered.value[here]
            best.add(scores, numbers, above)
        best.numbers[best.scores == -np.inf] = 0
        return best.scores, best.numbers


class _Best:
    """The k best of what was added so far, by user."""

    def __init__(self, n_users: int, k: int) -> None:
        self.scores = np.full((n_users, k), -np.inf, dtype=np.float32)
        self.numbers = np.zeros((n_users, k), dtype=np.int64)
        self._is_empty = True

    def add(self, scores: np.ndarray, numbers: np.ndarray, above: np.ndarray) -> None:
        """Take in the scores of more items.

        Parameters
        ----------
        scores : numpy.ndarray
            ``[n_users, n]``.
        numbers : numpy.ndarray
            Of the items, rising and above all that were added before: ``[n]``.
        above : numpy.ndarray
            Memory for a mask, bool ``[n_users, n]``.
        """
        k = self.scores.shape[1]
        if self._is_empty and len(numbers) > k:
            # The k-th best of a few items is a bound, above which the rest seldom is.
            few = scores[:, : max(_FIRST, 2 * k)]
            np.greater_equal(scores, np.partition(few, -k, axis=1)[:, -k, None], out=above)
        else:
            np.greater(scores, self.scores[:, -1:], out=above)
        self._is_empty = False
        found = np.flatnonzero(above)  # of one dimension it is many times as fast
        if not len(found):
            return
        row, column = np.divmod(found, scores.shape[1])
        begins = np.empty(len(row), dtype=bool)
        begins[0], begins[1:] = True, row[1:] != row[:-1]
        changed = row[begins]
        # What was there before comes first: equal scores stay in the order of the items.
        value = np.concatenate([self.scores[changed].ravel(), scores[row, column]])
        number = np.concatenate([self.numbers[changed].ravel(), numbers[column]])
        row = np.concatenate([np.repeat(changed, k), row])
        order = np.lexsort((-value, row))
        first = np.searchsorted(row[order], changed)
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
