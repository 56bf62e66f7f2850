"""Where tensors are: on a CPU their values are at hand, elsewhere the host must wait for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor


def on_host(tensor: Tensor) -> bool:
    """Whether reading the tensor's values, or a size that hangs on them, costs no waiting.

    Elsewhere a training step asks for no value: it works with sizes that are known beforehand, and
    masks what is too many. What is computed is the same.
    """
    return tensor.device.type == "cpu"


def lower_precision(tensor: Tensor) -> torch.dtype | None:
    """Type of products where autocast is on, for example bfloat16; else None."""
    kind = tensor.device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return None
    return torch.get_autocast_dtype(kind)


def full_precision(tensor: Tensor) -> AbstractContextManager[Any]:
    """A ``with`` block in which autocast is off."""
    kind = tensor.device.type
    if not torch.amp.is_autocast_available(kind):
        return nullcontext()
    return torch.autocast(kind, enabled=False)


@contextmanager
def tiny_numbers_as_zero() -> Iterator[None]:
    """A ``with`` block in which this thread takes numbers below 1e-38 ("denormal") as 0.

    A CPU needs up to a hundred times as long for one of them. Where histories say little, the
    attention makes many: on random ones a step takes half as long with this.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
