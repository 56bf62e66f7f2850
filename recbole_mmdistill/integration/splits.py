"""How interactions are split: what RecBole cannot do is refused before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from logging import getLogger
from typing import Any

import numpy as np

from ..errors import UserError, near

_LEAVE_ONE_OUT = ("valid_and_test", "valid_only", "test_only")
_NO_FILTER = (None, "[0,inf)")

# The options of each of RecBole's filters, in the order in which they are applied.
_FILTERS = {
    "_filter_nan_user_or_item": ("USER_ID_FIELD", "ITEM_ID_FIELD"),
    "_filter_by_field_value": ("val_interval",),
    "_filter_inter_by_user_or_item": ("filter_inter_by_user_or_item",),
    "_filter_by_inter_num": ("user_inter_num_interval", "item_inter_num_interval"),
}


def install() -> None:
    """Check settings and splits where RecBole makes datasets and dataloaders of them."""
    from recbole.data import utils
    from recbole.data.dataloader import NegSampleEvalDataLoader
    from recbole.data.dataset import Dataset

    from_scratch = Dataset._from_scratch
    create_samplers = utils.create_samplers
    init_batch_size = NegSampleEvalDataLoader._init_batch_size_and_step

    def _from_scratch(self: Any) -> None:
        """Check the settings first (dataset.py:110 reads everything before it looks at them)."""
        check_settings(self.config)
        from_scratch(self)

    def create_checked_samplers(config: Any, dataset: Any, built_datasets: Sequence[Any]) -> Any:
        """Check the parts first: data/utils.py:166 has just split, and makes dataloaders next."""
        check_parts(config, dataset, built_datasets)
        return create_samplers(config, dataset, built_datasets)

    def _init_batch_size_and_step(self: Any) -> None:
        """Take a part without rows, too (general_dataloader.py:133 looks at the first)."""
        if self.sample_size:
            return init_batch_size(self)
        self.step = self.config["eval_batch_size"]
        return self.set_batch_size(self.step)

    Dataset._from_scratch = _from_scratch
    Dataset._parse_intervals_str = _parse_intervals(Dataset._parse_intervals_str)
    for name, options in _FILTERS.items():
        setattr(Dataset, name, _refuse_to_empty(getattr(Dataset, name), options))
    utils.create_samplers = create_checked_samplers
    NegSampleEvalDataLoader._init_batch_size_and_step = _init_batch_size_and_step


# Filters


def _refuse_to_empty(apply: Callable[[Any], None], options: Sequence[str]) -> Callable[[Any], None]:
    """Name the options of a filter that leaves nothing (dataset.py:1038 names none)."""

    @wraps(apply)
    def apply_checked(self: Any) -> None:
        before = {name: len(getattr(self, name)) for name in self.feat_name_list}
        apply(self)
        for name, n_rows in before.items():
            if n_rows and not len(getattr(self, name)):
                given = " and ".join(f"{option}={self.config[option]!r}" for option in options)
                file = f"{self.dataset_name}.{name.removesuffix('_feat')}"
                raise UserError(
                    f"The filter {given} leaves none of the {n_rows} rows of {file}.",
                    "Give a filter that keeps some, or leave it out.",
                )

    return apply_checked


def _parse_intervals(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse what is no interval (dataset.py:945 warns, and filters nothing)."""

    @wraps(parse)
    def parse_checked(self: Any, intervals_str: Any) -> Any:
        if intervals_str is None:
            return None
        try:
            intervals = parse(self, intervals_str)
        except (ValueError, IndexError):
            intervals = []
        n_given = str(intervals_str).count(";") + 1
        if len(intervals) < n_given or any(not low <= high for _, low, high, _ in intervals):
            raise UserError(
                f"{intervals_str!r} is no interval (user_inter_num_interval, "
                "item_inter_num_interval, val_interval).",
                'Write it as "[5,inf)", several as "[1,3];[5,inf)".',
            )
        return intervals

    return parse_checked


# Settings


def check_settings(config: Any) -> None:
    """Check how a dataset is to be split and evaluated, before it is read.

    Parameters
    ----------
    config : recbole.config.Config
        Of any model.

    Raises
    ------
    UserError
        ``eval_args``, or a filter beside ``benchmark_filename``, asks for what there is not.
    """
    from recbole.utils import ModelType

    plan = config["eval_args"]
    is_sequential = config["MODEL_TYPE"] == ModelType.SEQUENTIAL
    if plan["order"] != "TO" and is_sequential:
        raise UserError(
            f"eval_args has order: {plan['order']}, but {config['model']} reads histories in the "
            "order of time.",
            "Use order: TO.",
        )
    _check_mode(config)
    if config["benchmark_filename"] is None:
        _check_order_and_group(plan)
        _check_split(plan["split"])
    else:
        _check_filters_of_files(config)


