"""Options whose values have an inside: mappings, lists of names, intervals."""

from __future__ import annotations

import codecs
import encodings
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from encodings.aliases import aliases
from typing import Any, NamedTuple

from ..errors import near, show
from ..files import is_file_part
from .kinds import Interval, Kind, parse_comment


class Fault(NamedTuple):
    """Something wrong with an option, or with a part of its value."""

    where: str
    value: Any
    allowed: str

    def __str__(self) -> str:
        return f"{self.where} is {show(self.value)}, not {self.allowed}"


Check = Callable[[str, Any], Iterator[Fault]]


def kind(spec: str) -> Check:
    """Check that a value is of a kind, written as in a property file's comment."""
    parsed = parse_comment(spec)[0]
    assert isinstance(parsed, Kind), spec

    def check(where: str, value: Any) -> Iterator[Fault]:
        if not parsed.accepts(value):
            hint = near(value, parsed.choices) if isinstance(value, str) else ""
            yield Fault(where, value, f"{parsed}{hint}")

    return check


def mapping(keys: Mapping[str, Check], required: Iterable[str] = ()) -> Check:
    """Check a mapping of known keys."""

    def check(where: str, value: Any) -> Iterator[Fault]:
        if not isinstance(value, Mapping):
            yield Fault(where, value, f"a mapping of {', '.join(keys)}")
            return
        for key in value:
            if key not in keys:
                hint = near(str(key), keys)
                yield Fault(f"a key of {where}", key, f"one of {', '.join(keys)}{hint}")
            else:
                yield from keys[key](f"{key} of {where}", value[key])
        for key in required:
            if key not in value:
                yield Fault(where, value, f"a mapping with {key}")

    return check


def each(values: Check, keys: Check | None = None) -> Check:
    """Check a mapping of names of a user's own to values."""

    def check(where: str, value: Any) -> Iterator[Fault]:
        if not isinstance(value, Mapping):
            yield Fault(where, value, "a mapping")
            return
        for key, inner in value.items():
            yield from (keys or name)(f"a key of {where}", key)
            yield from values(f"{show(key)} of {where}", inner)

    return check


def optional(inner: Check) -> Check:
    """Check what may also be ``~``."""
    return lambda where, value: iter(()) if value is None else inner(where, value)


def name(where: str, value: Any) -> Iterator[Fault]:
    """Check a name of a column."""
    if not isinstance(value, str) or not value.strip():
        yield Fault(where, value, "the name of a column")


def file_part(where: str, value: Any) -> Iterator[Fault]:
    """Check a word that becomes part of a file's name."""
    if not isinstance(value, str) or not is_file_part(value):
        yield Fault(where, value, "a word without / that can be part of a file's name")


def list_of(inner: Check, least: int = 0, most: int = 10_000) -> Check:
    """Check a list."""

    def check(where: str, value: Any) -> Iterator[Fault]:
        if not isinstance(value, (list, tuple)):
            yield Fault(where, value, "a list")
        elif not least <= len(value) <= most:
            few = f"{least} or more" if most == 10_000 else f"{least} to {most}"
            yield Fault(where, value, f"a list of {few}")
        else:
            for item in value:
                yield from inner(f"an item of {where}", item)

    return check


def interval(where: str, value: Any) -> Iterator[Fault]:
    """Check intervals as RecBole reads them: ``[5,inf)``, several with ``;`` between them."""
    try:
        for part in str(value).split(";"):
            Interval.parse(part.strip())
    except (ValueError, IndexError):
        yield Fault(where, value, "an interval such as [5,inf)")


def _shares(*counts: int) -> Check:
    number = " or ".join(("two", "three")[count - 2] for count in counts)
    shares = Kind(("list",), "float", Interval.parse("[0, inf)"))

    def check(where: str, value: Any) -> Iterator[Fault]:
        if not shares.accepts(value) or len(value) not in counts or value[0] <= 0:
            allowed = "shares, for training, validation and test, such as [0.8, 0.1, 0.1]"
            yield Fault(where, value, f"{number} {allowed}")

    return check


def _split(where: str, value: Any) -> Iterator[Fault]:
    ways: dict[str, Check] = {
        "RS": _shares(2, 3),
        "LS": kind("(str) in [valid_and_test, valid_only, test_only]"),
        "TS": _shares(3),
    }
    yield from mapping(ways)(where, value)
    if isinstance(value, Mapping) and len(value) != 1:
        yield Fault(where, value, "a mapping with one key, RS, LS or TS")


def _one_mode(where: str, value: Any) -> Iterator[Fault]:
    if not isinstance(value, str) or not re.fullmatch(r"full|labeled|(uni|pop)[1-9]\d{0,8}", value):
        yield Fault(where, value, "full, labeled, uniN or popN, such as uni100")


def _mode(where: str, value: Any) -> Iterator[Fault]:
    if isinstance(value, Mapping):
        yield from mapping({"valid": _one_mode, "test": _one_mode})(where, value)
    else:
        yield from _one_mode(where, value)


def _metrics(where: str, value: Any) -> Iterator[Fault]:
    from recbole.evaluator.register import metrics_dict

    names = [metric.__name__ for metric in metrics_dict.values()]
    for metric in [value] if isinstance(value, str) else value:
        if metric.lower() not in metrics_dict:
            yield Fault(where, metric, f"one of {', '.join(names)}{near(metric, names)}")
    if not value:
        yield Fault(where, value, f"one or several of {', '.join(names)}")


def _not_empty(where: str, value: Any) -> Iterator[Fault]:
    if isinstance(value, (list, tuple)) and not value:
        yield Fault(where, value, "a whole number, or a list with one or more")


