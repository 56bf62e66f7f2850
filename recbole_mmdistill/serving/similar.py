"""Items near to one, by the vectors that items are scored by."""

from __future__ import annotations

import numpy as np

from ..errors import UserError, near
from .ranking import Scoring

_BLOCK = 1 << 14  # items whose vectors are in memory together


class Similarity:
    """Cosines between items.

    Parameters
    ----------
    scoring : Scoring
        Has the items' vectors.
    """

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        self._norms: dict[str | None, np.ndarray] = {}

    def nearest(
        self, number: int, k: int, branch: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the items nearest to one.

        Parameters
        ----------
        number : int
            Of the item.
        k : int
            How many, at most: an item that lacks the branch's source is near to none.
        branch : str, optional
            Whose part of the vectors is compared; by default the whole.

        Returns
        -------
        numbers : numpy.ndarray
            int64 ``[at most k]``, the nearest first.
        cosines : numpy.ndarray
            float32, as many.

        Raises
        ------
        UserError
            There is no such branch.
        """
        columns = self._columns(branch)
        if branch not in self._norms:
            self._norms[branch] = np.sqrt(self._products(None, columns))
        norms = self._norms[branch]
        wanted = self._scoring.index.rows(np.array([number]))[0, columns]
        scale = norms * norms[number]
        cosine = np.full(len(norms), -np.inf, dtype=np.float32)
        np.divide(self._products(wanted, columns), scale, out=cosine, where=scale > 0)
        cosine[[0, number]] = -np.inf
        k = min(k, int(np.isfinite(cosine).sum()))
        if k == 0:
            return np.zeros(0, dtype=np.int64), cosine[:0]
        best = np.argpartition(-cosine, k - 1)[:k]
        best = best[np.lexsort((best, -cosine[best]))]
        return best, cosine[best]

    def _columns(self, branch: str | None) -> slice:
        scoring = self._scoring
        if branch is None:
            return slice(None)
        if branch not in scoring.branches:
            raise UserError(
                f"There is no branch {branch[:80]!r}.",
                f"Choose from {', '.join(scoring.branches)}{near(branch, scoring.branches)}.",
            )
        place = scoring.branches.index(branch)
        return slice(sum(scoring.widths[:place]), sum(scoring.widths[: place + 1]))

    def _products(self, vector: np.ndarray | None, columns: slice) -> np.ndarray:
        """Products of all items' vectors with one, or (None) of each with itself, ``[n_items]``."""
        n_items = len(self._scoring.weights)
        products = np.empty(n_items, dtype=np.float32)
        for first in range(0, n_items, _BLOCK):
            numbers = np.arange(first, min(first + _BLOCK, n_items))
            part = self._scoring.index.rows(numbers)[:, columns]
            products[numbers] = (
                np.einsum("nd,nd->n", part, part) if vector is None else part @ vector
            )
        return products
