"""Recommendations for a few customers, with pictures, and what carried them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..explain import Explainer, summarise
from ..explain.document import describe
from ..serving import Recommender
from ..serving.items import Items
from ..serving.people import KnownUsers
from .lists import Questions
from .report import Measured
from .stages import ALL
from .steps import Steps

_PEOPLE, _SHOWN, _PAST, _SUMMED = 4, 5, 5, 300


def choose(
    steps: Steps, measured: Measured, asked: Questions, images: Path | None, recommended: str
) -> dict[str, Any] | None:
    """Explain recommendations of the stage that is recommended, or of the best with a source.

    Parameters
    ----------
    steps : Steps
        Does what was not done before.
    measured : Measured
        Has the checkpoints.
    asked : Questions
        Of whom some are shown.
    images : Path or None
        Folder of pictures named by the items.
    recommended : str
        A stage; if it reads no source, another one is shown.

    Returns
    -------
    dict or None
        ``stage``, ``people`` and ``summary``; None without sources or people.
    """
    with_sources = (*measured.sources, ALL)
    stage = recommended if recommended in with_sources else measured.multimodal
    if stage is None or not len(asked):
        return None
    checkpoint = measured.records[stage][0]["checkpoint"]
    return steps.do(
        "examples",
        {"checkpoint": checkpoint, "images": str(images), "users": asked.users[:_PEOPLE]},
        lambda: _explain(stage, checkpoint, asked, images),
    )


def _explain(stage: str, checkpoint: str, asked: Questions, images: Path | None) -> dict[str, Any]:
    recommender = Recommender.from_checkpoint(checkpoint)
    explainer = Explainer(recommender)
    items = Items.of_dataset(recommender.trained, None, images)
    people = next(iter(KnownUsers(recommender, asked.users[:_PEOPLE])))
    told = describe(people, explainer.explain(people.histories, _SHOWN), items)
    summary = summarise(explainer, recommender.histories(asked.histories[:_SUMMED]))
    return {
        "stage": stage,
        "people": [_shown(person, items) for person in told],
        "summary": None if summary is None else asdict(summary),
    }


def _shown(person: dict[str, Any], items: Items) -> dict[str, Any]:
    recommended = []
    for found in person["recommendations"]:
        values = {
            name: max(0.0, value or 0.0) for name, value in (found.get("values") or {}).items()
        }
        past = [entry for entry in found.get("past", ()) if (entry["change"] or 0) > 0]
        recommended.append(
            {
                **_item(found, items),
                "shares": {name: of / sum(values.values()) for name, of in values.items() if of},
                "because": past[0]["title"] if past else None,
            }
        )
    history = person["history"][::-1][:_PAST]
    return {
        "user": str(person["user"]),
        "history": [_item(entry, items) for entry in history],
        "recommendations": recommended,
    }


def _item(entry: dict[str, Any], items: Items) -> dict[str, Any]:
    picture = items.picture(str(entry["item"]))
    return {
        "item": str(entry["item"]),
        "title": entry["title"],
        "picture": None if picture is None else asdict(picture),
    }
