"""Repeats: a learned bias on the scores of items that the history holds already."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RepeatCandidates(NamedTuple):
    """The candidates that a row's own history holds, and what is added to their scores.

    Attributes
    ----------
    position : Tensor
        ``[n_rows, T]``, positions among the candidates, each named once; the rest of a row is
        ``n_candidates``, which stands for none.
    bias : Tensor
        ``[n_rows, T]``.
    """

    position: Tensor
    bias: Tensor


class RepeatBias(nn.Module):
    """A learned bias on the scores of the history's own items, by how long ago they came.

    Next to all models that score by likeness of vectors rank an item high right after it was
    chosen. Whether it is chosen again is a matter of the domain: never with films, often with
    groceries, and the less the longer ago (Anderson et al., "The dynamics of repeat consumption",
    WWW 2014). One bias for each doubling of the distance, the same for all items and branches,
    learns it from the cross entropy.

    Parameters
    ----------
    max_length : int
        Longest history.
    rate : float
        What the learning rate is multiplied by for it. Adam moves a weight by about the learning
        rate a step, and a log-odds has farther to go than weights that begin near 0.02.
    """

    def __init__(self, max_length: int, rate: float = 10.0) -> None:
        super().__init__()
        self.rate = rate
        self.weight = nn.Parameter(torch.zeros(int(math.log2(max(max_length, 1))) + 1))

    def forward(self, item_seq: Tensor, row: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Give the bias of each item of some histories, read up to a position.

        Parameters
        ----------
        item_seq : Tensor
            Histories, ``[B, T]``, 0 = padding.
        row, position : Tensor
            ``[n_rows]``: a history, and its last position that is read.

        Returns
        -------
        bias : Tensor
            ``[n_rows, T]``; 0 where ``latest`` is false.
        latest : Tensor
            Bool ``[n_rows, T]``: where an item stands for the last time.
        """
        column = torch.arange(item_seq.size(1), device=item_seq.device)
        distance = position[:, None] - column  # 0 is the last item that was read
        latest = (distance >= 0) & (_next_occurrence(item_seq)[row] > position[:, None])
        latest &= item_seq[row] > 0
        doubling = torch.log2(distance.clamp(min=0) + 1.0).long()
        bias = F.embedding(doubling, self.weight[:, None])[..., 0] * self.rate
        return torch.where(latest, bias, 0.0), latest

    def candidates(
        self, item_seq: Tensor, row: Tensor, position: Tensor, index: Tensor, n_candidates: int
    ) -> RepeatCandidates:
        """Find the candidates that histories hold.

        Parameters
        ----------
        item_seq, row, position
            As for :meth:`forward`.
        index : Tensor
            Position of each item id among the candidates, ``[n_items]``; ``n_candidates`` for one
            that is none.
        n_candidates : int
            How many candidates there are.

        Returns
        -------
        RepeatCandidates
        """
        bias, latest = self(item_seq, row, position)
        return RepeatCandidates(torch.where(latest, index[item_seq][row], n_candidates), bias)


def _next_occurrence(item_seq: Tensor) -> Tensor:
    """Where each item of a history comes next, ``[B, T]``; T if it does not."""
    length = item_seq.size(1)
    in_order, order = item_seq.sort(dim=1, stable=True)
    following = torch.full_like(order, length)
    again = in_order[:, 1:] == in_order[:, :-1]
    following[:, :-1] = torch.where(again, order[:, 1:], length)
    return torch.empty_like(order).scatter_(1, order, following)
