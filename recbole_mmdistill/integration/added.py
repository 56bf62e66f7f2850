"""Items that came to a checkpoint after training: features and titles that no file has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from ..features import FeatureInfo, FeatureSource, from_array

ADDED, TITLES, PICTURES = "added_features", "added_titles", "added_pictures"


def features_of(saved: Mapping[str, Any], path: str | Path) -> dict[str, FeatureSource]:
    """Give the features that a checkpoint itself has, by modality.

    Parameters
    ----------
    saved : Mapping
        As :func:`~.loading.load` gives it.
    path : str or Path
        The checkpoint, for messages.

    Returns
    -------
    dict of str to FeatureSource
        Empty for a checkpoint as a run saved it.

    Raises
    ------
    UserError
        They are not sound.
    """
    found = {}
    parts = saved.get(ADDED, {})
    try:
        for modality, part in parts.items():
            values, mask, tokens = (part[key] for key in ("values", "token_mask", "item_tokens"))
            sound = isinstance(values, torch.Tensor) and isinstance(tokens, np.ndarray)
            if not sound or not isinstance(mask, (torch.Tensor, type(None))):
                raise TypeError
            info = FeatureInfo(str(modality))
            found[modality] = from_array(values, tokens, info, mask, name=f"the items of {path}")
    except (AttributeError, KeyError, TypeError):
        raise UserError(
            f"The checkpoint {path} has no sound {ADDED}.", "Add the items again."
        ) from None
    return found


def names_of(saved: Mapping[str, Any], kind: str, path: str | Path) -> dict[str, str]:
    """Give the titles that a checkpoint itself has, or the names of pictures' files, by item.

    Parameters
    ----------
    saved, path
        As for :func:`features_of`.
    kind : str
        :data:`TITLES` or :data:`PICTURES`.

    Returns
    -------
    dict of str to str
        Empty for a checkpoint as a run saved it.

    Raises
    ------
    UserError
        They are not sound.
    """
    names = saved.get(kind, {})
    if not isinstance(names, dict) or not all(
        isinstance(word, str) for pair in names.items() for word in pair
    ):
        raise UserError(f"The checkpoint {path} has no sound {kind}.", "Add the items again.")
    return names


def as_plain(features: Mapping[str, FeatureSource]) -> dict[str, Any]:
    """Give features as a checkpoint holds them."""
    return {
        modality: {
            "values": source.values,
            "token_mask": source.token_mask,
            "item_tokens": source.item_tokens,
        }
        for modality, source in features.items()
    }
