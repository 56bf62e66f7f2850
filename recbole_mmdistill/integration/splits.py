"""Splits with nothing to train on, or by mistake nothing to test on, are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from logging import getLogger
from typing import Any

import numpy as np

from ..errors import UserError
from .fixes import extends


@extends("recbole.data.utils:create_samplers")
def create_samplers(original: Any, config: Any, dataset: Any, built_datasets: Sequence[Any]) -> Any:
    """Check after the split whether there is something to train on and to test on.

    data/utils.py:169 makes samplers and dataloaders of empty parts, too. Sampling draws for ever
    where there is no other item than the true one.
    """
    check_parts(config, dataset, built_datasets)
    return original(config, dataset, built_datasets)


def check_parts(config: Any, dataset: Any, parts: Sequence[Any]) -> None:
    """Check what was split, before dataloaders are made of it.

    Parameters
    ----------
    config : recbole.config.Config
        Of any model.
    dataset : recbole.data.dataset.Dataset
        All of the data.
    parts : sequence of recbole.data.dataset.Dataset
        For training, validation and test.

    Raises
    ------
    UserError
        There is nothing to train on, or nothing to test on although ``RS`` does not give all rows
        to training; there are fewer items than ``topk`` or the sampling of negatives needs; or
        labels are missing that are to be measured.
    """
    n_train, n_valid, n_test = (len(part.inter_feat) for part in parts)
    if not n_train or not (n_test or _takes_all(config)):
        files = config["benchmark_filename"]
        split = f"eval_args' split {config['eval_args']['split']}"
        split = split if files is None else f"benchmark_filename {files}"
        raise UserError(
            f"{split} leaves {n_train} rows for training, {n_valid} for validation and {n_test} "
            "for test.",
            "Choose another split, one with rows for training and for test, or RS: [1, 0, 0] to "
            f"train on all{_what_a_row_is(config)}.",
        )
    _check_topk(config, dataset.item_num - 1)
    _check_label(config, dataset, {"valid": parts[1], "test": parts[2]})
    _check_sampling(config, dataset)
    _check_plugin(config)
    if not n_test:
        getLogger().warning("All rows are trained on: all epochs are trained, none is measured.")
    elif not n_valid:
        getLogger().warning(
            "There are no rows for validation: all epochs are trained, and the last one is tested."
        )


def _takes_all(config: Any) -> bool:
    """Whether the settings say that all rows are for training."""
    split = config["eval_args"]["split"]
    return config["benchmark_filename"] is None and "RS" in split and not any(split["RS"][1:])


def _what_a_row_is(config: Any) -> str:
    from recbole.utils import ModelType

    if config["MODEL_TYPE"] != ModelType.SEQUENTIAL:
        return ""
    return "; a row is an interaction that has another of the same user before it"


def _check_topk(config: Any, n_items: int) -> None:
    from recbole.utils import EvaluatorType

    lists = [name for name in config["metrics"] if name.lower() != "gauc"]
    if config["eval_type"] == EvaluatorType.RANKING and lists and max(config["topk"]) > n_items:
        raise UserError(
            f"topk is {config['topk']}, but {config['dataset']} has {n_items} items.",
            f"Ask for lists of at most {n_items} (topk, and valid_metric with it).",
        )


def _check_label(config: Any, dataset: Any, parts: Mapping[str, Any]) -> None:
    for phase, part in parts.items():
        if config["eval_args"]["mode"][phase] != "labeled" or not len(part.inter_feat):
            continue
        if dataset.label_field not in part.inter_feat:
            raise UserError(
                f"eval_args has mode labeled for {phase}, but there is no column "
                f"{dataset.label_field} (LABEL_FIELD).",
                "Load it (load_col), or make it of another, such as threshold: {rating: 4}.",
            )
        labels = part.inter_feat[dataset.label_field].unique()
        if "auc" in map(str.lower, config["metrics"]) and len(labels) < 2:
            raise UserError(
                f"AUC compares labels, but all rows for {phase} have the label {labels[0]:g}.",
                "Choose another split, threshold or metric.",
            )


def _check_sampling(config: Any, dataset: Any) -> None:
    """RecBole draws until it finds another item than the true one: for ever if there is none."""
    plans = {phase: config[f"{phase}_neg_sample_args"] for phase in ("train", "valid", "test")}
    sampled = {p: plan for p, plan in plans.items() if plan["sample_num"] != "none"}
    for phase, plan in sampled.items():
        candidates = np.arange(1, dataset.item_num)
        if plan["distribution"] == "popularity":
            candidates = np.unique(dataset.inter_feat[dataset.iid_field].numpy())
        if plan["distribution"] != "none" and len(candidates) < 2:
            raise UserError(
                f"Negatives are sampled for {phase}, but there are {len(candidates)} items to "
                "sample from.",
                "Use mode: full in eval_args, or more items.",
            )


def _check_plugin(config: Any) -> None:
    if config["train_sequences"] is None:
        return
    negatives = config["train_neg_sample_args"]["distribution"]
    if negatives != "none":
        raise UserError(
            f"train_neg_sample_args asks for {negatives} negatives, but {config['model']} draws "
            "its own.",
            "Leave the option out; see train_candidates and n_negatives.",
        )
    if config["transform"] is not None:
        raise UserError(
            f"transform is {config['transform']!r}, but {config['model']} reads histories as they "
            "are.",
            "Leave the option out.",
        )
