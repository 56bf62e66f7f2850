"""Lists of ten for the customers of a sample, by the checkpoint of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..evaluation.ranking import ndcg
from ..serving import Recommender
from .sample import ITEM, TIME, USER

K = 10


@dataclass(frozen=True)
class Questions:
    """What some users bought, and what they bought last.

    Attributes
    ----------
    users, targets : list of str
        Tokens, ``[n]``.
    histories : list of list of str
        Tokens before the target, the oldest first.
    """

    users: list[str]
    targets: list[str]
    histories: list[list[str]]

    def __len__(self) -> int:
        return len(self.users)


def last_purchases(inter: pd.DataFrame, n: int, after: float = -np.inf) -> Questions:
    """Ask for the last purchases of some users.

    Parameters
    ----------
    inter : pandas.DataFrame
        As :class:`.sample.Sample` has it.
    n : int
        Of so many users at most, drawn with a fixed seed.
    after : float
        Only of users whose last purchase was later.

    Returns
    -------
    Questions
        Of users with three purchases or more; repeated items are not asked for.
    """
    inter = inter.sort_values([USER, TIME], kind="stable")
    users, histories, targets = [], [], []
    for user, rows in inter.groupby(USER, observed=True, sort=False):
        items = rows[ITEM].astype(str).tolist()
        if len(items) >= 3 and rows[TIME].iloc[-1] > after and items[-1] not in items[:-1]:
            users.append(str(user))
            histories.append(items[:-1])
            targets.append(items[-1])
    chosen = np.sort(np.random.default_rng(7).permutation(len(users))[:n])
    return Questions(*([of[row] for row in chosen] for of in (users, targets, histories)))


def answer(
    recommender: Recommender,
    questions: Questions,
    weights: dict[str, float] | None = None,
    only: Sequence[str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Recommend ten items to each, none that they have bought.

    Parameters
    ----------
    recommender : Recommender
        Of a stage.
    questions : Questions
        Whom to.
    weights : dict of str to float, optional
        Factors of the branches.
    only : sequence of str, optional
        The items that are recommended.

    Returns
    -------
    items : numpy.ndarray
        Tokens, dtype object ``[n, 10]``.
    quality : numpy.ndarray
        NDCG@10 of the last purchases, ``[n]``.
    """
    found = recommender.recommend(questions.histories, K, weights=weights, only=only).items
    hits = found == np.array(questions.targets, dtype=object)[:, None]
    rank = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, K + 1)
    return found, ndcg(rank, K)
