"""Groups of items by how often they were interacted with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

GROUPS = ("cold", "tail", "middle", "head")
COLD, TAIL, MIDDLE, HEAD = range(len(GROUPS))
RULE = (
    "Cold: never interacted with. Of the others, by number of interactions, head: the top 10%, "
    "tail: the less popular half, middle: the rest."
)


def popularity_groups(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """Divide items into groups by their number of interactions.

    Of n items that were interacted with, the head has ``ceil(n / 10)`` and the tail
    ``floor(n / 2)``, whatever the numbers: of items with equal numbers, those that stand first
    count as more popular.

    ``counts``, ``[n_items]``, are the items' numbers of interactions; the result, ``[n_items]``
    int8, is the place in :data:`GROUPS` of each item's group.
    """
    counts = np.asarray(counts, dtype=np.int64)
    groups = np.full(len(counts), COLD, dtype=np.int8)
    warm = np.flatnonzero(counts)
    by_popularity = warm[np.argsort(-counts[warm], kind="stable")]
    n_head, n_tail = -(-len(warm) // 10), len(warm) // 2
    groups[by_popularity] = MIDDLE
    groups[by_popularity[:n_head]] = HEAD
    groups[by_popularity[len(warm) - n_tail :]] = TAIL
    return groups
