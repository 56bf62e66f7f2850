"""Explanations as lists and dicts: what the JSON file holds, and what the page shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..serving.items import Items
from ..serving.people import People
from .explainer import Explanation, Past


def describe(people: People, explanation: Explanation, items: Items) -> list[dict[str, Any]]:
    """Describe what is recommended to some people, and why.

    Parameters
    ----------
    people : People
        Who.
    explanation : Explanation
        Of what is recommended to them.
    items : Items
        Their titles.

    Returns
    -------
    list of dict
        For each person ``user``, ``n_known`` and ``n_unknown`` items of the history, ``history``
        (the items that were read, each once), ``by`` (the model or popularity) and
        ``recommendations``. Each of these has ``rank``, ``item`` and ``title``; if it is the
        model's, also ``score``, ``shares`` by branch, and by source ``values`` (Shapley),
        ``without`` (the score), ``place_alone`` and ``place_without``, and ``past``.
    """
    found = explanation.recommendations
    return [
        {
            "user": user,
            "n_known": int(people.histories.length[row]),
            "n_unknown": int(found.n_unknown[row]),
            "history": [
                {"item": item, "title": items.title(item)} for item in explanation.past[row].items
            ],
            "by": "popularity" if found.is_popular[row] else "model",
            "recommendations": [
                _recommendation(explanation, row, place, items)
                for place in np.flatnonzero(found.numbers[row]).tolist()
            ],
        }
        for row, user in enumerate(people.users)
    ]


def _recommendation(explanation: Explanation, row: int, place: int, items: Items) -> dict[str, Any]:
    found, sources, at = explanation.recommendations, explanation.sources, (row, place)
    item = found.items[at]
    described = {"rank": place + 1, "item": item, "title": items.title(item)}
    if found.is_popular[row]:
        return described
    assert found.shares is not None  # an explanation has them
    return described | {
        "score": _number(found.scores[at]),
        "shares": _by_name(found.parts, found.shares[at]),
        "values": _by_name(sources, explanation.values[at]),
        "without": _by_name(sources, explanation.without[at]),
        "place_alone": _places(sources, explanation.place_alone[at]),
        "place_without": _places(sources, explanation.place_without[at]),
        "past": _past(explanation.past[row], place, items),
    }


def _past(past: Past, place: int, items: Items) -> list[dict[str, Any]]:
    """The items of the history, the one that raises the score most first."""
    return [
        {
            "item": past.items[n],
            "title": items.title(past.items[n]),
            "change": _number(past.change[place, n]),
            "cosine": {name: _number(of[place, n]) for name, of in past.cosine.items()},
        }
        for n in np.argsort(-past.change[place], kind="stable").tolist()
    ]


def _by_name(names: Iterable[str], numbers: np.ndarray) -> dict[str, float | None]:
    return {name: _number(number) for name, number in zip(names, numbers)}


def _places(names: Iterable[str], places: np.ndarray) -> dict[str, int | None]:
    return {name: place or None for name, place in zip(names, places.tolist())}


def _number(number: float) -> float | None:
    """Give a number for JSON, which has no NaN."""
    return float(f"{number:.7g}") if np.isfinite(number) else None
