"""A literal catalogue and histories, small enough to reason about by hand."""

from importlib import resources
from types import SimpleNamespace

import torch
import yaml
from recbole.data.interaction import Interaction

from recbole_mmdistill.model.idmmdistill import IDMMDistill

N_ITEMS = 9  # ids 0 (padding) to 8

_RECBOLE = {
    "USER_ID_FIELD": "user_id",
    "ITEM_ID_FIELD": "item_id",
    "LIST_SUFFIX": "_list",
    "ITEM_LIST_LENGTH_FIELD": "item_length",
    "NEG_PREFIX": "neg_",
    "MAX_ITEM_LIST_LENGTH": 6,
    "device": torch.device("cpu"),
    "train_batch_size": 4,
    "seed": 1,
}


def config(**overrides):
    """The shipped defaults at a tiny size."""
    shipped = resources.files("recbole_mmdistill.properties") / "model" / "IDMMDistill.yaml"
    small = {"hidden_size": 8, "inner_size": 16, "hidden_dropout_prob": 0.0}
    defaults = yaml.safe_load(shipped.read_text()) | {"layer_norm_eps": 1e-12}
    return _RECBOLE | defaults | small | overrides


def features(seed, missing=(), n_tokens=1, dim=5):
    """Random features of every item but 0 and those ``missing``."""
    values = torch.randn(N_ITEMS, n_tokens, dim, generator=torch.Generator().manual_seed(seed))
    present = torch.ones(N_ITEMS, dtype=torch.bool)
    present[[0, *missing]] = False
    mask = None
    if n_tokens > 1:
        mask = torch.ones(N_ITEMS, n_tokens, dtype=torch.bool)
        mask[1::2, -1] = False
    return SimpleNamespace(
        values=values.half(),
        token_mask=mask,
        row_of_item=torch.where(present, torch.arange(N_ITEMS), -1),
        present=present,
    )


def dataset(modalities=None):
    """A training split of six targets."""
    if modalities is None:
        modalities = {"text": features(1), "image": features(2, missing=[3, 7])}
    return SimpleNamespace(
        item_features=modalities,
        inter_feat={"item_id": torch.arange(1, N_ITEMS)},
        num=lambda field: N_ITEMS,
        steps_per_epoch=lambda batch_size: 2,
        targets_per_user=100.0,  # long histories
    )


def model(modalities=None, seed=0, **overrides):
    """A tiny IDMMDistill in evaluation mode."""
    torch.manual_seed(seed)
    return IDMMDistill(config(**overrides), dataset(modalities)).eval()


def windows(*histories):
    """A batch of windows: every item of a history predicts the next."""
    inputs = [torch.tensor(history[:-1]) for history in histories]
    targets = [torch.tensor(history[1:]) for history in histories]
    pad = torch.nn.utils.rnn.pad_sequence
    return Interaction(
        {
            "item_id_list": pad(inputs, batch_first=True),
            "item_length": torch.tensor([len(history) - 1 for history in histories]),
            "target_item_id_list": pad(targets, batch_first=True),
        }
    )


def prefixes(*histories):
    """The same predictions as RecBole's rows: one for each prefix of a history."""
    rows = [
        (history[:end], history[end]) for history in histories for end in range(1, len(history))
    ]
    pad = torch.nn.utils.rnn.pad_sequence
    return Interaction(
        {
            "item_id_list": pad([torch.tensor(seen) for seen, _ in rows], batch_first=True),
            "item_length": torch.tensor([len(seen) for seen, _ in rows]),
            "item_id": torch.tensor([target for _, target in rows]),
        }
    )
