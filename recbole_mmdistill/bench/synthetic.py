"""Made-up datasets of a given size: atomic files and random features."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..features import FeatureInfo, write_features


def write_interactions(
    folder: Path, dataset: str, n_users: int, n_items: int, per_user: int, seed: int = 0
) -> Path:
    """Write an ``.inter`` file of users, items and unix seconds.

    Parameters
    ----------
    folder : Path
        RecBole's ``data_path``.
    dataset : str
        Name of the dataset.
    n_users, n_items, per_user : int
        Every user has ``per_user`` different items; an item's popularity falls with the power 0.8
        of its rank.
    seed : int
        Of the random numbers.

    Returns
    -------
    Path
        The dataset's folder.
    """
    rng = np.random.default_rng(seed)
    log_popularity = -0.8 * np.log(np.arange(1, n_items + 1))
    (folder / dataset).mkdir(parents=True, exist_ok=True)
    with open(folder / dataset / f"{dataset}.inter", "w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for first in range(0, n_users, 1000):
            users = np.arange(first, min(first + 1000, n_users))
            # The largest of popularity plus Gumbel noise: a draw without replacement.
            noise = rng.gumbel(size=(len(users), n_items))
            items = np.argpartition(-(log_popularity + noise), per_user)[:, :per_user]
            times = 1_500_000_000 + np.sort(rng.integers(0, 10**8, items.shape), axis=1)
            file.writelines(
                f"u{user}\ti{item}\t{time}\n"
                for user, of_user, at in zip(users, rng.permuted(items, axis=1), times)
                for item, time in zip(of_user, at)
            )
    return folder / dataset


def write_random_features(
    folder: Path, dataset: str, modality: str, item_tokens: Sequence[str], dim: int, seed: int = 0
) -> None:
    """Write a feature file of random vectors, fp16.

    Parameters
    ----------
    folder : Path
        The file's folder.
    dataset, modality : str
        Name the file.
    item_tokens : sequence of str
        The items.
    dim : int
        Width of a vector.
    seed : int
        Of the random numbers.
    """
    values = torch.randn(len(item_tokens), 1, dim, generator=torch.Generator().manual_seed(seed))
    info = FeatureInfo(modality, encoder="random numbers")
    path = folder / f"{dataset}.{modality}.safetensors"
    write_features(path, values.half(), list(item_tokens), info)


def shop_settings(
    folder: Path, n_users: int = 17_000, n_items: int = 6_000, movielens: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Make the datasets that speed is measured on, with random features where there are none.

    Parameters
    ----------
    folder : Path
        Where to write.
    n_users, n_items : int
        Of ``shop``.
    movielens : Path, optional
        A folder ``movielens-small`` with its atomic files, to be one more.

    Returns
    -------
    dict of str to dict
        Settings by dataset: ``shop``, short histories (8 of its items for each user), and RecBole's
        ``ml-100k`` with its shipped texts.
    """
    dims = {"text": 384, "image": 192}  # those of MiniLM and of ViT-Tiny
    shop = write_interactions(folder, "shop", n_users, n_items, per_user=8)
    for seed, (modality, dim) in enumerate(dims.items()):
        tokens = [f"i{number}" for number in range(n_items)]
        write_random_features(shop, "shop", modality, tokens, dim, seed)
    films = resources.files("recbole") / "dataset_example" / "ml-100k" / "ml-100k.item"
    write_random_features(folder, "ml-100k", "image", _tokens(films), dims["image"])
    settings: dict[str, dict[str, Any]] = {
        "shop": {"data_path": str(folder), "MAX_ITEM_LIST_LENGTH": 20},
        "ml-100k": {"feature_path": {"image": str(folder / "ml-100k.image.safetensors")}},
    }
    if movielens is not None:
        name = "movielens-small"
        for seed, (modality, dim) in enumerate(dims.items()):
            tokens = _tokens(movielens / f"{name}.item")
            write_random_features(folder, name, modality, tokens, dim, seed)
        settings[name] = {
            "data_path": str(movielens.parent),
            "feature_path": str(folder),
            "MAX_ITEM_LIST_LENGTH": 20,
        }
    return settings


def _tokens(items: Any) -> list[str]:
    """The first column of an ``.item`` file."""
    return [line.partition("\t")[0] for line in items.read_text(encoding="utf-8").splitlines()[1:]]
