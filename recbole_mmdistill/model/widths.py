"""Branches of unequal widths: their tensors as stacks, their widths from the options.

A tensor of all branches is ``[n_branches, ..., width]`` where they have one width. Else it is a
tuple of stacks ``[n, ..., width]``, each of neighbouring branches of one width, in the order of
the branches. :func:`by_width` does to stacks what is done to a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import TypeAlias

import torch
from torch import Tensor

AUTO = "auto"
_MOST = 256

# Of all branches, one tensor or several stacks.
BranchTensor: TypeAlias = "Tensor | tuple[Tensor, ...]"


def stacks(tensor: BranchTensor) -> tuple[Tensor, ...]:
    """Give the stacks; a tensor is one."""
    return (tensor,) if isinstance(tensor, Tensor) else tensor


def branch_slices(tensor: BranchTensor) -> list[slice]:
    """Say which branches each stack holds."""
    slices, first = [], 0
    for stack in stacks(tensor):
        slices.append(slice(first, first + len(stack)))
        first += len(stack)
    return slices


def by_width(
    function: Callable[..., Tensor], tensor: BranchTensor, *others: BranchTensor
) -> BranchTensor:
    """Apply a function to each stack.

    Parameters
    ----------
    function : callable
        Takes a stack and what there is of ``others`` for its branches.
    tensor : BranchTensor
        Of all branches.
    *others : BranchTensor
        In stacks as ``tensor`` is, or a tensor ``[n_branches, ...]``, which is cut alike.

    Returns
    -------
    BranchTensor
        In stacks as ``tensor`` is.
    """
    if isinstance(tensor, Tensor):
        return function(tensor, *others)
    slices = branch_slices(tensor)
    cut = [
        [other[some] for some in slices] if isinstance(other, Tensor) else other for other in others
    ]
    return tuple(function(*parts) for parts in zip(tensor, *cut))


def unstack(tensor: BranchTensor) -> list[Tensor]:
    """Give each branch's tensor ``[..., width]``."""
    return [branch for stack in stacks(tensor) for branch in stack]


def stack(branches: Iterable[Tensor]) -> BranchTensor:
    """Put the branches' tensors ``[..., width]`` together, see :func:`unstack`."""
    runs = groupby(branches, key=lambda branch: branch.size(-1))
    listed = [[*run] for _, run in runs]
    made = tuple(run[0][None] if len(run) == 1 else torch.stack(run) for run in listed)
    return made[0] if len(made) == 1 else made


def resolve_widths(
    sources: Iterable[str],
    branch_width: int | str | Mapping[str, int] | None,
    hidden_size: int,
    n_components: Mapping[str, int],
    n_heads: int = 1,
) -> dict[str, int]:
    """Find the width of each source, and so of its branch.

    ``auto`` gives a modality two numbers for each that its whitened features have, at most 256, at
    least ``hidden_size``, and a multiple of ``n_heads``. The ID has ``hidden_size``, which should
    hold what the features say where IDs begin as these.

    Parameters
    ----------
    sources : iterable of str
        ``id`` and the modalities, as far as they are sources.
    branch_width : int, str, Mapping of str to int, or None
        The option: of all, ``auto``, or by source. None, and a source that is not named:
        ``hidden_size``.
    hidden_size : int
        The model's width.
    n_components : Mapping of str to int
        Length of the whitened features, by modality.
    n_heads : int
        Attention heads of a sequence encoder.

    Returns
    -------
    dict of str to int
        By source.
    """
    widths = dict.fromkeys(sources, hidden_size)
    if isinstance(branch_width, int):
        return dict.fromkeys(widths, branch_width)
    if isinstance(branch_width, Mapping):
        return {name: branch_width.get(name, hidden_size) for name in widths}
    if branch_width == AUTO:
        for name, n in n_components.items():
            width = min(2 * n, _MOST)
            widths[name] = max(hidden_size, width - width % n_heads)
    return widths
