"""Answers of an export, as the schema has them; nothing of HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import UserError
from ..serving.ranking import Recommendations
from .exports import Loaded
from .schema import RecommendRequest


def recommend(loaded: Loaded, asked: RecommendRequest) -> dict[str, Any]:
    """Recommend items.

    Parameters
    ----------
    loaded : Loaded
        The export.
    asked : RecommendRequest

    Returns
    -------
    dict
        As :class:`.schema.RecommendResponse`.

    Raises
    ------
    UserError
        No item of ``only`` is known, or a branch of ``weights`` is not.
    """
    exclude, n_excluded = _numbers(loaded, asked.exclude)
    only, n_only = None, 0
    if asked.only is not None:
        only, n_only = _numbers(loaded, asked.only)
        if not len(only):
            raise UserError(
                f"None of the items of only is known, of {len(asked.only)}.",
                "Name items of the export; GET /items finds them.",
            )
    found = loaded.runtime.recommend(
        asked.people,
        min(asked.k, loaded.n_items),
        exclude_seen=asked.exclude_seen,
        exclude=exclude,
        only=only,
        weights=asked.weights,
        shares=asked.shares,
    )
    return {
        "export": loaded.fingerprint,
        "branches": list(loaded.runtime.branches),
        "n_unknown": {"exclude": n_excluded, "only": n_only},
        "results": [
            {
                "by": "popularity" if found.is_popular[row] else "model",
                "n_unknown": int(found.n_unknown[row]),
                "items": _items_of(loaded, found, row, asked.pictures),
            }
            for row in range(len(found))
        ],
    }


def _items_of(
    loaded: Loaded, found: Recommendations, row: int, pictures: bool
) -> list[dict[str, Any]]:
    numbers = [number for number in found.numbers[row].tolist() if number]
    entries = [describe(loaded, number, pictures) for number in numbers]
    is_scored = not found.is_popular[row]
    scores = found.scores[row].tolist()
    shares = None if found.shares is None else found.shares[row].tolist()
    for place, entry in enumerate(entries):
        entry["score"] = scores[place] if is_scored else None
        has_shares = is_scored and shares is not None
        entry["shares"] = dict(zip(found.parts, shares[place])) if shares and has_shares else None
    return entries


def describe(loaded: Loaded, number: int, pictures: bool) -> dict[str, Any]:
    """Give what is shown of an item, as :class:`.schema.Item`."""
    catalogue = loaded.catalogue
    return {
        "item": loaded.runtime.items[number],
        "title": catalogue.title(number),
        "picture": catalogue.picture(number) if pictures else None,
    }


def known_item(loaded: Loaded, token: str) -> dict[str, Any] | None:
    """Give an item, as :class:`.schema.KnownItem`; None if it is unknown."""
    number = loaded.runtime.number_of.get(token)
    if number is None:
        return None
    n_chosen = int(loaded.runtime.popularity[number])
    return {**describe(loaded, number, True), "n_chosen": n_chosen}


def find_items(loaded: Loaded, words: str, limit: int, pictures: bool) -> dict[str, Any]:
    """Find items by their ids or titles, as :class:`.schema.FoundItems`."""
    numbers = loaded.catalogue.search(words, loaded.runtime.by_popularity, limit)
    return {"items": [describe(loaded, number, pictures) for number in numbers]}


def similar(
    loaded: Loaded, token: str, k: int, branch: str | None, pictures: bool
) -> dict[str, Any] | None:
    """Find the items nearest to one, as :class:`.schema.SimilarResponse`; None if it is unknown.

    Raises
    ------
    UserError
        There is no such branch.
    """
    number = loaded.runtime.number_of.get(token)
    if number is None:
        return None
    nearest = zip(*(found.tolist() for found in loaded.similarity.nearest(number, k, branch)))
    return {
        "export": loaded.fingerprint,
        "item": token,
        "items": [
            {**describe(loaded, other, pictures), "similarity": cosine} for other, cosine in nearest
        ],
    }


def _numbers(loaded: Loaded, tokens: Sequence[str]) -> tuple[np.ndarray, int]:
    """Numbers of the known ones of some items, rising, and how many are unknown."""
    number_of = loaded.runtime.number_of
    found = [number_of[token] for token in tokens if token in number_of]
    return np.unique(np.array(found, dtype=np.int64)), len(tokens) - len(found)
