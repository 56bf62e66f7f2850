"""What carries the recommendations of a model on the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..features.popularity import GROUPS, popularity_groups
from ..serving.histories import Histories
from ..serving.ranking import Recommendations
from .coalition import worth_of
from .explainer import Explainer, all_but_one
from .shapley import shapley_values

_LENGTHS = (1, 6, 21, 51, 101)  # where groups of histories begin


@dataclass(frozen=True)
class Group:
    """Some of the recommendations.

    Attributes
    ----------
    name : str
        Of what.
    n : int
        How many.
    carried : dict of str to float
        By source, the share of them of which its Shapley value is the largest.
    value : dict of str to float
        By source, the mean of its Shapley values.
    """

    name: str
    n: int
    carried: dict[str, float]
    value: dict[str, float]


@dataclass(frozen=True)
class TakenAway:
    """What happens if a source is taken from all items.

    Attributes
    ----------
    replaced : float
        Share of the recommendations that are others then.
    first_replaced : float
        Share of people whose first recommendation is another.
    n_items : int
        Different items that are recommended then.
    """

    replaced: float
    first_replaced: float
    n_items: int


@dataclass(frozen=True)
class Summary:
    """What carries the recommendations for many people.

    Attributes
    ----------
    k, n_people : int
        Items for each, and how many people of whom something is known.
    all : Group
        All recommendations.
    by_popularity, by_length : list of Group
        By the item's number of interactions in training, and by the length of the history; groups
        without a recommendation are left out.
    n_items, n_catalogue : int
        Different items that are recommended, of how many.
    items_carried : dict of str to int
        By source, how many of these items it carries: the mean of its values is the largest.
    taken_away : dict of str to TakenAway
        By source; empty if there is only one.
    agreement : float
        Share of the recommendations of which the score falls most if the source with the largest
        value is taken away.
    """

    k: int
    n_people: int
    all: Group
    by_popularity: list[Group]
    by_length: list[Group]
    n_items: int
    n_catalogue: int
    items_carried: dict[str, int]
    taken_away: dict[str, TakenAway]
    agreement: float


def summarise(
    explainer: Explainer, histories: Histories, k: int = 10, *, exclude_seen: bool = True
) -> Summary | None:
    """Find what carries the recommendations on the whole.

    Parameters
    ----------
    explainer : Explainer
        Of the model.
    histories : Histories
        Of a sample of people; those of whom nothing is known are left out.
    k : int
        Items for each.
    exclude_seen : bool
        Whether items of a person's own history are left out.

    Returns
    -------
    Summary or None
        None if nothing is known of anybody.
    """
    histories = histories.take(np.flatnonzero(histories.length))
    if not len(histories):
        return None
    sources, recommender = explainer.sources, explainer.recommender
    found = recommender.recommend(histories, k, exclude_seen=exclude_seen)
    weights, missing = recommender.scoring.weights, all_but_one(len(sources))
    worth = np.empty((2 ** len(sources), *found.numbers.shape))
    taken_away = {}
    for there, ranker in explainer.coalitions():
        worth[there] = worth_of(ranker, ranker.states(histories), found, weights)
        if there and there in missing:
            others = ranker.recommend(histories, k, exclude_seen=exclude_seen)
            taken_away[sources[missing.index(there)]] = _compare(found, others)
    real = found.numbers > 0
    item = found.numbers[real]
    values = shapley_values(worth)[:, real]
    without = worth[missing][:, real]
    carrier = values.argmax(0)

    def group(name: str, chosen: np.ndarray) -> Group:
        carried = np.bincount(carrier[chosen], minlength=len(sources)) / chosen.sum()
        mean = values[:, chosen].mean(1)
        return Group(
            name,
            int(chosen.sum()),
            dict(zip(sources, carried.tolist())),
            dict(zip(sources, mean.tolist())),
        )

    def groups(names: Sequence[str], number: np.ndarray) -> list[Group]:
        there = [(name, number == n) for n, name in enumerate(names)]
        return [group(name, chosen) for name, chosen in there if chosen.any()]

    popularity = np.zeros(len(recommender.items), dtype=np.int8)
    popularity[1:] = popularity_groups(recommender.popularity[1:])
    length = np.broadcast_to(histories.length[:, None], real.shape)[real]
    ends = [*(f"to {n - 1}" for n in _LENGTHS[1:]), "and more"]
    different, place = np.unique(item, return_inverse=True)
    by_item = np.stack([np.bincount(place, weights=of_source) for of_source in values])
    items_carried = np.bincount(by_item.argmax(0), minlength=len(sources))
    return Summary(
        k=k,
        n_people=len(histories),
        all=group("all", np.ones(len(item), dtype=bool)),
        by_popularity=groups(GROUPS, popularity[item]),
        by_length=groups(
            [f"{n} {end}" for n, end in zip(_LENGTHS, ends)],
            np.searchsorted(_LENGTHS, length, side="right") - 1,
        ),
        n_items=len(different),
        n_catalogue=len(recommender.items) - 1,
        items_carried=dict(zip(sources, items_carried.tolist())),
        taken_away={name: taken_away[name] for name in sources if name in taken_away},
        agreement=float((without.argmin(0) == carrier).mean()),
    )


def _compare(found: Recommendations, others: Recommendations) -> TakenAway:
    """Say how other recommendations for the same people differ."""
    kept = (found.numbers[:, :, None] == others.numbers[:, None]).any(2)
    real = found.numbers > 0
    return TakenAway(
        replaced=float(1 - kept[real].mean()),
        first_replaced=float((found.numbers[:, 0] != others.numbers[:, 0]).mean()),
        n_items=len(np.unique(others.numbers[others.numbers > 0])),
    )
