"""What no single option shows: settings that do not go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..errors import near, show
from .schema import Option

DEFAULTS = "the defaults"
_FIELDS = (  # what they name is read or written by its name
    *("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD", "LABEL_FIELD", "ITEM_LIST_LENGTH_FIELD"),
)
_FILTERS = ("user_inter_num_interval", "item_inter_num_interval", "val_interval", "rm_dup_inter")

Layers = Sequence[tuple[str, Mapping[str, Any]]]


@dataclass
class Merged:
    """The settings in force, each with its source, and the options of the model."""

    options: Mapping[str, Option]
    values: dict[str, Any]
    sources: dict[str, str]

    def says(self, key: str) -> str:
        """Begin a sentence about an option: its source and its value."""
        return f"{self.sources.get(key, DEFAULTS)}: {key} is {show(self.values.get(key))}"


def _valid_metric(merged: Merged, model_class: Any) -> Iterator[str]:
    from recbole.evaluator.register import metrics_dict

    metrics = merged.values["metrics"]
    topk = merged.values["topk"]
    metrics = [metrics] if isinstance(metrics, str) else metrics
    topk = [topk] if isinstance(topk, int) else topk
    computed = []
    for metric in metrics:
        # GAUC is a ranking metric, but of no topk.
        is_topk = "rec.items" in metrics_dict[metric.lower()].metric_need
        is_topk |= "rec.topk" in metrics_dict[metric.lower()].metric_need
        computed += [f"{metric}@{k}" for k in topk] if is_topk else [metric]
    asked = merged.values["valid_metric"].lower()
    if asked not in [metric.lower() for metric in computed]:
        yield (
            f"{merged.says('valid_metric')}, which is not computed: metrics and topk give "
            f"{', '.join(computed[:12])}"
        )


def _one_type_of_metrics(merged: Merged, model_class: Any) -> Iterator[str]:
    from recbole.evaluator.register import metric_types
    from recbole.utils import EvaluatorType

    metrics = merged.values["metrics"]
    metrics = [metrics] if isinstance(metrics, str) else metrics
    types = {metric_types[metric.lower()] for metric in metrics}
    if len(types) > 1:
        yield f"{merged.says('metrics')}, which mixes metrics of rankings and of values"
    mode = merged.values["eval_args"].get("mode", "full")
    modes = set(mode.values()) if isinstance(mode, Mapping) else {mode}
    if types == {EvaluatorType.VALUE} and "full" in modes:
        yield (
            f"{merged.says('metrics')}, of values, which go with the mode labeled, uniN or popN of "
            "eval_args, not with full"
        )
    if types == {EvaluatorType.RANKING} and "labeled" in modes:
        yield (
            f"{merged.says('metrics')}, of rankings, which go with the mode full, uniN or popN of "
            "eval_args, not with labeled"
        )


def _sequential(merged: Merged, model_class: Any) -> Iterator[str]:
    from recbole.utils import ModelType

    if model_class.type != ModelType.SEQUENTIAL:
        return
    order = merged.values["eval_args"].get("order", "RO")
    if order != "TO":
        source = merged.sources.get("eval_args", DEFAULTS)
        yield f"{source}: order of eval_args is {order!r}, but sequential models need 'TO'"
    if merged.values["repeatable"] is not True:
        yield f"{merged.says('repeatable')}, but sequential models need True"
    needs_none = not hasattr(model_class, "input_type") and merged.values.get("loss_type") == "CE"
    negatives = merged.values.get("train_neg_sample_args")
    if needs_none and "train_neg_sample_args" in merged.sources and isinstance(negatives, Mapping):
        if negatives.get("distribution", "uniform") not in (None, "none", "None"):
            yield f"{merged.says('train_neg_sample_args')}, but the loss CE draws none: give ~"


def _normalize(merged: Merged, model_class: Any) -> Iterator[str]:
    if merged.values["normalize_field"] is not None and merged.values["normalize_all"] is True:
        yield f"{merged.says('normalize_field')}, which does not go with normalize_all"


def _heads(merged: Merged, model_class: Any) -> Iterator[str]:
    if "branch_width" not in merged.options:  # or else it is for _own_widths
        heads = merged.values["n_heads"]
        if merged.values["hidden_size"] % heads:
            yield f"{merged.says('hidden_size')}, not a multiple of n_heads, {heads}"


def _load_col(merged: Merged, model_class: Any) -> Iterator[str]:
    more = merged.values["additional_feat_suffix"] or []
    files = ["inter", "user", "item", "kg", "link", "net"]
    files += [more] if isinstance(more, str) else more
    for option in ("load_col", "unload_col", "unused_col"):
        for key in merged.values.get(option) or {}:
            if key not in files and option in merged.sources:
                yield (
                    f"{merged.sources[option]}: {option} has the kind of file {show(key)}, not one "
                    f"of {', '.join(files)}{near(str(key), files)}"
                )


def _load_or_unload(merged: Merged, model_class: Any) -> Iterator[str]:
    load, unload = merged.values["load_col"] or {}, merged.values["unload_col"] or {}
    if both := ", ".join(map(str, [key for key in unload if key in load])):
        yield (
            f"{merged.says('unload_col')}, but load_col lists columns of {both}, too: give "
            "load_col: ~, or take the columns out of its list"
        )


def _names_of_fields(merged: Merged, model_class: Any) -> Iterator[str]:
    """Two roles of one name are one column to RecBole: what it writes for one is the other's."""
    for n, option in enumerate(_FIELDS):
        for other in _FIELDS[:n]:
            if merged.values[option] is not None and merged.values[option] == merged.values[other]:
                yield f"{merged.says(option)}, and so is {other}: each needs a name of its own"


