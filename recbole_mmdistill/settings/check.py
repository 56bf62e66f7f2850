"""All settings checked together, before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from logging import getLogger
from typing import Any

from ..errors import UserError, near
from .kinds import not_plain, show
from .names import wrong_dataset, wrong_model
from .nested import CHECKS
from .schema import DERIVED, Option, options_of, other_models, read_options

COMMAND_LINE = "the command line"
SCRIPT = "the script's command line"
DEFAULTS = "the defaults"

Layers = Sequence[tuple[str, Mapping[str, Any]]]


def check_settings(model: Any, dataset: Any, layers: Layers) -> None:
    """Check all settings of a run, or of a checkpoint, at once.

    Parameters
    ----------
    model : str or type
        The model's name. A class of a user's own has options that nobody lists: these are not
        checked, all others are.
    dataset : str
        The dataset's name.
    layers : sequence of (str, Mapping)
        Where settings come from, as messages call it (a file's path, :data:`COMMAND_LINE`), and
        the settings; the last has the last word.

    Raises
    ------
    UserError
        Something is wrong; the message names every option with its value, its source and what is
        allowed.

    Notes
    -----
    An option of another model may stand in a file or a dict that serves several models; on
    :data:`COMMAND_LINE` it is refused.
    """
    is_own_class = isinstance(model, type) and not model.__module__.startswith(
        ("recbole.", "recbole_mmdistill.")
    )
    name = model.__name__ if isinstance(model, type) else model
    wrong = [*([] if isinstance(model, type) else wrong_model(name)), *wrong_dataset(dataset)]
    if wrong:
        raise UserError("; ".join(wrong) + ".", "Give the names of a model and a dataset.")
    faults = []
    wrong_keys = set()
    options = options_of(name, dataset)
    for source, settings in layers:
        unread: list[str] = []
        for key, value in settings.items():
            found = list(_faults(name, options, key, value, source, is_own_class, unread))
            if found:
                wrong_keys.add(key)
                faults += [f"{source}: {fault}" for fault in found]
        if unread and source not in (COMMAND_LINE, "config_dict"):
            getLogger().warning(f"{source}: {name} does not read {', '.join(unread)}")
    faults += _together(model, dataset, layers, options, wrong_keys)
    if faults:
        raise UserError(
            "; ".join(faults) + ".", "docs/options.md lists every option and what it may be."
        )


def wrong_values(model: str, settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Check the values of the options that a model's own property file lists.

    Parameters
    ----------
    model : str
        Its name.
    settings : Mapping
        Holds a value for each option of the file; others are not looked at.

    Returns
    -------
    dict of str to list of str
        Of each option whose value is wrong: the value, and what is allowed.
    """
    found = {
        name: list(wrong_value(option, settings[name]))
        for package in ("recbole", "recbole_mmdistill")
        for name, option in read_options(package, "model", f"{model}.yaml").items()
        if name in settings
    }
    return {name: faults for name, faults in found.items() if faults}


def wrong_value(option: Option, value: Any) -> Iterator[str]:
    """Say what is wrong with the value of an option: its kind first, then its inside."""
    name = option.name
    if problem := not_plain(value):
        yield f"{name} is {show(value)}, which {problem}; it must be {option.kind}"
    elif not option.kind.accepts(value) or (value == "" != option.default):
        hint = near(value, option.kind.choices) if isinstance(value, str) else ""
        yield f"{name} is {show(value)}, not {option.kind}{hint}"
    elif name in CHECKS:
        yield from map(str, CHECKS[name](name, value))


def _faults(
    model: str,
    options: Mapping[str, Option],
    key: Any,
    value: Any,
    source: str,
    is_own_class: bool,
    unread: list[str],
) -> Iterator[str]:
    if key in ("model", "dataset"):  # the names in use were checked before
        return
    if not isinstance(key, str):
        yield f"{show(key)} is no name of an option"
        return
    if key in DERIVED:
        yield f"{key} is worked out by RecBole and cannot be set"
        return
    option = options.get(key)
    if option:
        yield from wrong_value(option, value)
        return
    others = list(other_models(key))
    if not others:
        if not is_own_class and source != SCRIPT:
            hint = near(key, options)
            yield f"there is no option {show(key)} for {model}{hint}"
        return
    if source == COMMAND_LINE:
        names = ", ".join(name for name, _ in others[:3])
        yield f"{key} is an option of {names}, not of {model}{near(key, options)}"
        return
    found = [list(wrong_value(other, value)) for _, other in others]
    if all(found):
        yield from found[0]
    else:
        unread.append(key)


@dataclass
class _Merged:
    """The settings in force, each with its source, and the options of the model."""

    options: Mapping[str, Option]
    values: dict[str, Any]
    sources: dict[str, str]

    def says(self, key: str) -> str:
        return f"{self.sources.get(key, DEFAULTS)}: {key} is {show(self.values.get(key))}"


def _together(
    model: Any,
    dataset: str,
    layers: Layers,
    options: Mapping[str, Option],
    wrong_keys: set[str],
) -> Iterator[str]:
    """What does not go together; options whose values are wrong are left out."""
    from ..integration.config import defaults

    model_class, values = defaults(model, dataset)
    sources = {}
    for source, settings in layers:
        values.update(settings)
        sources.update(dict.fromkeys(settings, source))
    merged = _Merged(options, values, sources)
    for needed, rule in _RULES:
        if not wrong_keys.intersection(needed) and all(key in values and key in options for key in needed):
            yield from rule(merged, model_class)


def _valid_metric(merged: _Merged, model_class: Any) -> Iterator[str]:
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


def _one_type_of_metrics(merged: _Merged, model_class: Any) -> Iterator[str]:
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


def _sequential(merged: _Merged, model_class: Any) -> Iterator[str]:
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


def _normalize(merged: _Merged, model_class: Any) -> Iterator[str]:
    if merged.values["normalize_field"] is not None and merged.values["normalize_all"] is True:
        yield f"{merged.says('normalize_field')}, which does not go with normalize_all"


def _heads(merged: _Merged, model_class: Any) -> Iterator[str]:
    for name in ("n_heads", "imt_heads"):
        heads = merged.values[name] if name in merged.options else 1
        if merged.values["hidden_size"] % heads:
            yield f"{merged.says('hidden_size')}, not a multiple of {name}, which is {heads}"


def _load_col(merged: _Merged, model_class: Any) -> Iterator[str]:
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


def _wandb(merged: _Merged, model_class: Any) -> Iterator[str]:
    if merged.values["log_wandb"] and find_spec("wandb") is None:
        yield f"{merged.says('log_wandb')}, but wandb is not installed: `pip install wandb`"


def _own_model(merged: _Merged, model_class: Any) -> Iterator[str]:
    from ..model.options import wrong_together

    modalities = merged.values["modalities"] or []
    names = [modalities] if isinstance(modalities, str) else list(modalities)
    yield from wrong_together(merged.values, names, skip=["hidden_size"])


_Rule = Callable[[_Merged, Any], Iterator[str]]
_RULES: list[tuple[tuple[str, ...], _Rule]] = [
    (("metrics", "topk", "valid_metric"), _valid_metric),
    (("metrics", "eval_args"), _one_type_of_metrics),
    (("eval_args", "repeatable"), _sequential),
    (("normalize_field", "normalize_all"), _normalize),
    (("hidden_size", "n_heads"), _heads),
    (("load_col", "additional_feat_suffix"), _load_col),
    (("log_wandb",), _wandb),
    (("use_id", "modalities", "id_init", "branch_weights", "kd_pairs"), _own_model),
]


def check_topk(topk: Any, n_items: int) -> None:
    """Check ``topk`` against a dataset, as soon as its items are counted.

    Parameters
    ----------
    topk : int or list of int
        The option.
    n_items : int
        Items, without the padding item.

    Raises
    ------
    UserError
        A list would be longer than there are items.
    """
    most = max([topk] if isinstance(topk, int) else topk)
    if most > n_items:
        raise UserError(
            f"topk is {show(topk)}, but the dataset has {n_items} items.",
            f"Give --topk and --valid_metric numbers up to {n_items}.",
        )
