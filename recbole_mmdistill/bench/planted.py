"""Made-up shops of which it is known whether texts or pictures decide what is bought."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..features import FeatureInfo, write_features
from ..files import write_text

TRUTHS = ("text", "image", "neither")
_GROUPS, _WIDTH, _PER_USER = 40, 16, 6


def write_shop(folder: Path, truth: str, seed: int, n_users: int = 1500, n_items: int = 800) -> str:
    """Write the atomic files and the features of a shop.

    Customers buy within two of 40 groups of items. The features of the modality that decides lie
    near their group's centre; those of the other, or of both, have nothing to do with the groups.

    Parameters
    ----------
    folder : Path
        RecBole's ``data_path``.
    truth : str
        One of :data:`TRUTHS`.
    seed : int
        Of the draw.
    n_users, n_items : int
        How many; each user has six purchases.

    Returns
    -------
    str
        The dataset's name.
    """
    name = f"planted-{truth}-{seed}"
    rng = np.random.default_rng([seed, TRUTHS.index(truth)])
    group = rng.integers(0, _GROUPS, n_items)
    weight = 1 / np.arange(1, n_items + 1) ** 0.5
    rng.shuffle(weight)
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user in range(n_users):
        liked = np.isin(group, rng.choice(_GROUPS, 2, replace=False))
        chance = weight * np.where(liked, 1.0, 0.005)
        bought = rng.choice(n_items, _PER_USER, replace=False, p=chance / chance.sum())
        lines += [f"u{user}\ti{item}\t{at}" for at, item in enumerate(bought)]
    write_text(folder / name / f"{name}.inter", "\n".join(lines) + "\n")
    centre = rng.normal(size=(_GROUPS, _WIDTH))
    for modality in ("text", "image"):
        shown = centre[group] if modality == truth else rng.normal(size=(n_items, _WIDTH))
        values = shown + 0.3 * rng.normal(size=(n_items, _WIDTH))
        info = FeatureInfo(modality, encoder="planted")
        path = folder / name / f"{name}.{modality}.safetensors"
        tokens = [f"i{item}" for item in range(n_items)]
        write_features(path, values.astype(np.float32), tokens, info)
    return name
