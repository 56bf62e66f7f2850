"""The item table of evaluation: computed once, and never after a parameter has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class ItemTable:
    """Keeps what ``build`` returns for as long as the numbers it is made from stay the same.

    Torch counts in-place changes of a tensor, but not those made through ``.data``; so beside the
    counters the bits of all parameters and buffers are summed up, which costs far less than
    scoring one batch against the catalogue.

    Parameters
    ----------
    parts : iterable of nn.Module
        All that the table is computed from, on one device.
    build : callable
        Returns the table.
    """

    def __init__(self, parts: Iterable[nn.Module], build: Callable[[], Tensor]) -> None:
        self._parts = tuple(parts)
        self._build = build
        self._key: Any = None
        self._table: Tensor | None = None

    def get(self) -> Tensor:
        """Return the table, computed anew if the parts are not as they were.

        With gradients on it is always computed anew, and not kept.
        """
        if torch.is_grad_enabled():
            return self._build()
        key = self._fingerprint()
        if self._table is None or key != self._key:
            self._table, self._key = self._build(), key
        return self._table

    def drop(self) -> None:
        """Forget the table, so that its memory is free while training."""
        self._table = self._key = None

    def _fingerprint(self) -> tuple[Any, ...]:
        tensors = [t for part in self._parts for t in (*part.parameters(), *part.buffers())]
        return (
            [part.training for part in self._parts],
            [(tensor.data_ptr(), tensor.dtype, tensor._version) for tensor in tensors],
            _bit_sums(tensors),
        )


_INTEGER = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_WIDTH = 1024


def _bit_sums(tensors: Sequence[Tensor]) -> list[int]:
    """Sum up all bits, read as integers laid out in rows, weighted by row and by column.

    A change of one value changes the sums, and so does an exchange of rows or columns. All
    tensors of a size of value go through the same few operations: one by one, their starts
    would cost a GPU more than the sums.
    """
    alike: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        integer = _INTEGER[tensor.element_size()]
        alike.setdefault(integer, []).append(tensor.detach().reshape(-1).view(integer))
    sums = []
    for parts in alike.values():
        padding = parts[0].new_zeros(-sum(map(len, parts)) % _WIDTH)
        rows = torch.cat([*parts, padding]).view(-1, _WIDTH)
        for part in (rows.sum(1), rows.sum(0)):
            sums.append((part * torch.arange(1, len(part) + 1, device=part.device)).sum())
    return torch.stack(sums).tolist() if sums else []  # one transfer, not one each
