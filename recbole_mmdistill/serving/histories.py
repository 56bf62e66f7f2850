"""Histories as numbers of items: one behind another, nothing padded until a model reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Histories:
    """What some people chose, the oldest first.

    Attributes
    ----------
    items : numpy.ndarray
        Numbers of known items, int64 ``[n_chosen]``, history behind history.
    start : numpy.ndarray
        Where each history begins, and the end of the last: int64 ``[n + 1]``.
    n_unknown : numpy.ndarray
        Items that were skipped because the model does not know them, int64 ``[n]``.
    """

    items: np.ndarray
    start: np.ndarray
    n_unknown: np.ndarray

    @classmethod
    def of_tokens(
        cls, histories: Iterable[Sequence[str]], number_of: Mapping[str, int]
    ) -> Histories:
        """Number the items of histories, and skip those that are unknown."""
        numbers = [[number_of.get(token, 0) for token in history] for history in histories]
        owner = np.repeat(np.arange(len(numbers)), [len(history) for history in numbers])
        flat = np.array([number for history in numbers for number in history], dtype=np.int64)
        return cls.of_rows(owner, flat, len(numbers))

    @classmethod
    def of_rows(cls, owner: np.ndarray, item: np.ndarray, n: int) -> Histories:
        """Make histories of rows.

        Parameters
        ----------
        owner : numpy.ndarray
            Whose history each row is part of, from 0 to ``n - 1`` and never falling, ``[n_rows]``.
        item : numpy.ndarray
            Its item's number, 0 if unknown, ``[n_rows]``.
        n : int
            How many histories there are; one without rows is empty.
        """
        known = item > 0
        length = np.bincount(owner[known], minlength=n)
        start = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
        return cls(item[known].astype(np.int64), start, np.bincount(owner[~known], minlength=n))

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def length(self) -> np.ndarray:
        """Number of known items, int64 ``[n]``."""
        return np.diff(self.start)

    @property
    def owner(self) -> np.ndarray:
        """Whose each of ``items`` is, int64 ``[n_chosen]``."""
        return np.repeat(np.arange(len(self)), self.length)

    def take(self, rows: np.ndarray) -> Histories:
        """Give some of the histories, in this order."""
        length = self.length[rows]
        end = np.cumsum(length)
        within = np.arange(length.sum()) - np.repeat(end - length, length)
        items = self.items[np.repeat(self.start[rows], length) + within]
        return Histories(items, np.concatenate([[0], end]).astype(np.int64), self.n_unknown[rows])

    def padded(self, max_length: int) -> tuple[np.ndarray, np.ndarray]:
        """Give the last items of each history, as models read them.

        Parameters
        ----------
        max_length : int
            How many at most.

        Returns
        -------
        item_seq : numpy.ndarray
            int64 ``[n, T]`` with T the longest of them, at least 1; 0 = padding on the right.
        item_seq_len : numpy.ndarray
            int64 ``[n]``.
        """
        length = np.minimum(self.length, max_length)
        column = np.arange(max(1, int(length.max(initial=0))))
        inside = column < length[:, None]
        item_seq = np.zeros(inside.shape, dtype=np.int64)
        first = self.start[1:] - length
        item_seq[inside] = self.items[(first[:, None] + column)[inside]]
        return item_seq, length
