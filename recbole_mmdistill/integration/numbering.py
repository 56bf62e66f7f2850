"""Users and items keep their embeddings when the data has changed.

RecBole numbers users and items by their first appearance in the files, and a row of an embedding
belongs to a number. Here a dataset takes over a checkpoint's numbers, new tokens get the numbers
behind them, and the model grows with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from logging import getLogger
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..errors import UserError
from .fixes import extends

Vocabulary = dict[str, np.ndarray]  # tokens by number, of each field; number 0 is [PAD]
_ATOMIC = ("inter", "user", "item", "kg", "link", "net")


class Numbering(NamedTuple):
    """What a config's dataset was made from.

    Attributes
    ----------
    tokens : Vocabulary
        Of each token field.
    files : dict of str to str
        SHA-256 of each atomic file, by its name.
    """

    tokens: Vocabulary
    files: dict[str, str]


def number_as(config: Any, tokens: Vocabulary) -> None:
    """Let datasets of this config number tokens so, with new ones behind.

    Parameters
    ----------
    config : recbole.config.Config
        Of the datasets.
    tokens : Vocabulary
        Known tokens.
    """
    config.known_tokens = tokens


def numbering_of(config: Any) -> Numbering | None:
    """How the last dataset of this config is numbered; None if there is none yet."""
    return vars(config).get("numbering")


@extends("recbole.data.dataset.dataset:Dataset._user_item_feat_preparation")
def user_item_feat_preparation(original: Any, self: Any) -> None:
    """Number a dataset as its checkpoint is numbered, and note the numbers for the next one.

    data/dataset/dataset.py:164 numbers tokens as they come in the files, and line 165 is the first
    to use the numbers.
    """
    known = vars(self.config).get("known_tokens")
    if known is not None:
        _renumber(self, known)
    tokens = {str(name): tokens for name, tokens in self.field2id_token.items()}
    self.config.numbering = Numbering(tokens, hash_files(self.config))
    original(self)


def hash_files(config: Any) -> dict[str, str]:
    """SHA-256 of a dataset's atomic files, by name."""
    suffixes = {*_ATOMIC, *(config["additional_feat_suffix"] or [])}
    found = {}
    for path in sorted(Path(config["data_path"]).glob("*")):
        if path.name.startswith(f"{config['dataset']}.") and path.suffix[1:] in suffixes:
            digest = hashlib.sha256()
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            found[path.name] = digest.hexdigest()
    return found


def _renumber(dataset: Any, known: Vocabulary) -> None:
    """Give the known tokens of a dataset their numbers, and new ones those behind them."""
    from recbole.data.dataset import KnowledgeBasedDataset
    from recbole.utils import FeatureType

    new_tokens = {}
    for field, tokens in {str(f): t for f, t in dataset.field2id_token.items()}.items():
        if field not in known:
            raise UserError(
                f"The checkpoint knows no tokens of the field {field!r}.",
                "Load the fields that it was trained with (load_col), or train again.",
            )
        index = pd.Index(known[field], dtype=object)
        number = index.get_indexer(pd.Index(tokens, dtype=object))
        is_new = number < 0
        number[is_new] = np.arange(len(index), len(index) + is_new.sum())
        if (number == np.arange(len(number))).all() and len(number) == len(index):
            continue
        if isinstance(dataset, KnowledgeBasedDataset):
            raise UserError(
                f"The tokens of {field!r} are not those of the checkpoint, and a knowledge graph's "
                "entities cannot be numbered anew.",
                "Give the files that it was trained on, or train again.",
            )
        together = np.array([*known[field], *np.asarray(tokens, dtype=object)[is_new]])
        dataset.field2id_token[field] = together
        dataset.field2token_id[field] = {token: n for n, token in enumerate(together)}
        new_tokens[field] = int(is_new.sum())
        for feat in dataset.field2feats(field):
            if dataset.field2type[field] == FeatureType.TOKEN:
                feat[field] = number[feat[field].to_numpy()]
            else:
                feat[field] = feat[field].map(lambda cell, number=number: number[cell])
    if new_tokens:
        counts = ", ".join(f"{count} of {field}" for field, count in new_tokens.items())
        getLogger().info(f"Numbered as the checkpoint is; new tokens: {counts}")


