"""Atomic files of small datasets, and datasets made of them."""

from pathlib import Path

import torch
from recbole.config import Config
from recbole.data.dataset import SequentialDataset

from recbole_mmdistill.data import MultiModalSequentialDataset
from recbole_mmdistill.features import FeatureInfo, write_features

# Unix seconds that float32 would merge, in no order, some of them equal.
INTERACTIONS = """\
user_id:token item_id:token rating:float timestamp:float
u1 a 5 1500000003
u1 b 4 1500000001
u2 a 3 1500000009
u1 c 2 1500000002
u2 c 1 1500000008
u2 d 5 1500000007
u1 d 4 1500000004
u3 b 3 1500000005
u1 e 2 1500000004
u2 e 1 1500000006
u4 c 5 1500000002
u3 e 4 1500000001
u2 b 3 1500000010
u1 007 2 1500000020
u2 007 1 1500000021
u3 007 5 1500000022
"""
ITEMS = ["a", "b", "c", "d", "e", "007"]


def write_inter(text=INTERACTIONS, dataset="tiny", part=None):
    """Write ``dataset/<dataset>/<dataset>.inter`` (or of a benchmark part) in this folder."""
    folder = Path("dataset") / dataset
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{dataset}.{part}.inter" if part else f"{dataset}.inter"
    (folder / name).write_text(text.replace(" ", "\t"))
    return folder


def write_vectors(path, tokens=ITEMS, modality="text", dim=3):
    """Write features in which item number k has the vector ``[k, k, ...]``."""
    numbers = torch.tensor([float(number_of(token)) for token in tokens])
    values = numbers[:, None, None].expand(-1, 1, dim).contiguous()
    write_features(path, values, list(tokens), FeatureInfo(modality, encoder="numbers"))


def number_of(token):
    """A number that tells an item from all others."""
    return 1 + sum(ord(letter) * 3**place for place, letter in enumerate(token)) % 1000


def config(model="IDMMDistill", dataset="tiny", **settings):
    """RecBole's config of a small run."""
    load_col = {"inter": ["user_id", "item_id", "rating", "timestamp"]}
    defaults = {"modalities": [], "load_col": load_col, "MAX_ITEM_LIST_LENGTH": 3}
    small = {"train_batch_size": 4, "eval_batch_size": 4, "use_gpu": False, "data_path": "dataset/"}
    small |= {"topk": [5], "valid_metric": "MRR@5"}
    if dataset == "ml-100k":
        small.pop("data_path")
    return Config(model=model, dataset=dataset, config_dict={**defaults, **small, **settings})


def ours(**settings):
    """The dataset of this package."""
    return MultiModalSequentialDataset(config(**settings))


def recboles(**settings):
    """RecBole's own dataset, with all fixes of this package."""
    settings.setdefault("model", "SASRec")
    return SequentialDataset(config(**settings))