def _check_order_and_group(plan: Mapping[str, Any]) -> None:
    if plan["order"] not in ("RO", "TO"):
        raise UserError(f"eval_args has order: {plan['order']!r}.", "Use RO or TO.")
    group_by = plan["group_by"]
    if group_by is not None and str(group_by).lower() not in ("user", "none"):
        raise UserError(f"eval_args has group_by: {group_by!r}.", "Use user or none.")


def _check_split(split: Any) -> None:
    if not isinstance(split, dict) or len(split) != 1:
        raise UserError(
            f"eval_args has split: {split!r}.",
            "Give one way to split, such as {LS: valid_and_test} or {RS: [0.8, 0.1, 0.1]}.",
        )
    ((way, how),) = split.items()
    if way not in ("RS", "LS", "TS"):
        raise UserError(
            f"eval_args has split: {split!r}, but there is no way {way!r} to split.",
            "Use RS (by ratio), LS (leave one out) or TS (by time).",
        )
    if way == "LS":
        if how not in _LEAVE_ONE_OUT:
            raise UserError(
                f"eval_args has split: {split!r}.",
                f"LS is one of {', '.join(_LEAVE_ONE_OUT)}{near(str(how), _LEAVE_ONE_OUT)}.",
            )
        return
    n_shares = (2, 3) if way == "RS" else (3,)
    if (
        not isinstance(how, (list, tuple))
        or len(how) not in n_shares
        or not all(isinstance(share, (int, float)) and 0 <= share < math.inf for share in how)
        or how[0] <= 0
    ):
        two = " (with two: for training and test)" if way == "RS" else ""
        raise UserError(
            f"eval_args has split: {split!r}.",
            f"Give {way} {' or '.join(map(str, n_shares))} shares from 0 up, such as "
            f"[0.8, 0.1, 0.1]{two}; that for training, the first, is above 0.",
        )


def _check_mode(config: Any) -> None:
    from recbole.utils import EvaluatorType

    for phase, mode in config["eval_args"]["mode"].items():
        n_sampled = config[f"{phase}_neg_sample_args"]["sample_num"]
        if n_sampled != "none" and n_sampled < 1:
            raise UserError(
                f"eval_args has mode {mode} for {phase}, which samples no item.",
                "Say how many, such as uni100 or pop100; or use full.",
            )
        if mode == "labeled" and config["eval_type"] == EvaluatorType.RANKING:
            raise UserError(
                f"eval_args has mode labeled for {phase}, but {', '.join(config['metrics'])} rank "
                "items, which takes items without a label, too.",
                "Use mode full, uniN or popN; or metrics of labels: AUC, LogLoss, MAE, RMSE.",
            )


def _check_filters_of_files(config: Any) -> None:
    """RecBole filters nothing of benchmark files (dataset.py:161), and says nothing of it."""
    intervals = ("user_inter_num_interval", "item_inter_num_interval")
    given = [key for key in intervals if _squeezed(config[key]) not in _NO_FILTER]
    given += [key for key in ("val_interval", "rm_dup_inter") if config[key]]
    if given:
        raise UserError(
            f"{given[0]} is {config[given[0]]!r}, but files that are split already "
            "(benchmark_filename) are not filtered.",
            "Filter them beforehand, or leave the option out.",
        )


def _squeezed(interval: Any) -> str | None:
    return None if interval is None else str(interval).replace(" ", "")


# Parts


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
        There is nothing to train on or to test on; there are fewer items than ``topk`` or the
        sampling of negatives needs; or labels are missing that are to be measured.
    """
    n_train, n_valid, n_test = (len(part.inter_feat) for part in parts)
    if not n_train or not n_test:
        files = config["benchmark_filename"]
        split = f"eval_args' split {config['eval_args']['split']}"
        split = split if files is None else f"benchmark_filename {files}"
        raise UserError(
            f"{split} leaves {n_train} rows for training, {n_valid} for validation and {n_test} "
            "for test.",
            "Choose another split, one with rows for training and for test"
            f"{_what_a_row_is(config)}.",
        )
    _check_topk(config, dataset.item_num - 1)
    _check_label(config, dataset, {"valid": parts[1], "test": parts[2]})
    _check_sampling(config, dataset)
    _check_plugin(config)
    if not n_valid:
        getLogger().warning(
            "There are no rows for validation: all epochs are trained, and the last one is tested."
        )


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
