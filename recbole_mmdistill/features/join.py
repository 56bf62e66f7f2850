"""Features of a file, and those of some more items."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ..errors import UserError
from .source import FeatureSource, from_array


def join_features(source: FeatureSource, more: FeatureSource | None) -> FeatureSource:
    """Give the features of two sources as one.

    Parameters
    ----------
    source : FeatureSource
        Says how the features were made, and their dtype.
    more : FeatureSource or None
        Features of other items; of an item that both have, these count.

    Returns
    -------
    FeatureSource
        In memory; ``source`` itself if there are no more.

    Raises
    ------
    UserError
        The vectors are of another length.
    """
    if more is None or not len(more):
        return source
    if more.values.shape[2] != source.values.shape[2]:
        raise UserError(
            f"The vectors of {more.name} have {more.values.shape[2]} numbers, those of "
            f"{source.name} {source.values.shape[2]}.",
            "Give vectors of the same encoder.",
        )
    again = pd.Index(source.item_tokens, dtype=object).isin(more.item_tokens)
    kept = torch.from_numpy(np.flatnonzero(~again))
    n_tokens = max(source.values.shape[1], more.values.shape[1])
    values = [source.values[kept], more.values.to(source.values.dtype)]
    masks = [_mask(source)[kept], _mask(more)]
    mask = torch.cat([F.pad(part, (0, n_tokens - part.size(1))) for part in masks])
    return from_array(
        torch.cat([F.pad(part, (0, 0, 0, n_tokens - part.size(1))) for part in values]),
        np.concatenate([source.item_tokens[~again], more.item_tokens]),
        source.info,
        None if bool(mask.all()) else mask,
        name=f"{source.name} with {more.name}",
    )


def take_items(source: FeatureSource, tokens: np.ndarray) -> FeatureSource | None:
    """Give the features of some items, in memory; None if the source has none of them.

    Parameters
    ----------
    source : FeatureSource
        Where they are looked for.
    tokens : numpy.ndarray
        Items, dtype object; those that the source lacks are left out.

    Returns
    -------
    FeatureSource or None
    """
    row = pd.Index(source.item_tokens, dtype=object).get_indexer(pd.Index(tokens, dtype=object))
    found = row[row >= 0]
    if not len(found):
        return None
    mask = None if source.token_mask is None else source.token_mask[torch.from_numpy(found)]
    values = torch.from_numpy(source.take(found))
    return from_array(values, tokens[row >= 0], source.info, mask, name=source.name)


def _mask(source: FeatureSource) -> torch.Tensor:
    if source.token_mask is not None:
        return source.token_mask
    return torch.ones(source.values.shape[:2], dtype=torch.bool)
