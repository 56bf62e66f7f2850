"""Checkpoints are checked before anything is made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import checkpoint
from ..errors import UserError
from . import numbering
from .fixes import replaces
from .options import OTHER, config_of

_TYPES: dict[str, Any] = {
    "model": str,
    "dataset": str,
    "options": dict,
    "epoch": int,
    "cur_step": int,
    "best_valid_score": (int, float),
    "state_dict": dict,
    "vocabulary": (dict, type(None)),
    "files": dict,
    "features": dict,
}

_ABSENT = object()
# Models that need less memory than torch itself, whatever their weights are.
_WIDTH, _LAYERS = 2048, 32


def load(path: str | Path, whole: bool = True) -> dict[str, Any]:
    """Read a checkpoint and check what is in it.

    Parameters
    ----------
    path : str or Path
        The file.
    whole : bool
        Whether weights alone, as ``torch.save`` may have written them, are not enough.

    Returns
    -------
    dict of str to object
        As :func:`~.resuming.contents` gives it.

    Raises
    ------
    UserError
        It is damaged, hostile, or of another kind.
    """
    saved = checkpoint.read(path)
    for key, kind in _TYPES.items():
        value = saved.get(key, _ABSENT)
        if value is _ABSENT and not whole and key != "state_dict":
            continue
        too_low = kind is int and isinstance(value, int) and value < -1  # -1: not trained
        if not isinstance(value, kind) or isinstance(value, bool) or too_low:
            raise UserError(f"The checkpoint {path} has no sound {key}.", OTHER)
    for field, tokens in (saved.get("vocabulary") or {}).items():
        sound = isinstance(tokens, np.ndarray) and tokens.dtype == object and tokens.ndim == 1
        if not sound or len(tokens) == 0 or tokens[0] != "[PAD]":
            raise UserError(f"The checkpoint {path} has no sound tokens of {field!r}.", OTHER)
        if len(set(tokens)) < len(tokens) or any("\0" in token for token in tokens):
            raise UserError(
                f"The checkpoint {path} has a token of {field!r} twice, or one with a NUL.", OTHER
            )
    for name, tensor in saved["state_dict"].items():
        if not isinstance(tensor, torch.Tensor):
            raise UserError(f"The checkpoint {path} has no tensor for {name}.", OTHER)
        if tensor.is_floating_point() and tensor.isnan().any():
            raise UserError(f"The checkpoint {path} has values in {name} that are NaN.", OTHER)
    if too_large := _too_large(saved.get("options") or {}, saved["state_dict"]):
        raise UserError(
            f"The checkpoint {path} has {too_large}, which its weights are too few for.", OTHER
        )
    return saved


def _too_large(options: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> str:
    """Name an option by which a small file would have a model made that fills the memory."""
    widest = max((size for tensor in weights.values() for size in tensor.shape), default=0)
    bounds = {
        r"(hidden|inner|embedding|\w+_hidden|\w+_embedding)_size|\w+_width": max(widest, _WIDTH),
        r"(n|num|\w+)_layers": max(len(weights), _LAYERS),
    }
    for option, value in options.items():
        for pattern, most in bounds.items():
            values = value if isinstance(value, list) else [value]
            if re.fullmatch(pattern, option) and any(type(v) is int and v > most for v in values):
                return f"the option {option}={value!r}"
    return ""


@replaces(
    "recbole.quick_start.quick_start:load_data_and_model",
    "recbole.quick_start:load_data_and_model",
)
def load_data_and_model(model_file: str | Path) -> tuple[Any, ...]:
    """Load a model so that each user and item keeps its embedding, and let it grow for new ones.

    quick_start/quick_start.py:257 numbers the data by the order of its file, whatever the
    checkpoint's numbers were.

    Parameters
    ----------
    model_file : str or Path
        A checkpoint.

    Returns
    -------
    config, model, dataset, train_data, valid_data, test_data
        As RecBole gives them.

    Raises
    ------
    UserError
        The checkpoint is refused, or does not fit the data.
    """
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, init_logger, init_seed

    from ..model.whitening import without_fitting

    saved = load(model_file)
    config = config_of(saved, model_file)
    init_seed(config["seed"], config["reproducibility"])
    init_logger(config)
    logger = getLogger()
    logger.info(config)
    try:
        dataset = create_dataset(config)
        logger.info(dataset)
        train_data, valid_data, test_data = data_preparation(config, dataset)
        init_seed(config["seed"], config["reproducibility"])
        _compare_data(saved, config, train_data, model_file)
        with without_fitting():
            model = get_model(config["model"])(config, train_data._dataset).to(config["device"])
    except UserError:
        raise
    except Exception as error:  # whatever odd options and files lead to in RecBole
        raise UserError(
            f"The data and the model of {model_file} cannot be made with its options "
            f"({type(error).__name__}: {error}).",
            OTHER,
        ) from error
    _fill(model, saved, config, model_file)
    return config, model, dataset, train_data, valid_data, test_data


def _fill(model: Any, saved: Mapping[str, Any], config: Any, path: Any) -> None:
    state, other = saved["state_dict"], saved.get("other_parameter")
    tokens = numbering.numbering_of(config).tokens  # type: ignore[union-attr]
    old = saved["vocabulary"] or tokens
    if any(len(tokens[field]) != len(old[field]) for field in tokens):
        state = numbering.grow(state, model, old, tokens)
        if any(value is not None for value in (other or {}).values()):
            if any(value is not None for value in model.other_parameter().values()):
                raise UserError(
                    f"The data has tokens that {path} does not know, and {saved['model']} keeps "
                    "more for each token than its weights.",
                    "Give the files that it was trained on, or train again.",
                )
            other = None  # computed from the weights when asked for
    try:
        model.load_state_dict(state)
        field = config["ITEM_ID_FIELD"]
        n_known = len(old.get(field, ()))
        if n_known < len(tokens.get(field, ())) and hasattr(model, "start_items"):
            model.start_items(config, n_known)
        model.load_other_parameter(
            checkpoint.map_tensors(lambda tensor: tensor.to(config["device"]), other)
        )
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"The checkpoint {path} does not fit its model: {reason}.", OTHER) from None


def _compare_data(saved: Mapping[str, Any], config: Any, train_data: Any, path: Any) -> None:
    """Say which files have changed since the training; refuse features of another kind."""
    if saved["vocabulary"] is None:
        getLogger().warning(f"{path} does not know its tokens: its rows are taken as the data's")
    files = numbering.numbering_of(config).files  # type: ignore[union-attr]
    changed = sorted(name for name in files if files[name] != saved["files"].get(name))
    if changed and saved["files"]:
        getLogger().info(f"Changed since {path} was trained: {', '.join(changed)}")
    compare_features(saved, hash_features(train_data), path)


def compare_features(saved: Mapping[str, Any], hashes: Mapping[str, np.ndarray], path: Any) -> None:
    """Say how many items have other features than in training; refuse features of another kind.

    Parameters
    ----------
    saved : Mapping
        As :func:`load` gives it.
    hashes : Mapping of str to numpy.ndarray
        Of the features of today, by modality, as :func:`hash_features` gives them.
    path : str or Path
        The checkpoint, for the message.

    Raises
    ------
    UserError
        All of a modality's features are other ones.
    """
    for modality, now in hashes.items():
        before = saved["features"].get(modality)
        if not isinstance(before, np.ndarray) or before.dtype != now.dtype or before.ndim != 1:
            continue
        before, now = before[: len(now)], now[: len(before)]
        had = before != 0
        n_changed = int((before != now)[had].sum())
        if n_changed and n_changed == had.sum():
            raise UserError(
                f"The {modality} features of all {n_changed} items are other ones than {path} was "
                "trained on.",
                "Give the features of the same encoder in feature_path, or train again.",
            )
        if n_changed:
            getLogger().warning(
                f"{modality}: {n_changed} of {had.sum()} items have other features than when "
                f"{path} was trained."
            )


def hash_features(train_data: Any) -> dict[str, np.ndarray]:
    """A number for each item's features, by modality; 0 where an item has none."""
    dataset: Any = getattr(train_data, "_dataset", None)
    features = getattr(dataset, "item_features", {})
    if features and "feature_hashes" not in vars(dataset):  # once, not for each checkpoint
        dataset.feature_hashes = {name: table.hash_items() for name, table in features.items()}
    return dataset.feature_hashes if features else {}
