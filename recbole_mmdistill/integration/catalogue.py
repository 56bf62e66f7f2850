"""A checkpoint gets more items, or fewer, without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import UserError
from ..features import FeatureSource, join_features, take_items
from . import numbering
from .added import ADDED, PICTURES, TITLES, as_plain, features_of, names_of
from .options import OTHER
from .trained import fill, model_of

_OF_TRAINING = ("optimizer", "other_states", "random", "loader")  # by which a run goes on


def items_of(saved: Mapping[str, Any], path: str | Path) -> np.ndarray:
    """Give the tokens of a checkpoint's items by number, dtype object ``[n_items]``.

    Raises
    ------
    UserError
        It does not know them.
    """
    tokens = (saved["vocabulary"] or {}).get(_field(saved))
    if tokens is None:
        raise UserError(f"The checkpoint {path} does not know its items.", OTHER)
    return tokens


def without_items(
    saved: Mapping[str, Any], removed: np.ndarray, path: str | Path
) -> dict[str, Any]:
    """Take items away: nothing is left of them.

    Parameters
    ----------
    saved : Mapping
        As :func:`~.loading.load` gives it.
    removed : numpy.ndarray
        Tokens of known items, dtype object.
    path : str or Path
        The checkpoint, for messages.

    Returns
    -------
    dict of str to object
        For :func:`recbole_mmdistill.checkpoint.write`; a training cannot go on from it.

    Raises
    ------
    UserError
        No item that was trained is left.
    """
    items, field = items_of(saved, path), _field(saved)
    kept = ~pd.Index(items, dtype=object).isin(removed)
    fewer = {key: value for key, value in saved.items() if key not in _OF_TRAINING}
    if kept.all():
        return fewer
    counts = saved["state_dict"].get("train_count")
    if counts is None or not counts.numpy()[kept].any():
        raise UserError(
            f"Of the {len(items) - 1} items of {path} none that was trained would be left.",
            "Take fewer away.",
        )
    fewer["vocabulary"] = {**saved["vocabulary"], field: items[kept]}
    fewer["features"] = {name: h[kept] for name, h in saved["features"].items()}
    own = {name: take_items(s, items[kept]) for name, s in features_of(saved, path).items()}
    fewer[ADDED] = as_plain({name: some for name, some in own.items() if some is not None})
    gone = {*removed}
    for kind in (TITLES, PICTURES):
        names = names_of(saved, kind, path)
        fewer[kind] = {item: name for item, name in names.items() if item not in gone}
    model = model_of(fewer, path).model
    fewer["state_dict"] = numbering.shrink(saved["state_dict"], model, kept)
    return fewer


def with_items(
    saved: Mapping[str, Any],
    new: Sequence[str],
    features: Mapping[str, FeatureSource],
    titles: Mapping[str, str],
    pictures: Mapping[str, str],
    path: str | Path,
) -> dict[str, Any]:
    """Add items, as if they had been in the dataset and nobody had chosen them.

    Parameters
    ----------
    saved : Mapping
        As :func:`~.loading.load` gives it, of IDMMDistill.
    new : sequence of str
        Tokens of unknown items.
    features : Mapping of str to FeatureSource
        Theirs, by modality.
    titles, pictures : Mapping of str to str
        Theirs, and the names of the pictures' files, by token; an item may have none.
    path : str or Path
        The checkpoint, for messages.

    Returns
    -------
    dict of str to object
        As :func:`without_items` gives it.
    """
    items, field = items_of(saved, path), _field(saved)
    own = features_of(saved, path)
    for modality, source in features.items():
        before = own.get(modality)
        own[modality] = source if before is None else join_features(before, source)
    more = {key: value for key, value in saved.items() if key not in _OF_TRAINING}
    more["vocabulary"] = {**saved["vocabulary"], field: np.array([*items, *new], dtype=object)}
    more[ADDED] = as_plain(own)
    for kind, names in ((TITLES, titles), (PICTURES, pictures)):
        more[kind] = {**names_of(saved, kind, path), **names}
    model, config, _, aligned = model_of(more, path)
    state = numbering.grow(saved["state_dict"], model, saved["vocabulary"], more["vocabulary"])
    fill(model, state, path)
    model.start_items(config, len(items))
    more["state_dict"] = model.state_dict()
    of_new = {name: table.hash_items()[len(items) :] for name, table in aligned.items()}
    more["features"] = {
        name: np.concatenate([before, of_new[name]]) for name, before in saved["features"].items()
    }
    return more


def with_option(saved: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Give a checkpoint another value of an option."""
    options, given = ({**saved.get(key, {}), name: value} for key in ("options", "settings"))
    return {**saved, "options": options, "settings": given}


def _field(saved: Mapping[str, Any]) -> str:
    return str(saved["options"].get("ITEM_ID_FIELD", "item_id"))
