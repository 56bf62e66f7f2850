"""What ``auto`` means of the options that hang on how long histories are."""

from __future__ import annotations

from collections.abc import MutableMapping
from logging import getLogger
from typing import Any

AUTO = "auto"

SHORT = 20.0  # targets a user; chosen between shops (5) and films (over 80), nothing lay between

# Chosen on validation data of three shops, and of two sets of film ratings: results/experiments.md.
OF_SHORT: dict[str, Any] = {
    "item_encoder": "late",
    "hidden_size": 256,  # room for all that features say, in the IDs too, which begin as they are
    "learning_rate": 0.001,  # at a higher one IDs forget the features within three epochs
    "repeat_bias_rate": 50.0,  # so few steps must still teach that nothing is bought twice
}
OF_LONG: dict[str, Any] = {
    "item_encoder": "imt",
    "hidden_size": 64,
    "learning_rate": 0.003,
    "repeat_bias_rate": 10.0,
}


def resolve_by_histories(
    config: MutableMapping[str, Any], targets_per_user: float
) -> dict[str, Any]:
    """Put values in the place of ``auto``, and log which.

    Parameters
    ----------
    config : MutableMapping
        RecBole's config; what it holds afterwards is what trainer and checkpoint see.
    targets_per_user : float
        Of the training split, on average over users who have any.

    Returns
    -------
    dict of str to object
        What was put.
    """
    values = OF_SHORT if targets_per_user < SHORT else OF_LONG
    chosen = {name: value for name, value in values.items() if config[name] == AUTO}
    for name, value in chosen.items():
        config[name] = value
    if chosen:
        listed = ", ".join(f"{name} {value}" for name, value in chosen.items())
        length = "short" if values is OF_SHORT else "long"
        getLogger().info(
            f"{targets_per_user:.1f} targets a user in training count as {length} histories ("
            f"short: below {SHORT:g}), so auto is {listed}"
        )
    return chosen
