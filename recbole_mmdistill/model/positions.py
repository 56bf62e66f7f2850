"""Which positions of a batch of histories are read, with no padding computed in vain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import UserError
from . import device

_WORTH_SPLITTING = 0.1  # share of padding below which one encoder call is cheaper than several
_N_GROUPS = 4


class Group(NamedTuple):
    """Histories of like length, which the sequence encoders read in one call.

    Attributes
    ----------
    row : Tensor or None
        The histories' rows in the batch, ``[n_histories]``; None: all.
    seq_len : int
        How many of their positions are read.
    row_index, position_index : Tensor
        Where a next item is predicted, ``[n_targets]`` each; ``row_index`` counts in ``row``.
    """

    row: Tensor | None
    seq_len: int
    row_index: Tensor
    position_index: Tensor


@dataclass(frozen=True)
class Positions:
    """All predictions of a batch.

    Attributes
    ----------
    groups : list of Group
        The batch's histories, group by group.
    target : Tensor
        True next items in the groups' order, ``[n_targets]``.
    row, position : Tensor
        Each prediction's row in the batch and the last position that it reads, ``[n_targets]``.
    real : Tensor or None
        Bool ``[n_targets]``, False for one that only fills the tensors up to a size that was
        recorded (:mod:`.recorded`); its target is 0. None: all are real.
    """

    groups: list[Group]
    target: Tensor
    row: Tensor
    position: Tensor
    real: Tensor | None = None


def find_positions(target_seq: Tensor) -> Positions:
    """Find the positions that have a target, and the calls that reach them.

    Positions after a history's last target are never read: the encoders are causal.

    Parameters
    ----------
    target_seq : Tensor
        Next item at every position, ``[batch_size, seq_len]``; 0 where there is none.

    Returns
    -------
    Positions
    """
    if not device.on_host(target_seq):
        return positions_at(target_seq, *target_seq.nonzero(as_tuple=True))
    seq_len = target_seq.size(1)
    length = ((target_seq > 0) * torch.arange(1, seq_len + 1)).amax(1)
    groups, targets, rows, positions = [], [], [], []
    for row in _split_by_length(length):
        longest = int(length[row].max())
        part = target_seq[row, :longest]
        row_index, position_index = part.nonzero(as_tuple=True)
        groups.append(Group(row, longest, row_index, position_index))
        targets.append(part[row_index, position_index])
        rows.append(row[row_index])
        positions.append(position_index)
    return Positions(groups, torch.cat(targets), torch.cat(rows), torch.cat(positions))


def positions_at(
    target_seq: Tensor, row: Tensor, position: Tensor, real: Tensor | None = None
) -> Positions:
    """Say where the targets are, where this is known: all histories are read in one call.

    Parameters
    ----------
    target_seq : Tensor
        Next item at every position, ``[batch_size, seq_len]``.
    row, position : Tensor
        The places of the targets in it, ``[n_targets]`` each.
    real : Tensor, optional
        See :class:`Positions`.

    Returns
    -------
    Positions
    """
    group = Group(None, target_seq.size(1), row, position)
    target = target_seq[row, position]
    if real is not None:
        target = target * real
    return Positions([group], target, row, position, real)


def _split_by_length(length: Tensor) -> list[Tensor]:
    """Rows of the batch in groups of like length, histories without any target left out."""
    longest = int(length.max())
    if longest == 0:
        raise ValueError("The batch has no target at all.")
    used = (length > 0).nonzero().flatten()
    padding = 1 - length.sum().item() / (len(used) * longest)
    if padding < _WORTH_SPLITTING:
        return [used]
    group = (length[used] * _N_GROUPS - 1) // longest
    return [used[group == number] for number in group.unique().tolist()]


def last_items(item_seq: Tensor, length: Tensor, max_length: int) -> tuple[Tensor, Tensor]:
    """Cut histories to their last items, and to no more padding than the longest of them needs.

    Parameters
    ----------
    item_seq : Tensor
        Histories, ``[B, T]``, 0 = padding on the right.
    length : Tensor
        ``[B]``, from 0 to T.
    max_length : int
        How many items of a history are kept at most.

    Returns
    -------
    item_seq : Tensor
        ``[B, longest]``, at least one wide.
    length : Tensor
        ``[B]``, at most ``max_length``.

    Raises
    ------
    UserError
        A length is below 0, or beyond the histories' width.
    """
    shortest, longest = torch.stack(length.aminmax()).tolist()
    if shortest < 0 or longest > item_seq.size(1):
        raise UserError(
            f"Lengths of histories are from {shortest} to {longest}, but they are "
            f"{item_seq.size(1)} wide.",
            "Give the number of items that each row begins with.",
        )
    if longest == 0:
        return item_seq.new_zeros(len(item_seq), 1, dtype=torch.long), length
    if longest <= max_length:
        return item_seq[:, :longest], length
    skipped = (length - max_length).clamp(min=0)
    place = skipped[:, None] + torch.arange(max_length, device=item_seq.device)
    return item_seq.gather(1, place), length - skipped
