"""The model's options, checked: everything wrong with them is said at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import UserError, is_number
from .candidates import AUTO, CANDIDATES
from .combine import LEARNED
from .item_encoder import ID, ITEM_ENCODERS
from .layers import ACTIVATIONS
from .losses import MEAN
from .sequence_encoder import SEQUENCE_ENCODERS
from .user_encoder import USER_ENCODERS

_CHOICES: dict[str, Iterable[str]] = {
    "item_encoder": ITEM_ENCODERS,
    "sequence_encoder": SEQUENCE_ENCODERS,
    "user_encoder": USER_ENCODERS,
    "hidden_act": ACTIVATIONS,
    "train_candidates": CANDIDATES,
    "train_sequences": ("windows", "prefixes"),
}
_POSITIVE = ("hidden_size", "n_layers", "n_heads", "inner_size", "imt_layers", "imt_heads")
_NOT_NEGATIVE = (
    "n_negatives",
    "ce_weight",
    "new_item_weight",
    "mean_ce_weight",
    "kd_weight",
    "kd_ramp_epochs",
    "feature_whitening",
)
_SHARES = (
    "hidden_dropout_prob",
    "attn_dropout_prob",
    "imt_dropout_prob",
    "source_dropout_prob",
    "weight_average",
    "window_context",
)
_FLAGS = ("use_id", "id_mask", "imt_residual", "kd_detach_teacher", "repeat_bias", "fused_loss")


def check_options(config: Mapping[str, Any], modalities: Iterable[str]) -> None:
    """Check every option of the model.

    Parameters
    ----------
    config : Mapping
        RecBole's config.
    modalities : iterable of str
        The modalities that the dataset carries.

    Raises
    ------
    UserError
        One or several options have no sense; the message names each with its value.
    """
    wrong = [*_choices(config), *_numbers(config), *_sources(config, list(modalities))]
    if wrong:
        raise UserError(
            "; ".join(wrong) + ".",
            "The options and their meanings stand in properties/model/IDMMDistill.yaml.",
        )


def _choices(config: Mapping[str, Any]) -> Iterable[str]:
    for key, names in _CHOICES.items():
        allowed = [*names, *([AUTO] if key == "train_candidates" else [])]
        if config[key] not in allowed:
            near = difflib.get_close_matches(str(config[key]), allowed, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            yield f"{key} is {config[key]!r}, not one of {', '.join(allowed)}{hint}"
    for key in _FLAGS:
        if not isinstance(config[key], bool):
            yield f"{key} is {config[key]!r}, not True or False"


def _numbers(config: Mapping[str, Any]) -> Iterable[str]:
    for key in _POSITIVE:
        if not isinstance(config[key], int) or config[key] < 1:
            yield f"{key} is {config[key]!r}, not a whole number above 0"
    for key in _NOT_NEGATIVE:
        if not is_number(config[key]) or config[key] < 0:
            yield f"{key} is {config[key]!r}, not a number of 0 or more"
    for key in _SHARES:
        if not is_number(config[key]) or not 0 <= config[key] < 1:
            yield f"{key} is {config[key]!r}, not from 0 up to 1"
    if not is_number(config["kd_temperature"]) or config["kd_temperature"] <= 0:
        yield f"kd_temperature is {config['kd_temperature']!r}, not above 0"
    for key in ("n_heads", "imt_heads"):
        if isinstance(config[key], int) and config[key] and config["hidden_size"] % config[key]:
            yield f"hidden_size {config['hidden_size']} is not a multiple of {key} {config[key]}"


def _sources(config: Mapping[str, Any], modalities: list[str]) -> Iterable[str]:
    known = [ID, *modalities]
    if not config["use_id"] and not modalities:
        yield "use_id is False and modalities is empty: no source is left"
    if config["id_init"] not in ("random", MEAN, *modalities):
        allowed = ", ".join(("random", MEAN, *modalities))
        yield f"id_init is {config['id_init']!r}, not one of {allowed}"
    weights = config["branch_weights"] or {}
    if weights == LEARNED:
        weights = {}
    if not isinstance(weights, dict):
        yield f"branch_weights is {weights!r}, not {LEARNED} or a mapping of branches to weights"
    else:
        for name, weight in weights.items():
            if not is_number(weight) or weight < 0:
                yield f"branch_weights gives {name} {weight!r}, not a number of 0 or more"
        if weights and not any(weights.get(name, 1) for name in known):
            yield f"branch_weights is {weights!r}, which leaves no branch a weight"
    # Pairs of a modality that is switched off are left out silently, so that the shipped pairs
    # serve every choice of modalities; any other name is a slip.
    names = {*known, MEAN, "text", "image"}
    for pair in config["kd_pairs"] or []:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or pair[1] == MEAN:
            yield f"kd_pairs holds {pair!r}, not a [teacher, student] pair"
        elif not names.issuperset(pair):
            yield f"kd_pairs holds {pair!r}, but the sources are {', '.join(known)}"
