"""Checkpoints of version 0.1.0 up to behaviour 1, which keep each branch's layers by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_ENCODER, _HEADS = "user_encoder.encoders.0.", "item_encoder.heads."


def stack_branches(model: Any, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Stack such layers as they are now; a hook that ``load_state_dict`` calls first.

    Parameters
    ----------
    model : IDMMDistill
        Into which it is loaded.
    state_dict : dict of str to Tensor
        Changed in place.
    prefix : str
        Of the model's names.
    """
    for name, parameter in model.network.named_parameters():
        for alone in _names_alone(model.network, name):
            for of in ("network." + name, "weight_average." + name.replace(".", "/")):
                separator = "/" if "/" in of else "."
                start = f"{prefix}{of.partition('.')[0]}."
                keys = [start + key.replace(".", separator) for key in alone]
                if keys and all(key in state_dict for key in keys):
                    layers = [state_dict[key] for key in keys]
                    if layers[0].shape != parameter.shape:
                        for key in keys:
                            del state_dict[key]
                        state_dict[prefix + of] = torch.stack(layers).reshape(parameter.shape)


def _names_alone(network: nn.Module, name: str) -> Iterator[list[str]]:
    """What the parts of a stacked parameter were called, in the order of the branches."""
    if name.startswith(_ENCODER):
        rest = name.removeprefix(_ENCODER)
        n_groups = len(network.user_encoder.groups)  # type: ignore[arg-type,union-attr]
        yield [f"user_encoder.encoders.{number}.{rest}" for number in range(n_groups)]
    if name.startswith(_HEADS):
        rest = name.removeprefix(_HEADS)
        yield [f"{_HEADS}{source}.{rest}" for source in network.item_encoder.sources]  # type: ignore[union-attr]
