"""What is known of each test row: whom it asks about, and which groups it belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..features.popularity import GROUPS, popularity_groups
from ..files import write_text


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

    def write(self, folder: Path) -> str:
        """Write the rows where they are not yet; return their name, a hash of all they hold."""
        text = json.dumps(asdict(self))
        name = hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
        path = folder / f"{name}.json"
        if not path.is_file():
            write_text(path, text)
        return name

    @classmethod
    def read(cls, folder: Path, name: str) -> Rows:
        """Read what :meth:`write` has written."""
        return cls(**json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))


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
