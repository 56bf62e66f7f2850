"""What new items cost those that are known: measured on users' last items but one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from .measuring import held_out, ndcg
from .models import BranchedModel
from .recommender import Recommender

_WEIGHTS = (0.8, 0.9, 1.0, 1.1, 1.2, 1.5)
_USERS = 2000
_K = 10


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    weight : float or None
        ``new_item_weight``; None: nothing new may be recommended.
    ndcg : float
        At 10, of the items that users did choose.
    share : float
        Of the recommended items, those that training never saw.
    """

    weight: float | None
    ndcg: float
    share: float


@dataclass(frozen=True)
class Price:
    """How recommendations change with ``new_item_weight``.

    Attributes
    ----------
    rows : tuple of Row
        By rising weight.
    weight : float
        The checkpoint's own.
    n_users, n_new : int
        Users by whom it was measured, and items that training never saw.
    """

    rows: tuple[Row, ...]
    weight: float
    n_users: int
    n_new: int

    def text(self) -> str:
        """Give it as a table."""
        lines = [
            f"What the {self.n_new:,} items that training never saw cost, measured by the last "
            f"item but one (the validation item) of {self.n_users:,} users:",
            "  new_item_weight   NDCG@10   new items among the top 10",
        ]
        for row in self.rows:
            name = "nothing new" if row.weight is None else f"{row.weight:g}"
            mark = "  <- this checkpoint's" if row.weight == self.weight else ""
            lines.append(f"  {name:>15}   {row.ndcg:.4f}   {row.share:>26.1%}{mark}")
        return "\n".join(lines)


def price_of_new(
    recommender: Recommender, weights: Sequence[float] = _WEIGHTS
) -> tuple[Price | None, str]:
    """Measure what new items cost.

    The validation items are chosen by people who could not choose what is new. So the price is a
    bound: what it says is lost would be smaller if some of them had preferred a new item.

    Parameters
    ----------
    recommender : Recommender
        Of a checkpoint of IDMMDistill whose dataset is there. Its model is changed and put back.
    weights : sequence of float
        Values of ``new_item_weight``.

    Returns
    -------
    price : Price or None
        None if it cannot be measured.
    reason : str
        Why it cannot.
    """
    model, config = recommender.model, recommender.trained.config
    assert isinstance(model, BranchedModel)
    combination = model.model.network.combination
    new = np.flatnonzero(recommender.popularity == 0)[1:]
    if not len(new):
        return None, ""
    if combination.id_branch is None:
        return None, "new_item_weight has no effect: the model has no branch of the ID."
    split = (config["eval_args"] or {}).get("split") or {}
    if split.get("LS") != "valid_and_test":
        return None, "The price of what is new is measured for leave-one-out splits alone."
    try:
        found = recommender.interactions
    except UserError as error:
        return None, f"The price of what is new is not measured. {error.what}"
    histories, targets = held_out(found, len(recommender.items), 2, _USERS)
    if not len(histories):
        return None, "The price of what is new is not measured: no user has three items."
    k = min(_K, len(recommender.items) - 1)
    known = np.setdiff1d(np.arange(1, len(recommender.items)), new)
    own = round(float(combination.new_item_weight), 6)
    rows = []
    for weight in (None, *sorted({*weights, own})):
        combination.new_item_weight.fill_(own if weight is None else weight)
        changed = Recommender(recommender.trained, BranchedModel(model.model))
        only = known if weight is None else None
        numbers = changed.recommend(histories, k, exclude_seen=False, only=only).numbers
        share = float(np.isin(numbers, new).sum() / np.count_nonzero(numbers))
        rows.append(Row(weight, ndcg(numbers, targets), share))
    combination.new_item_weight.fill_(own)
    return Price(tuple(rows), own, len(histories), len(new)), ""