def check_same(config: Any, tokens: Vocabulary | None, path: Any) -> None:
    """Refuse a checkpoint whose rows belong to other tokens than those of the config's dataset.

    Parameters
    ----------
    config : recbole.config.Config
        Of the dataset.
    tokens : Vocabulary or None
        The checkpoint's; None if it knows none.
    path : str or Path
        The checkpoint, for the message.

    Raises
    ------
    UserError
        A token has another number, or there are others.
    """
    numbering = numbering_of(config)
    if numbering is None or tokens is None:
        return
    for field, mine in numbering.tokens.items():
        theirs = tokens.get(field)
        if theirs is None or not np.array_equal(mine, theirs):
            raise UserError(
                f"The checkpoint {path} numbers the tokens of {field!r} otherwise than the data.",
                "Give the files that it was trained on, or load it with load_data_and_model, which "
                "numbers the data as the checkpoint does.",
            )


def shrink(
    saved: Mapping[str, Tensor], model: torch.nn.Module, kept: np.ndarray
) -> dict[str, Tensor]:
    """Take the rows of some items out of a checkpoint's tensors.

    Parameters
    ----------
    saved : Mapping of str to Tensor
        The checkpoint's ``state_dict``.
    model : torch.nn.Module
        Made for the items that are left.
    kept : numpy.ndarray
        bool ``[n_items]``, which are left; fewer than all.

    Returns
    -------
    dict of str to Tensor
        To load into the model.
    """
    rows = torch.from_numpy(np.flatnonzero(kept))
    fewer = dict(saved)
    for name, fresh in model.state_dict().items():
        known = saved.get(name)
        if known is not None and known.shape == (len(kept), *fresh.shape[1:]) != fresh.shape:
            fewer[name] = known[rows]
    return fewer


def grow(
    saved: Mapping[str, Tensor],
    model: torch.nn.Module,
    old: Vocabulary,
    new: Vocabulary,
) -> dict[str, Tensor]:
    """Give a checkpoint's tensors rows for the tokens that are new in the data.

    A tensor that has a row for each token of a field, or one more behind them (a mask's), gets the
    fresh model's rows for the new tokens; those that a model names in ``training_counts`` get
    zeros, because training has not seen the new tokens.

    Parameters
    ----------
    saved : Mapping of str to Tensor
        The checkpoint's ``state_dict``.
    model : torch.nn.Module
        Made for the data, not yet loaded.
    old, new : Vocabulary
        The checkpoint's tokens, and the data's, which begin with them.

    Returns
    -------
    dict of str to Tensor
        To load into the model.

    Raises
    ------
    UserError
        A tensor's shape does not follow from the tokens alone.
    """
    sizes = {(len(old[field]), len(new[field])) for field in new if field in old}
    grown = dict(saved)
    for name, fresh in model.state_dict().items():
        known = saved.get(name)
        if known is None or known.shape == fresh.shape:
            continue
        ways = {
            extra
            for extra in (0, 1)
            for n_old, n_new in sizes
            if fresh.dim()
            and known.shape == (n_old + extra, *fresh.shape[1:])
            and len(fresh) == n_new + extra
        }
        if len(ways) != 1:
            raise UserError(
                f"The data has new tokens, and the model's {name} of shape {list(known.shape)} "
                f"cannot grow to {list(fresh.shape)} with them.",
                "Give the files that it was trained on, or train again.",
            )
        n_known = len(known) - ways.pop()
        added = fresh[n_known : n_known + len(fresh) - len(known)].to(known)
        if name in getattr(model, "training_counts", ()):
            added = torch.zeros_like(added)
        grown[name] = torch.cat([known[:n_known], added, known[n_known:]])
    return grown
