"""Explanations as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import pages
from ..features.popularity import RULE
from ..serving.items import Items
from ..serving.ranking import REPEATS, Recommendations
from ..serving.recommender import Recommender
from .summary import Group, Summary

_N_HISTORY, _N_CARRIED, _N_NEAREST = 10, 4, 3


def branch_shares(recommender: Recommender, found: Recommendations) -> np.ndarray:
    """Divide scores among the branches, so that weights of the branches can be tried.

    Parameters
    ----------
    recommender : Recommender
        What recommended.
    found : Recommendations
        With shares.

    Returns
    -------
    numpy.ndarray
        What a factor of each branch multiplies: its share, and its part of the repeat bias.
        float32 ``[n, k, n_branches]``.
    """
    assert found.shares is not None
    n_branches = len(recommender.branches)
    shares, repeats = np.split(found.shares, [n_branches], axis=2)
    if repeats.shape[2]:
        weights = recommender.scoring.weights[found.numbers]
        total = weights.sum(2, keepdims=True)
        shares = shares + repeats * np.divide(
            weights, total, out=np.zeros_like(weights), where=total > 0
        )
    return shares


def render_page(
    facts: Mapping[str, Any],
    people: Sequence[Mapping[str, Any]],
    shares: np.ndarray,
    k: int,
    items: Items,
    summary: Summary | None,
) -> str:
    """Write the page.

    Parameters
    ----------
    facts : Mapping
        ``model``, ``dataset``, ``sources`` and ``branches``.
    people : sequence of Mapping
        As :func:`.document.describe` gives them.
    shares : numpy.ndarray
        See :func:`branch_shares`.
    k : int
        Recommendations of each that are shown at first.
    items : Items
        Have pictures.
    summary : Summary or None
        Of the recommendations for a sample.

    Returns
    -------
    str
        HTML.
    """
    pictures: dict[str, pages.Picture] = {}
    places: dict[str, int] = {}

    def place_of(item: str) -> int | None:
        """Give the number of an item's picture, each of which is in the page once."""
        if item not in places and (picture := items.picture(item)) is not None:
            places[item] = len(places)
            pictures[item] = picture
        return places.get(item)

    shown = [_shown(person, facts) for person in people]
    contents = [(f"person{n}", person["user"]) for n, person in enumerate(people, 1)]
    if summary is not None:
        contents.append(("whole", "The whole"))
    return pages.render(
        "explain/page.html.j2",
        title=f"Why {facts['model']} recommends what it recommends",
        facts=facts,
        people=shown,
        contents=contents,
        k=k,
        n_candidates=shares.shape[1],
        has_pictures=items.has_pictures,
        place_of=place_of,
        pictures=pictures,
        tables=[] if summary is None else _tables(summary, facts["sources"]),
        summary=summary,
        rule=RULE,
        script_data={"k": k, "shares": np.round(np.nan_to_num(shares), 6).tolist()},
    )


def _shown(person: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a person what is worked out for the page alone."""
    cards = [
        dict(found, **_why(found, facts)) if "score" in found else found
        for found in person["recommendations"]
    ]
    return dict(person, recommendations=cards, history=person["history"][::-1][:_N_HISTORY])


def _why(found: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the source and the past items that carry a recommendation; make the table."""
    values, shares, past = found["values"], found["shares"], found["past"]
    largest = max(map(abs, values.values())) or 1
    shares = {name: share for name, share in shares.items() if share or name != REPEATS}
    parts = values | {name: share for name, share in shares.items() if name == REPEATS}
    rows = [
        [
            name,
            _signed(parts.get(name)),
            found["place_alone"].get(name) or "-",
            found["place_without"].get(name) or "-",
            _signed(shares.get(name)),
        ]
        for name in dict.fromkeys([*parts, *shares])
    ]
    total = _signed(found["score"])
    lists = {
        "From the history, what carried it": [
            (entry, _signed(entry["change"])) for entry in past[:_N_CARRIED] if entry["change"] > 0
        ]
    }
    for modality in facts["sources"]:
        near = [entry for entry in past if entry["cosine"].get(modality) is not None]
        near.sort(key=lambda entry: -entry["cosine"][modality])
        lists[f"Nearest by {modality}"] = [
            (entry, f"{entry['cosine'][modality]:.3f}") for entry in near[:_N_NEAREST]
        ]
    return {
        "carrier": max(values, key=values.__getitem__),
        "bars": {
            name: pages.bar(max(value / largest, 0), _signed(value))
            for name, value in values.items()
        },
        "rows": [*rows, ["score", total, found["rank"], found["rank"], total]],
        "lists": {heading: entries for heading, entries in lists.items() if entries},
    }


def _signed(number: float | None) -> str:
    return "-" if number is None else f"{number:+.3f}"


def _tables(summary: Summary, sources: Sequence[str]) -> list[dict[str, Any]]:
    """The tables of the whole."""

    def values(group: Group) -> list[Any]:
        total = sum(max(value, 0) for value in group.value.values()) or 1
        bars = [pages.bar(max(v / total, 0), f"{v:+.2f}") for v in group.value.values()]
        return [group.name, f"{group.n:,}", *bars]

    columns = ["", "recommendations", *sources]
    tables = [
        {
            "caption": f"Mean value of each source, by {what}",
            "columns": columns,
            "rows": [values(group) for group in [*groups, summary.all]],
        }
        for what, groups in {
            "popularity of the item": summary.by_popularity,
            "items in the history": summary.by_length,
        }.items()
    ]
    if summary.taken_away:
        tables.append(
            {
                "caption": "If a source is taken from all items",
                "columns": ["", "recommendations replaced", "first ones replaced", "items"],
                "rows": [
                    [
                        f"without {name}",
                        pages.bar(change.replaced, f"{change.replaced:.0%}"),
                        pages.bar(change.first_replaced, f"{change.first_replaced:.0%}"),
                        f"{change.n_items:,}",
                    ]
                    for name, change in summary.taken_away.items()
                ],
            }
        )
    return tables
