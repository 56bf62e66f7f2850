"""Finds the feature file of each modality and lines it up with the dataset's items."""

from __future__ import annotations

from collections.abc import Sequence
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from ..features import (
    AlignedFeatures,
    FeatureInfo,
    FeatureSource,
    align_features,
    find_features,
    from_array,
    join_features,
)
from ..features.locate import PRELOADED, check_feature_path
from . import holding_out


def load_features(
    dataset: Any, modalities: Sequence[str] | None = None
) -> dict[str, AlignedFeatures]:
    """Open and align the features of every modality of ``modalities``.

    A modality is taken from ``feature_path`` (a folder, or a mapping of modalities to files) if it
    is given there, and then from nowhere else. If it is not: from beside the atomic files as
    ``<dataset>.<modality>.safetensors`` or ``<dataset>.<modality>.npy`` with
    ``<dataset>.<modality>.ids``, else from the features that this package ships.
    ``preload:<id field>`` as a file takes what RecBole read through its own
    ``additional_feat_suffix`` and ``preload_weight``; rows of zeros are missing items.

    Parameters
    ----------
    dataset : recbole.data.dataset.Dataset
        With its items already numbered.
    modalities : sequence of str, optional
        By default those of the config.

    Returns
    -------
    dict of str to AlignedFeatures
        In the order of ``modalities``; without those that ``missing_features`` takes away.

    Raises
    ------
    UserError
        A file is missing, damaged or of another dataset, or ``modalities`` is no list of names.
    """
    config = dataset.config
    names = _modalities(config["modalities"] if modalities is None else modalities)
    check_feature_path(config["feature_path"], names)
    missing = config["missing_features"] or {}
    found = {}
    for modality in names:
        more = getattr(config, "added_features", {}).get(modality)
        source = join_features(_find(dataset, modality), more)
        aligned = align_features(source, dataset.field2id_token[dataset.iid_field])
        if missing.get(modality):
            aligned = aligned.without(_choose_missing(dataset, missing[modality]))
        _log_coverage(dataset, modality, aligned)
        found[modality] = aligned
    return found


def _choose_missing(dataset: Any, ratio: float) -> torch.Tensor:
    item = dataset.inter_feat[dataset.iid_field].to_numpy()
    count = np.bincount(item, minlength=dataset.item_num)
    config = dataset.config
    missing_from = config["missing_from"] or holding_out.FROM_ALL
    return torch.from_numpy(holding_out.choose_missing(count, ratio, missing_from, config["seed"]))


def _modalities(given: Any) -> list[str]:
    names = [given] if isinstance(given, str) else list(given or [])
    bad = [name for name in names if not isinstance(name, str) or name in ("id", "mean", "all")]
    if bad or len(set(names)) < len(names):
        raise UserError(
            f"modalities is {given!r}.",
            "Give a list of different names such as [text, image]; id, mean and all are taken.",
        )
    return names


def _find(dataset: Any, modality: str) -> FeatureSource:
    given = dataset.config["feature_path"]
    file = given.get(modality) if isinstance(given, dict) else None
    if isinstance(file, str) and file.startswith(PRELOADED):
        return _preloaded(dataset, modality, file.removeprefix(PRELOADED))
    return find_features(dataset.dataset_name, modality, Path(dataset.dataset_path), given)


def _preloaded(dataset: Any, modality: str, field: str) -> FeatureSource:
    try:
        matrix = torch.from_numpy(dataset.get_preload_weight(field)).float()
    except ValueError:
        raise UserError(
            f"feature_path of {modality} is preload:{field}, but no weight was preloaded for "
            f"{field!r}.",
            "Name the id field that preload_weight names, and its file in additional_feat_suffix.",
        ) from None
    known = matrix.abs().sum(1) > 0
    known[0] = False
    tokens = dataset.field2id_token[field][known.numpy()]
    info = FeatureInfo(modality, source_fields=(dataset.config["preload_weight"][field],))
    return from_array(matrix[known][:, None], tokens, info, name=f"preload_weight of {field}")


def _log_coverage(dataset: Any, modality: str, aligned: AlignedFeatures) -> None:
    present = aligned.present.numpy()
    items = present[1:].mean()
    interactions = present[dataset.inter_feat[dataset.iid_field].to_numpy()].mean()
    line = (
        f"{modality}: {items:.1%} of the items and {interactions:.1%} of the interactions have "
        f"features in {aligned.source.name} ({aligned.n_tokens} x {aligned.dim}, "
        f"{aligned.info.encoder})"
    )
    unknown = aligned.unknown_items
    if unknown.count:
        line += f"; {unknown.count} items of the file are {unknown}"
    getLogger().info(line)
    if aligned.info.is_untrained:
        getLogger().warning(
            f"{modality}: these features come from an untrained encoder ({aligned.info.encoder}): "
            "they are a control, and tell nothing of the items."
        )
