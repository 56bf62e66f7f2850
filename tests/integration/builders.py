"""A tiny dataset on which any model trains in a second."""

from pathlib import Path

import numpy as np
import torch

from recbole_mmdistill.features import FeatureInfo, write_features

N_USERS, N_ITEMS = 12, 15

SMALL = {
    "data_path": "dataset/",
    "checkpoint_dir": "saved",
    "use_gpu": False,
    "epochs": 1,
    "train_batch_size": 64,
    "eval_batch_size": 64,
    "MAX_ITEM_LIST_LENGTH": 10,
    "hidden_size": 8,
    "inner_size": 8,
    "embedding_size": 8,
    "show_progress": False,
    "state": "ERROR",
    "topk": [5],
    "valid_metric": "NDCG@5",
    "metrics": ["NDCG", "Hit"],
    "modalities": ["text"],
}


def write_dataset(name="small"):
    """Twelve users with nine items each, genres and features of all items."""
    folder = Path("dataset") / name
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    for user in range(N_USERS):
        for at, item in enumerate(rng.permutation(N_ITEMS)[:9]):
            lines.append(f"u{user}\ti{item}\t{1 + at % 5}\t{1_500_000_000 + at}")
    (folder / f"{name}.inter").write_text("\n".join(lines) + "\n")
    genres = [f"i{item}\tg{item % 3} g{item % 4}\tc{item % 2}" for item in range(N_ITEMS)]
    header = "item_id:token\tgenres:token_seq\tclass:token"
    (folder / f"{name}.item").write_text("\n".join([header, *genres]) + "\n")
    values = torch.randn(N_ITEMS, 1, 4, generator=torch.Generator().manual_seed(0))
    tokens = [f"i{item}" for item in range(N_ITEMS)]
    path = folder / f"{name}.text.safetensors"
    write_features(path, values, tokens, FeatureInfo("text", encoder="numbers"))
    return name
