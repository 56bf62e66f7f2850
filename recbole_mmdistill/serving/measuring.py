"""How well a model recommends to users of its dataset an item that they did choose."""

from __future__ import annotations

import numpy as np

from ..integration.trained import Interactions
from .histories import Histories


def held_out(
    found: Interactions, n_items: int, back: int, n_users: int
) -> tuple[Histories, np.ndarray]:
    """Take an item off the end of users' histories.

    Parameters
    ----------
    found : Interactions
        Of the dataset.
    n_items : int
        Items that the model knows, padding included; others are left out.
    back : int
        Which item: 1 is the last one, 2 that before.
    n_users : int
        How many are drawn, always the same, of those with longer histories.

    Returns
    -------
    histories : Histories
        Up to this item.
    targets : numpy.ndarray
        This item of each, int64 ``[n]``.
    """
    known = found.item < n_items
    user, item = found.user[known], found.item[known]
    _, owner, count = np.unique(user, return_inverse=True, return_counts=True)
    whole = Histories.of_rows(owner, item, len(count))
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(count > back))[:n_users]
    whole = whole.take(chosen)
    at = whole.start[1:] - back
    before = np.arange(len(whole.items)) < at[whole.owner]
    rest = Histories.of_rows(whole.owner[before], whole.items[before], len(whole))
    return rest, whole.items[at]


def ndcg(numbers: np.ndarray, targets: np.ndarray) -> float:
    """NDCG of one true item for each row of recommended ones, ``[n, k]``."""
    _, place = np.nonzero(numbers == targets[:, None])
    return round(float((1 / np.log2(place + 2)).sum() / len(numbers)), 5)
