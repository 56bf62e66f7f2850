"""The item table of evaluation: computed once, and never after a parameter has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class ItemTable:
    """Keeps what ``build`` returns for as long as the module's numbers stay the same.

    Torch counts in-place changes of a tensor, but not those made through ``.data``; so beside the
    counters every parameter's and buffer's bits are summed up, which costs far less than scoring
    one batch against the catalogue.

    Parameters
    ----------
    module : nn.Module
        What the table is computed from.
    build : callable
        Returns the table.
    """

    def __init__(self, module: nn.Module, build: Callable[[], Tensor]) -> None:
        self._state = [module]  # in a list, so that nn.Module does not register it as a child
        self._build = build
        self._key: Any = None
        self._table: Tensor | None = None

    def get(self, *condition: Any) -> Tensor:
        """Return the table, computed anew if the module or ``condition`` is not as it was.

        With gradients on it is always computed anew, and not kept.
        """
        if torch.is_grad_enabled():
            return self._build()
        key = (self._fingerprint(), condition)
        if self._table is None or key != self._key:
            self._table, self._key = self._build(), key
        return self._table

    def drop(self) -> None:
        """Forget the table, so that its memory is free while training."""
        self._table = self._key = None

    def _fingerprint(self) -> tuple[Any, ...]:
        (module,) = self._state
        tensors = [*module.parameters(), *module.buffers()]
        sums = [_bit_sum(tensor) for tensor in tensors]
        on_cpu = torch.stack(sums).tolist() if sums else []  # one transfer, not one each
        return (module.training, *((t.data_ptr(), t.dtype, t._version) for t in tensors), *on_cpu)


_INTEGER = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _bit_sum(tensor: Tensor) -> Tensor:
    """Sum up a tensor's bits, read as integers and weighted by row and by column.

    A change of one value changes it, and so does an exchange of two rows or columns.
    """
    bits = tensor.detach().contiguous().view(_INTEGER[tensor.element_size()])
    bits = bits.reshape(-1, bits.size(-1) if bits.dim() else 1)
    by_row, by_column = bits.sum(1), bits.sum(0)
    return sum(
        (part * torch.arange(1, len(part) + 1, device=part.device)).sum()
        for part in (by_row, by_column)
    )  # type: ignore[return-value]
