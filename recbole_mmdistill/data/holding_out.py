"""What a dataset holds back to see how a model bears it: items, features, interactions.

Every choice hangs on the seed alone: so all models of one seed miss the same.
"""

from __future__ import annotations

import numpy as np

FROM_ALL, FROM_TAIL = "all", "tail"


def choose_cold(n_items: int, ratio: float, seed: int) -> np.ndarray:
    """Choose items at random that training never sees.

    Parameters
    ----------
    n_items : int
        Items, the padding item 0 included, which is never chosen.
    ratio : float
        Share of the items.
    seed : int
        Of the choice.

    Returns
    -------
    numpy.ndarray
        Bool ``[n_items]``.
    """
    cold = np.zeros(n_items, dtype=bool)
    order = np.random.default_rng([seed, 1]).permutation(np.arange(1, n_items))
    cold[order[: round(ratio * (n_items - 1))]] = True
    return cold


def choose_missing(count: np.ndarray, ratio: float, missing_from: str, seed: int) -> np.ndarray:
    """Choose items whose features are taken away.

    With one seed the items of a smaller ratio are among those of a larger one, and two modalities
    of one ratio are taken from the same items.

    Parameters
    ----------
    count : numpy.ndarray
        Interactions of each item, ``[n_items]``; the padding item 0 is never chosen.
    ratio : float
        Share of the items.
    missing_from : str
        ``all``: at random. ``tail``: the least popular first.
    seed : int
        Of the choice, and of the order among equally popular ones.

    Returns
    -------
    numpy.ndarray
        Bool ``[n_items]``.
    """
    order = np.random.default_rng([seed, 2]).permutation(np.arange(1, len(count)))
    if missing_from == FROM_TAIL:
        order = order[np.argsort(count[order], kind="stable")]
    missing = np.zeros(len(count), dtype=bool)
    missing[order[: round(ratio * (len(count) - 1))]] = True
    return missing


def thin_out(
    user: np.ndarray, item: np.ndarray, skew: float, seed: int, n_spared: int = 2
) -> np.ndarray:
    """Choose interactions to keep so that popular items become more popular still.

    An interaction with an item of n is kept with probability ``(n / max n) ** skew``. Each user's
    last few are kept in any case: these are what leave-one-out validates and tests on.

    Parameters
    ----------
    user, item : numpy.ndarray
        In the flat order, ``[n_interactions]`` each.
    skew : float
        0 keeps all.
    seed : int
        Of the draws.
    n_spared : int
        How many of a user's last interactions are kept.

    Returns
    -------
    numpy.ndarray
        Bool ``[n_interactions]``.
    """
    count = np.bincount(item)
    chance = (count / count.max()) ** skew
    keep = np.random.default_rng([seed, 3]).random(len(item)) < chance[item]
    spared = np.ones(len(user), dtype=bool)
    spared[: len(user) - n_spared] = user[: len(user) - n_spared] != user[n_spared:]
    return keep | spared
