"""What is known of each test row: whom it asks about, and which groups it belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..features.popularity import GROUPS, popularity_groups

ALL = "all"
HISTORY = ("history: shortest third", "history: middle third", "history: longest third")


@dataclass(frozen=True)
class Rows:
    """The rows of a test set, in the order of its dataloader; all arrays ``[n_rows]``.

    Attributes
    ----------
    users, items : list of str
        Tokens of the user and of the target.
    popularity : list of str
        The target's group, see :mod:`recbole_mmdistill.features.popularity`; counted are
        the targets of the training split.
    history : list of int
        How many targets the user has in the training split.
    has : dict of str to list of bool
        For each modality, whether the target has features.
    n_items : int
        Items that are ranked.
    """

    users: list[str]
    items: list[str]
    popularity: list[str]
    history: list[int]
    has: dict[str, list[bool]]
    n_items: int

    @property
    def name(self) -> str:
        """Hash of all that the rows hold."""
        text = json.dumps(vars(self))
        return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]

    def groups(self) -> dict[str, np.ndarray]:
        """Groups of rows that are reported by themselves, bool ``[n_rows]`` by name; no empty one.

        All rows; rows by the popularity of the target (``item ...``; ``item known`` are those that
        are not cold); thirds of the rows by the length of the user's history; rows whose target
        has features of a modality, and those whose target has none.
        """
        popularity = np.array(self.popularity)
        groups = {ALL: np.full(len(popularity), True)}
        groups |= {f"item {group}": popularity == group for group in GROUPS}
        groups["item known"] = ~groups["item cold"]
        cuts = np.quantile(self.history, [1 / 3, 2 / 3])
        third = np.searchsorted(cuts, self.history, side="left")
        groups |= {name: third == number for number, name in enumerate(HISTORY)}
        for modality, has in self.has.items():
            groups[f"with {modality}"] = np.array(has)
            groups[f"without {modality}"] = ~np.array(has)
        return {name: chosen for name, chosen in groups.items() if chosen.any()}


def describe_rows(train: Any, test: Any, present: Mapping[str, torch.Tensor]) -> Rows:
    """Describe the rows of a test split.

    Parameters
    ----------
    train, test : MultiModalSequentialDataset
        Splits of one dataset.
    present : Mapping of str to Tensor
        For each modality whether an item has features, bool ``[n_items]``.

    Returns
    -------
    Rows
    """
    user, item = (test.inter_feat[field].numpy() for field in (test.uid_field, test.iid_field))
    count = np.bincount(train.inter_feat[train.iid_field].numpy(), minlength=test.item_num)
    history = np.bincount(train.inter_feat[train.uid_field].numpy(), minlength=test.user_num)
    group = np.full(test.item_num, 0)
    group[1:] = popularity_groups(count[1:])
    return Rows(
        users=test.id2token(test.uid_field, user).tolist(),
        items=test.id2token(test.iid_field, item).tolist(),
        popularity=[GROUPS[number] for number in group[item]],
        history=history[user].tolist(),
        has={name: there.numpy()[item].tolist() for name, there in present.items()},
        n_items=test.item_num - 1,
    )
