"""Several layers of one shape side by side, each for its own slice of the input.

The branches' layers differ in their weights alone. One batched product does for all of them what
would else be a call for each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LinearStack(nn.Module):
    """``n`` linear layers of one shape.

    Parameters
    ----------
    n : int
        How many.
    in_size, out_size : int
        Widths of input and output.
    """

    def __init__(self, n: int, in_size: int, out_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n, out_size, in_size))
        self.bias = nn.Parameter(torch.empty(n, out_size))
        bound = 1 / math.sqrt(in_size)  # as nn.Linear does
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, ..., in_size]`` to ``[n, ..., out_size]``."""
        rows = x.flatten(1, -2)
        y = torch.baddbmm(self.bias[:, None], rows, self.weight.transpose(1, 2))
        return y.view(*x.shape[:-1], y.size(-1))


class LinearByWidth(nn.Module):
    """Linear layers for a slice each, whose outputs differ in width: a stack for each width.

    Parameters
    ----------
    in_size : int
        Width of the input.
    out_sizes : sequence of int
        Of each layer's output.
    """

    def __init__(self, in_size: int, out_sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = [len([*run]) for _, run in groupby(out_sizes)]
        widths = [width for width, _ in groupby(out_sizes)]
        self.stacks = nn.ModuleList(
            LinearStack(n, in_size, width) for n, width in zip(self.sizes, widths)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map ``[n, ..., in_size]`` to stacks ``[n_of_width, ..., width]`` of neighbours."""
        return tuple(layers(part) for layers, part in zip(self.stacks, x.split(self.sizes)))


def linear_by_width(in_size: int, out_sizes: Sequence[int]) -> nn.Module:
    """A stack if all outputs have one width, else one for each width."""
    if len({*out_sizes}) == 1:
        return LinearStack(len(out_sizes), in_size, out_sizes[0])
    return LinearByWidth(in_size, out_sizes)


class LayerNormStack(nn.Module):
    """``n`` layer normalisations over the last axis, of ``size``."""

    def __init__(self, n: int, size: int, eps: float) -> None:
        super().__init__()
        self.size, self.eps = size, eps
        self.weight = nn.Parameter(torch.ones(n, size))
        self.bias = nn.Parameter(torch.zeros(n, size))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[n, ..., size]``."""
        shape = (len(self.weight), *[1] * (x.dim() - 2), -1)
        normal = F.layer_norm(x, (self.size,), eps=self.eps)
        return torch.addcmul(self.bias.view(shape), normal, self.weight.view(shape))


class PositionStack(nn.Module):
    """``n`` embeddings of ``length`` positions, ``[n, length, size]``."""

    def __init__(self, n: int, length: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n, length, size))

    def forward(self, x: Tensor) -> Tensor:
        """Add each position's vector to ``[n, batch_size, seq_len, size]``."""
        return x + self.weight[:, None, : x.size(2)]


def linear(n_stacked: int | None, in_size: int, out_size: int, bias: bool = True) -> nn.Module:
    """One linear layer for any input, or a stack of them."""
    if n_stacked is None:
        return nn.Linear(in_size, out_size, bias=bias)
    assert bias, "a stack has a bias"
    return LinearStack(n_stacked, in_size, out_size)


def layer_norm(n_stacked: int | None, size: int, eps: float) -> nn.Module:
    """One layer normalisation for any input, or a stack of them."""
    if n_stacked is None:
        return nn.LayerNorm(size, eps=eps)
    return LayerNormStack(n_stacked, size, eps)


def select(states: Tensor, positions: tuple[Tensor, Tensor]) -> Tensor:
    """States of some positions, each named once.

    Parameters
    ----------
    states : Tensor
        ``[..., batch_size, seq_len, size]``.
    positions : tuple of Tensor
        Sequence and position, ``[n_states]`` both.

    Returns
    -------
    Tensor
        ``[..., n_states, size]``.
    """
    sequence, position = positions
    index = sequence * states.size(-2) + position
    return states.flatten(-3, -2).index_select(-2, index)
