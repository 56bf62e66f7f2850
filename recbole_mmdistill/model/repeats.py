"""Repeats: a learned bias on the scores of items that the history holds already."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

# Adam moves a weight by about the learning rate a step, and a log-odds has farther to go than
# weights that begin near 0.02.
_LEARNING_RATE_FACTOR = 10.0


class RepeatCandidates(NamedTuple):
    """The candidates that a row's own history holds, and what is added to their scores.

    Attributes
    ----------
    position : Tensor
        ``[n_rows, T]``, positions among the candidates. Each is named at least once; the rest of
        a row names one of them again, or a position that gets the bias 0 if there are none.
    bias : Tensor
        ``[n_rows, T]``; the same wherever a row names the same position.
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
    """

    def __init__(self, max_length: int) -> None:
        super().__init__()
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
        return torch.where(latest, self.weight[doubling] * _LEARNING_RATE_FACTOR, 0.0), latest

    def candidates(
        self, item_seq: Tensor, row: Tensor, position: Tensor, index: Tensor, n_candidates: int
    ) -> RepeatCandidates:
        """Find the candidates that histories hold.

        Parameters
        ----------
        item_seq, row, position
            As for :meth:`forward`.
        index : Tensor
            Position of each item id among the candidates, ``[n_items]``; one outside
            ``0 .. n_candidates - 1`` is of none.
        n_candidates : int
            How many candidates there are.

        Returns
        -------
        RepeatCandidates
        """
        bias, latest = self(item_seq, row, position)
        found = index[item_seq][row]
        known = latest & (found >= 0) & (found < n_candidates)
        # What is left of a row says once more, without gradient, what its last known item says.
        last = (known * torch.arange(1, known.size(1) + 1, device=known.device)).argmax(1)[:, None]
        some = known.any(1, keepdim=True)
        filler = torch.where(some, found.gather(1, last), 0)
        filler_bias = torch.where(some, bias.detach().gather(1, last), 0.0)
        return RepeatCandidates(
            torch.where(known, found, filler), torch.where(known, bias, filler_bias)
        )


def _next_occurrence(item_seq: Tensor) -> Tensor:
    """Where each item of a history comes next, ``[B, T]``; T if it does not."""
    length = item_seq.size(1)
    in_order, order = item_seq.sort(dim=1, stable=True)
    following = torch.full_like(order, length)
    again = in_order[:, 1:] == in_order[:, :-1]
    following[:, :-1] = torch.where(again, order[:, 1:], length)
    return torch.empty_like(order).scatter_(1, order, following)
