"""What a dataset holds back to see how a model bears it: items, features, interactions.

Every choice hangs on the seed alone: so all models of one seed miss the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import UserError, is_number

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


def check_options(config: Mapping[str, Any], modalities: list[str]) -> None:
    """Check the options that hold something back.

    Parameters
    ----------
    config : Mapping
        RecBole's config.
    modalities : list of str
        The modalities in use.

    Raises
    ------
    UserError
        One of them has no sense.
    """
    wrong = []
    missing = config["missing_features"] or {}
    if not isinstance(missing, dict):
        wrong.append(f"missing_features is {missing!r}, not a mapping of modalities to shares")
        missing = {}
    shares = {f"missing_features of {name}": share for name, share in missing.items()}
    for name, share in {**shares, "cold_item_ratio": config["cold_item_ratio"] or 0}.items():
        if not is_number(share) or not 0 <= share < 1:
            wrong.append(f"{name} is {share!r}, not from 0 up to 1")
    skew = config["popularity_skew"] or 0
    if not is_number(skew) or skew < 0:
        wrong.append(f"popularity_skew is {skew!r}, not a number of 0 or more")
    if config["missing_from"] not in (None, FROM_ALL, FROM_TAIL):
        wrong.append(f"missing_from is {config['missing_from']!r}, not all or tail")
    if wrong:
        raise UserError(
            "; ".join(wrong) + ".",
            "The options and their meanings stand in properties/model/IDMMDistill.yaml.",
        )
