"""What a model makes of recommended items when all items have some of their sources only."""

from __future__ import annotations

import numpy as np

from ..serving.histories import Histories
from ..serving.ranking import Ranker, Recommendations

_PEOPLE_AT_ONCE = 256
_ITEMS_AT_ONCE = 65536


def worth_of(
    ranker: Ranker, states: np.ndarray, found: Recommendations, weights: np.ndarray
) -> np.ndarray:
    """Score recommended items by what is left, each branch with the weight that it always has.

    The model itself multiplies the weights of what is left, so that an item can compete with
    those that lack less. Where all items lack the same this is a matter of scale, which would make
    the source that is missing look as if it had added little.

    Parameters
    ----------
    ranker : Ranker
        Of the model without some sources.
    states : numpy.ndarray
        Of people by this model, float32 ``[n, D]``.
    found : Recommendations
        For these people.
    weights : numpy.ndarray
        Of the branches in each item's score if nothing is taken away, ``[n_items, n_branches]``.

    Returns
    -------
    numpy.ndarray
        Without the repeat bias, float64 ``[n, k]``; NaN where there is no item, or nothing is
        known of a person.
    """
    scoring = ranker.scoring
    starts = np.cumsum([0, *scoring.widths[:-1]])
    worth = np.full(found.numbers.shape, np.nan)
    for first in range(0, len(states), _PEOPLE_AT_ONCE):
        some = slice(first, first + _PEOPLE_AT_ONCE)
        numbers = found.numbers[some]
        products = scoring.index.rows(numbers) * states[some, None]
        shares = np.add.reduceat(products, starts, axis=2, dtype=np.float64)
        own = scoring.weights[numbers]
        kept = np.divide(weights[numbers], own, out=np.zeros_like(own), where=own > 0)
        worth[some] = (shares * kept).sum(2)
    worth[(found.numbers == 0) | found.is_popular[:, None]] = np.nan
    return worth


def places_of(
    ranker: Ranker, states: np.ndarray, found: Recommendations, seen: Histories | None
) -> np.ndarray:
    """Find the places that a model without some sources gives to recommended items.

    Parameters
    ----------
    ranker, states, found
        As for :func:`worth_of`.
    seen : Histories or None
        Of the same people, whose items take no place.

    Returns
    -------
    numpy.ndarray
        int64 ``[n, k]``, from 1; 0 where there is no item, or nothing is known of a person. The
        repeat bias plays no part.
    """
    index, above = ranker.scoring.index, np.zeros(found.numbers.shape, dtype=np.int64)
    limits = [index.rows(numbers) @ state for numbers, state in zip(found.numbers, states)]
    for first in range(1, len(ranker.items), _ITEMS_AT_ONCE):
        last = min(first + _ITEMS_AT_ONCE, len(ranker.items))
        vectors = index.rows(np.arange(first, last))
        for row, (limit, state) in enumerate(zip(limits, states)):
            others = vectors @ state
            if seen is not None:
                own = seen.items[seen.start[row] : seen.start[row + 1]]
                others[own[(own >= first) & (own < last)] - first] = -np.inf
            # The same score from another product differs in its last bits: that is no place.
            above[row] += (others > (limit + 1e-5 * (1 + np.abs(limit)))[:, None]).sum(1)
    unknown = (found.numbers == 0) | found.is_popular[:, None]
    return np.where(unknown, 0, above + 1)