def _encoding(where: str, value: Any) -> Iterator[Fault]:
    # ``codecs.lookup`` imports a module of the name: so only names that are known reach it.
    known = {"utf_8_sig", *aliases, *aliases.values()}
    if encodings.normalize_encoding(value).lower() in known:
        if codecs.lookup(value)._is_text_encoding:
            return
    yield Fault(where, value, "an encoding of texts such as utf-8")


def _gpu(where: str, value: Any) -> Iterator[Fault]:
    # RecBole joins a tuple with commas; a list it would write with its brackets.
    one = r"\s*(-?\d+|(GPU|MIG)-[\w/-]+)\s*"
    is_odd = isinstance(value, str) and not re.fullmatch(rf"\s*|{one}(,{one})*", value)
    if isinstance(value, list) or is_odd:
        yield Fault(where, value, "numbers of GPUs such as 0,1")


def _negatives(where: str, value: Any) -> Iterator[Fault]:
    if value not in (None, "None"):
        distributions = kind("(str or None) in [uniform, popularity, none, None]")
        whole = kind("(int, [1, inf))")
        keys: dict[str, Check] = {
            "distribution": distributions,
            "sample_num": whole,
            "alpha": kind("(float)"),
            "dynamic": kind("(bool)"),
            "candidate_num": kind("(int, [0, inf))"),
        }
        if isinstance(value, Mapping) and value.get("distribution") in (None, "none", "None"):
            unused = kind("(str or int or float or bool or None)")
            keys = {"distribution": distributions, **dict.fromkeys([*keys][1:], unused)}
        yield from mapping(keys)(where, value)


def _columns(where: str, value: Any) -> Iterator[Fault]:
    if value != "*":
        yield from list_of(name)(where, value)


def _filter(where: str, value: Any) -> Iterator[Fault]:
    if not isinstance(value, (list, tuple)):  # a list names the tokens that are kept
        yield from interval(where, value)


def _files(where: str, value: Any) -> Iterator[Fault]:
    if isinstance(value, Mapping):
        yield from each(kind("(str)"), keys=file_part)(where, value)
    elif value == "":
        yield Fault(where, value, "a folder, or a mapping of modalities to files")


def _file_parts(where: str, value: Any) -> Iterator[Fault]:
    check = file_part if isinstance(value, str) else list_of(file_part)
    yield from check(where, value)


def _clip(where: str, value: Any) -> Iterator[Fault]:
    keys = {
        "max_norm": kind("(float, (0, inf))"),
        "norm_type": kind("(float, (0, inf))"),
        "error_if_nonfinite": kind("(bool)"),
        "foreach": kind("(bool or None)"),
    }
    yield from mapping(keys, required=["max_norm"])(where, value)


def _branch_weights(where: str, value: Any) -> Iterator[Fault]:
    if isinstance(value, Mapping):
        yield from each(kind("(float, [0, inf))"), keys=file_part)(where, value)
    elif value not in (None, "learned"):
        yield Fault(where, value, "learned, or a mapping of sources to weights")


def _branch_width(where: str, value: Any) -> Iterator[Fault]:
    if isinstance(value, Mapping):
        yield from each(kind("(int, [1, inf))"), keys=file_part)(where, value)
    elif isinstance(value, str) and value != "auto":
        yield Fault(where, value, "auto, a whole number, or a mapping of sources to widths")


def _pair(where: str, value: Any) -> Iterator[Fault]:
    if not isinstance(value, (list, tuple)) or [type(name) for name in value] != [str, str]:
        yield Fault(where, value, "a [teacher, student] pair")


_share = kind("(float, [0, 1))")
_bucket = mapping(
    {"method": kind("(str) in [ED, LD]"), "bucket": kind("(int, [1, inf))")}, required=["method"]
)
_some_columns = optional(each(_columns, keys=file_part))

CHECKS: dict[str, Check] = {
    "eval_args": mapping(
        {
            "split": _split,
            "order": kind("(str) in [RO, TO]"),
            "group_by": kind("(str or None) in [user, none] in any case"),
            "mode": _mode,
        }
    ),
    "train_neg_sample_args": _negatives,
    "metrics": _metrics,
    "topk": _not_empty,
    "load_col": _some_columns,
    "unload_col": _some_columns,
    "unused_col": _some_columns,
    "val_interval": optional(each(_filter)),
    "threshold": optional(each(kind("(float)"))),
    "seq_len": optional(each(kind("(int, [1, inf))"))),
    "discretization": optional(each(_bucket)),
    "preload_weight": optional(each(name)),
    "clip_grad_norm": optional(_clip),
    "feature_path": _files,
    "missing_features": optional(each(_share, keys=file_part)),
    "branch_weights": _branch_weights,
    "branch_width": _branch_width,
    "kd_pairs": optional(list_of(_pair)),
    "modalities": optional(_file_parts),
    "benchmark_filename": optional(list_of(file_part, 2, 3)),
    "additional_feat_suffix": optional(_file_parts),
    "encoding": _encoding,
    "gpu_id": _gpu,
    **dict.fromkeys(
        ("alias_of_user_id", "alias_of_item_id", "alias_of_entity_id", "alias_of_relation_id"),
        optional(list_of(name)),
    ),
    **dict.fromkeys(("normalize_field", "numerical_features"), optional(list_of(name))),
    **dict.fromkeys(
        (
            *("user_inter_num_interval", "item_inter_num_interval"),
            *("entity_kg_num_interval", "relation_kg_num_interval"),
        ),
        optional(interval),
    ),
}
