"""Where the test targets rank among all items, row by row, so that comparisons can be paired."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from ..integration.monitoring import rows_and_targets

WHOLE = "all"
WITHOUT_ID = "without id"
UNSEEN = "unseen"


def variants(model: Any) -> dict[str, AbstractContextManager[None]]:
    """Give the ways a model can score: as a whole, by each branch alone, and without the ID.

    Parameters
    ----------
    model : nn.Module
        Any; IDMMDistill has branches.

    Returns
    -------
    dict of str to context manager
        Inside the context the model scores so.
    """
    found: dict[str, AbstractContextManager[None]] = {WHOLE: nullcontext()}
    branches = getattr(model, "branches", [])
    if len(branches) > 1:
        found |= {name: model.scoring_with([name]) for name in branches}
    if len(branches) > 2 and "id" in branches:
        found[WITHOUT_ID] = model.scoring_with([name for name in branches if name != "id"])
    return found


@torch.no_grad()
def rank_targets(
    model: Any, loader: Any, device: torch.device | str, unseen_only: bool = False
) -> list[int]:
    """Rank each row's target among all items, 1 being the best.

    Items that score as the target does share their ranks' mean (rounded up): a model that scores
    all alike is not credited with a hit.

    Parameters
    ----------
    model : nn.Module
        Of RecBole, with ``full_sort_predict``.
    loader : FullSortEvalDataLoader
        Of a sequential model: one target for each row.
    device : torch.device or str
        Where the model is.
    unseen_only : bool
        Whether the items of the row's history come last, whatever the model thinks of them.

    Returns
    -------
    list of int
        In the order of the loader's rows.
    """
    model.eval()
    ranks = []
    for interaction, target in rows_and_targets(loader):
        scores = model.full_sort_predict(interaction.to(device)).view(len(target), -1)
        scores[:, 0] = -torch.inf
        if unseen_only:
            scores.scatter_(1, interaction[model.ITEM_SEQ].to(device), -torch.inf)
        of_target = scores.gather(1, target.to(device)[:, None])
        better = (scores > of_target).sum(1)
        equal = (scores == of_target).sum(1)
        ranks.append(better + 1 + equal // 2)
    return torch.cat(ranks).tolist()


def ndcg(ranks: np.ndarray, k: int = 10) -> np.ndarray:
    """NDCG@k of each row: one target, so ``1 / log2(rank + 1)`` within the first k, else 0.

    Parameters
    ----------
    ranks : numpy.ndarray
        From 1, any shape.
    k : int
        Length of the list.

    Returns
    -------
    numpy.ndarray
        Of the same shape.
    """
    ranks = np.asarray(ranks)
    return np.where(ranks <= k, 1 / np.log2(ranks + 1.0), 0.0)


def hit(ranks: np.ndarray, k: int = 10) -> np.ndarray:
    """Whether each row's target is within the first k, 1.0 or 0.0, of the ranks' shape."""
    return (np.asarray(ranks) <= k).astype(float)
