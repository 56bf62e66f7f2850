"""The options that exist, from the property files of RecBole and of this package.

Each is a line ``key: default  # (type) what it means``. What RecBole's comments do not say
(:data:`SUPPLEMENT`) stands here once, written in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from numbers import Integral, Real
from typing import Any

from .kinds import Interval, Kind, parse_comment
from .yaml_file import parse_yaml

_LINE = re.compile(r"(?P<key>[\w-]+):(?:\s(?P<value>.*?))??(?:\s#\s*(?P<comment>.*))?")

# Names as regular expressions; the first that fits whole has the word. An interval alone leaves the
# types of RecBole's comment as they are.
SUPPLEMENT = {
    "epochs|pretrain_epochs|stopping_step|eval_step": "(int, [0, inf))",
    "train_batch_size|eval_batch_size|MAX_ITEM_LIST_LENGTH|save_step": "(int, [1, inf))",
    "loss_decimal_place|metric_decimal_place": "(int, [0, 16])",
    "worker": "(int, [0, 1024])",
    "seed": "(int, [0, 4294967295])",
    "learning_rate": "(float, (0, inf))",
    "weight_decay": "(float, [0, inf))",
    "learner": "(str) in [adam, adamw, sgd, adagrad, rmsprop, sparse_adam] in any case",
    "state": "(str or None) in [debug, info, warning, error, critical] in any case",
    "transform": "(str or None) in [mask_itemseq, inverse_itemseq, crop_itemseq, reorder_itemseq,"
    " user_defined]",
    "rm_dup_inter": "(str or None) in [first, last]",
    "gpu_id": "(str or int or list of int)",
    "(user_inter|item_inter|entity_kg|relation_kg)_num_interval": "(str or list of float or None)",
    "metrics": "(str or list of str)",
    "topk": "(int or list of int, [1, inf))",
    "load_col|unload_col|unused_col": "(dict or None)",
    "additional_feat_suffix": "(str or list of str or None)",
    "train_neg_sample_args": "(dict or str or None)",
    "(RATING|TIME|LABEL)_FIELD": "(str or None)",
    "loss_type": "(str) in [BPR, CE]",
    "hidden_act": "(str) in [gelu, relu, swish, tanh, sigmoid]",
    "pooling_mode": "(str) in [max, mean, sum]",
    "pooling_type": "(str) in [max, average]",
    "structure": "(str) in [stacked, parallel]",
    "neigh_info_method": "(str) in [random, knn, louvain]",
    "teacher": "(str) in [CrossNet, CIN]",
    "SINE.loss_type": "(str) in [BPR, CE, NLL]",
    "MCCLK.loss_type": "(str) in [bpr, bce] in any case",
    "KD_DAGFM.type": "(str) in [inner, outer]",
    "initializer_range|layer_norm_eps": "(float, [0, inf))",
    "n_layers|reg_weight_[12]": "[0, inf)",
    "dropout|.*_dropout(_rate)?|dropout_probs?|.*_prob|drop_ratio|drop_ex|drop_im|corruption_ratio"
    "|mask_ratio|ft_ratio|l1_ratio": "[0, 1]",
    r"(\w+_)?(embedding|hidden|inner|attention|kernel|sample|prototype|interest)_size|weight_size"
    r"|(\w+_)?hidden_size_list|num_layers|n_heads|num_heads|latent_dimension|hidden_dimension"
    "|lgb_num_boost_round|xgb_num_boost_round|history_len|n_memory": "[1, inf)",
}

# Declared as whole numbers, and used as numbers.
_NUMBERS = "reg_weight|negative_weight|topk_factor|w_max|w_min|noise_scale|noise_min|noise_max"

# Worked out by RecBole from other options, or objects: nobody sets them.
DERIVED = frozenset(
    {"MODEL_TYPE", "MODEL_INPUT_TYPE", "eval_type", "device", "single_spec", "feature_num"}
    | {"valid_neg_sample_args", "test_neg_sample_args", "MASK_INDEX", "MASK_ITEM_SEQ"}
    | {"POS_ITEMS", "NEG_ITEMS", "INVERSE_ITEM_SEQ", "CROP_ITEM_SEQ", "CROP_ITEM_SEQ_LEN"}
    | {"REORDER_ITEM_SEQ"}
)

# Options that name a file or a folder.
PLACES = frozenset(
    {"data_path", "checkpoint_dir", "dataset_save_path", "dataloaders_save_path", "metrics_file"}
    | {"config_files", "feature_path", "pre_model_path", "pretrain_path", "mf_pretrain_path"}
    | {"mlp_pretrain_path", "warm_up", "xgb_model"}
)

# Options of where and how a run runs: not a part of what was trained, so a checkpoint of a
# stranger has no say in them.
SURROUNDINGS = PLACES | frozenset(
    {"gpu_id", "use_gpu", "worker", "state", "show_progress", "verbose", "log_wandb"}
    | {"wandb_project", "save_dataset", "save_dataloaders", "nproc", "world_size", "offset", "ip"}
    | {"port", "local_rank"}
)


@dataclass(frozen=True)
class Option:
    """An option that a property file lists.

    Attributes
    ----------
    name : str
    default : object
        Plain data.
    kind : Kind
        What its values may be.
    text : str
        The comment, for people.
    section : str
        The heading in the file that it stands below.
    """

    name: str
    default: Any
    kind: Kind
    text: str = ""
    section: str = ""


# Models of this package that are another one with other defaults: their files have these alone.
PRESETS = {"ODMT": "IDMMDistill"}


@cache
def read_options(*path: str) -> dict[str, Option]:
    """Read a property file: RecBole's or this package's.

    Of one of :data:`PRESETS` all options are given.

    Parameters
    ----------
    *path : str
        ``recbole`` or ``recbole_mmdistill``, then its place among the property files, for example
        ``model``, ``SASRec.yaml``.

    Returns
    -------
    dict of str to Option
        In the order of the file; empty if there is no such file.
    """
    package, *rest = path
    root = resources.files("recbole_mmdistill.properties")
    if package == "recbole":
        root = resources.files("recbole") / "properties"
    file = root.joinpath(*rest)
    if not file.is_file():
        return {}
    text = file.read_text(encoding="utf-8")
    comments: dict[str, tuple[str, str]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("# "):
            section = line[2:].strip()
        elif found := _LINE.fullmatch(line.rstrip()):
            comments[found["key"]] = (found["comment"] or "", section)
    defaults = parse_yaml(text, file.name) or {}
    model = file.name.removesuffix(".yaml")
    options = {
        key: _option(model, key, default, *comments.get(key, ("", "")))
        for key, default in defaults.items()
    }
    if package == "recbole_mmdistill" and model in PRESETS:
        return _merge(read_options(package, *rest[:-1], f"{PRESETS[model]}.yaml"), options)
    return options


def _option(model: str, name: str, default: Any, comment: str, section: str) -> Option:
    commented, text = parse_comment(comment)
    kind = commented or Kind(() if default is None else _types_of(default))
    if re.fullmatch(_NUMBERS, name) and kind.types == ("int",):
        kind = replace(kind, types=("float",))
    kind = _supplemented(model, name, kind)
    if not kind.accepts(default):
        kind = replace(kind, types=(*kind.types, *_types_of(default)))
    return Option(name, default, kind, text, section)


def _supplemented(model: str, name: str, kind: Kind) -> Kind:
    if spec := SUPPLEMENT.get(f"{model}.{name}"):
        return parse_comment(spec)[0] or kind
    if kind.interval or kind.choices:  # what a comment says has the last word
        return kind
    for names, spec in SUPPLEMENT.items():
        if re.fullmatch(names, name):
            if spec.startswith("["):
                return replace(kind, interval=Interval.parse(spec))
            return parse_comment(spec)[0] or kind
    return kind


def _types_of(default: Any) -> tuple[str, ...]:
    for name, of in (
        *(("None", type(None)), ("bool", bool), ("int", Integral), ("float", Real)),
        *(("str", str), ("list", list), ("dict", dict)),
    ):
        if isinstance(default, of):
            return (name,)
    return ()


@cache
def general_options() -> dict[str, Option]:
    """Options that every model and dataset has."""
    quick_start = resources.files("recbole") / "properties" / "quick_start_config"
    return _merge(
        read_options("recbole_mmdistill", "unlisted.yaml"),
        read_options("recbole", "overall.yaml"),
        read_options("recbole", "dataset", "sample.yaml"),
        *(
            read_options("recbole", "quick_start_config", file.name)
            for file in quick_start.iterdir()
        ),
        read_options("recbole", "dataset", "ml-100k.yaml"),
    )


@cache
def options_of(model: str, dataset: str = "") -> dict[str, Option]:
    """Options of a model on a dataset.

    Parameters
    ----------
    model, dataset : str
        Their names, which are known to be names.

    Returns
    -------
    dict of str to Option
        By name.
    """
    packages = ("recbole", "recbole_mmdistill")
    return _merge(
        general_options(),
        *(read_options(package, "model", f"{model}.yaml") for package in packages),
        *(read_options(package, "dataset", f"{dataset}.yaml") for package in packages),
    )


def _merge(*sources: dict[str, Option]) -> dict[str, Option]:
    """Later ones have the word, but a file without comments changes the default alone."""
    merged: dict[str, Option] = {}
    for source in sources:
        for name, option in source.items():
            before = merged.get(name)
            if before and not option.text:
                option = replace(before, default=option.default)
            if before and "None" in before.kind.types and option.kind.types:
                types = tuple(dict.fromkeys((*option.kind.types, "None")))
                option = replace(option, kind=replace(option.kind, types=types))
            merged[name] = option
    return merged


def other_models(name: str) -> Iterator[tuple[str, Option]]:
    """Give the models whose property files list an option, with the option."""
    for package, folder in _model_folders():
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".yaml"):
                option = read_options(package, "model", entry.name).get(name)
                if option:
                    yield entry.name.removesuffix(".yaml"), option


def _model_folders() -> list[tuple[str, Any]]:
    ours = resources.files("recbole_mmdistill.properties")
    theirs = resources.files("recbole") / "properties"
    return [("recbole_mmdistill", ours / "model"), ("recbole", theirs / "model")]


@cache
def is_text(name: str) -> bool:
    """Whether an option can only be a text, so that ``007`` and ``1e5`` are read as they stand."""
    known = general_options().get(name)
    options = [known] if known else [option for _, option in other_models(name)]
    types = {of for option in options for of in option.kind.types}
    return "str" in types and types <= {"str", "None"}
