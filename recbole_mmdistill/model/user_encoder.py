"""User encoders: items' vectors and histories in, one user state for each branch out.

Which branches read a history together is all that tells one from another: a new one is a line in
:data:`USER_ENCODERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import reduce

import torch
from torch import Tensor, nn

from .item_encoder import ID
from .layers import PositionIndex, gather_rows
from .sequence_encoder import SequenceEncoder


class UserEncoder(nn.Module):
    """A sequence encoder for each group of branches, which read a history together.

    A group's encoder reads the sum of its branches' vectors, and each of them keeps its own view
    of the next item by a linear map of the state. A branch by itself has an encoder of its own
    (ODMT, section 3.3) and no map.

    Encoders of one shape are one module where their class allows it, see
    :class:`.sequence_encoder.SequenceEncoder`.

    Parameters
    ----------
    groups : sequence of sequence of int
        Every branch of the model once.
    make_encoder : callable
        Makes a sequence encoder, with ``n_stacked=n`` one for n groups.
    is_stackable : bool
        Whether it can do so.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[int]],
        make_encoder: Callable[..., SequenceEncoder],
        is_stackable: bool = False,
    ) -> None:
        super().__init__()
        self.groups = [list(group) for group in groups]
        self.is_stacked = is_stackable
        self.is_separate = self.groups == [[branch] for branch in range(len(groups))]
        self._group_of = {branch: number for number, group in enumerate(groups) for branch in group}
        if is_stackable:
            encoders = [make_encoder(n_stacked=len(groups))]
        else:
            encoders = [make_encoder() for _ in groups]
        self.encoders = nn.ModuleList(encoders)
        self.maps = nn.ModuleList()
        size = encoders[0].hidden_size
        for branch in range(len(self._group_of)):
            alone = len(self.groups[self._group_of[branch]]) == 1
            self.maps.append(nn.Identity() if alone else nn.Linear(size, size))

    def reset_parameters(self) -> None:
        """Let the branches of a group begin with the same state."""
        for state_map in self.maps:
            if isinstance(state_map, nn.Linear):
                nn.init.eye_(state_map.weight)

    def gradients_of(self, branch: int) -> list[Tensor]:
        """Gradients of the parameters that serve one branch alone."""
        group = self._group_of[branch]
        own = list(self.maps[branch].parameters())
        if own or not self.is_stacked:
            parameters = own or self.encoders[group].parameters()
            return [p.grad for p in parameters if p.grad is not None]
        return [
            p.grad.unflatten(0, (len(self.groups), -1))[group]
            for p in self.encoders.parameters()
            if p.grad is not None
        ]

    @torch.no_grad()
    def part(self, groups: Sequence[int]) -> UserEncoder:
        """Give a copy that reads for some groups alone.

        Parameters
        ----------
        groups : sequence of int
            Places in ``groups``, rising.

        Returns
        -------
        UserEncoder
            Its branches are those of the groups, in the same order, numbered anew.
        """
        kept = [self.groups[group] for group in groups]
        branches = sorted(branch for group in kept for branch in group)
        part = deepcopy(self)
        part.groups = [[branches.index(branch) for branch in group] for group in kept]
        part.is_separate = part.groups == [[branch] for branch in range(len(kept))]
        part._group_of = {branch: n for n, group in enumerate(part.groups) for branch in group}
        part.maps = nn.ModuleList(part.maps[branch] for branch in branches)
        if not self.is_stacked:
            part.encoders = nn.ModuleList(part.encoders[group] for group in groups)
            return part
        for parameter in part.encoders.parameters():
            by_group = parameter.data.unflatten(0, (len(self.groups), -1))
            parameter.data = by_group[list(groups)].flatten(0, 1)
        for module in part.encoders.modules():
            if isinstance(module, nn.Conv1d):
                module.groups = len(kept)
        return part

    def forward(self, vectors: Tensor, index: Tensor, positions: PositionIndex) -> Tensor:
        """Read histories.

        Parameters
        ----------
        vectors : Tensor
            Items' vectors, ``[n_branches, n_items, hidden_size]``.
        index : Tensor
            Histories as rows of ``vectors``, ``[B, T]``.
        positions : tuple of Tensor
            History and position of each state that is wanted, ``[n_states]`` both.

        Returns
        -------
        Tensor
            ``[n_branches, n_states, hidden_size]``.
        """
        read = gather_rows(self._sums(vectors), index)
        if self.is_stacked:
            states = self.encoders[0](read, positions)
        else:
            of_group = [encoder(x, positions) for encoder, x in zip(self.encoders, read)]
            states = torch.stack(of_group)
        if self.is_separate:
            return states
        return torch.stack(
            [state_map(states[self._group_of[b]]) for b, state_map in enumerate(self.maps)]
        )

    def _sums(self, vectors: Tensor) -> Tensor:
        """What each group reads of each item, ``[n_groups, n_items, hidden_size]``."""
        if self.is_separate:
            return vectors
        return torch.stack(
            [reduce(torch.add, (vectors[branch] for branch in group)) for group in self.groups]
        )


def _separate(branches: Sequence[str]) -> list[list[int]]:
    return [[branch] for branch in range(len(branches))]


def _shared(branches: Sequence[str]) -> list[list[int]]:
    return [list(range(len(branches)))]


def _id_apart(branches: Sequence[str]) -> list[list[int]]:
    of_id = [branch for branch, name in enumerate(branches) if name == ID]
    others = [branch for branch, name in enumerate(branches) if name != ID]
    return [group for group in (of_id, others) if group]


# Each gives the groups of a model's branches.
USER_ENCODERS: dict[str, Callable[[Sequence[str]], list[list[int]]]] = {
    "separate": _separate,
    "shared": _shared,
    "id_apart": _id_apart,
}