def _filters_of_files(merged: Merged, model_class: Any) -> Iterator[str]:
    """RecBole filters nothing of files that are split already, and says nothing of it."""
    if merged.values["benchmark_filename"] is None:
        return
    for option in _FILTERS:
        value = merged.values[option]
        if value and str(value).replace(" ", "") != "[0,inf)":
            yield (
                f"{merged.says(option)}, but files that are split already (benchmark_filename) are "
                "not filtered"
            )


def _wandb(merged: Merged, model_class: Any) -> Iterator[str]:
    if not merged.values["log_wandb"]:
        return
    try:
        import_module("wandb")
    except ImportError:
        yield f"{merged.says('log_wandb')}, but wandb is not installed: `pip install wandb`"


def _own_widths(merged: Merged, model_class: Any) -> Iterator[str]:
    from ..model.options import wrong_widths

    yield from _of_own_model(merged, wrong_widths(merged.values, _modalities(merged)))


def _own_model(merged: Merged, model_class: Any) -> Iterator[str]:
    from ..model.options import WIDTHS
    from ..model.options import wrong_together as wrong_in_model

    yield from _of_own_model(merged, wrong_in_model(merged.values, _modalities(merged), WIDTHS))


def _modalities(merged: Merged) -> list[str]:
    modalities = merged.values["modalities"] or []
    return [modalities] if isinstance(modalities, str) else list(modalities)


def _of_own_model(merged: Merged, faults: Iterator[str]) -> Iterator[str]:
    for fault in faults:
        yield f"{merged.sources.get(fault.split()[0], DEFAULTS)}: {fault}"


_Rule = Callable[[Merged, Any], Iterator[str]]
_RULES: list[tuple[tuple[str, ...], _Rule]] = [
    (("metrics", "topk", "valid_metric"), _valid_metric),
    (("metrics", "eval_args"), _one_type_of_metrics),
    (("eval_args", "repeatable"), _sequential),
    (("normalize_field", "normalize_all"), _normalize),
    (("hidden_size", "n_heads"), _heads),
    (
        ("hidden_size", "branch_width", "imt_width", "n_heads", "imt_heads", "modalities"),
        _own_widths,
    ),
    (("load_col", "unload_col", "unused_col", "additional_feat_suffix"), _load_col),
    (("load_col", "unload_col"), _load_or_unload),
    (_FIELDS, _names_of_fields),
    (("benchmark_filename", *_FILTERS), _filters_of_files),
    (("log_wandb",), _wandb),
    (("use_id", "modalities", "id_init", "branch_weights", "kd_pairs"), _own_model),
]


def wrong_together(
    model: Any,
    dataset: str,
    layers: Layers,
    options: Mapping[str, Option],
    wrong_keys: set[str],
) -> Iterator[str]:
    """Say which settings do not go together, over RecBole's and this package's defaults.

    Parameters
    ----------
    model, dataset, layers
        As :func:`~.check.check_settings` takes them.
    options : Mapping of str to Option
        Of the model.
    wrong_keys : set of str
        Options whose values are wrong by themselves: rules about them are left out.

    Yields
    ------
    str
        A source, an option with its value, and what it contradicts.
    """
    from ..integration.config import defaults

    model_class, values = defaults(model, dataset)
    sources = {}
    for source, settings in layers:
        values.update(settings)
        sources.update(dict.fromkeys(settings, source))
    merged = Merged(options, values, sources)
    for needed, rule in _RULES:
        if not wrong_keys.intersection(needed) and all(
            key in values and key in options for key in needed
        ):
            yield from rule(merged, model_class)
