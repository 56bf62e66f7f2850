"""User encoders: items' vectors and histories in, one user state for each branch out.

Which branches read a history together is all that tells one from another: a new one is a line in
:data:`USER_ENCODERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    Parameters
    ----------
    groups : sequence of sequence of int
        Every branch of the model once.
    make_encoder : callable
        Makes a sequence encoder.
    """

    def __init__(
        self, groups: Sequence[Sequence[int]], make_encoder: Callable[[], SequenceEncoder]
    ) -> None:
        super().__init__()
        self.groups = [list(group) for group in groups]
        self._group_of = {branch: number for number, group in enumerate(groups) for branch in group}
        encoders = [make_encoder() for _ in groups]
        self.encoders = nn.ModuleList(encoders)
        self.maps = nn.ModuleList()
        for branch in range(len(self._group_of)):
            group = self._group_of[branch]
            size = encoders[group].hidden_size
            alone = len(self.groups[group]) == 1
            self.maps.append(nn.Identity() if alone else nn.Linear(size, size))

    def reset_parameters(self) -> None:
        """Let the branches of a group begin with the same state."""
        for state_map in self.maps:
            if isinstance(state_map, nn.Linear):
                nn.init.eye_(state_map.weight)

    def parameters_of(self, branch: int) -> list[nn.Parameter]:
        """The parameters that serve one branch alone."""
        of_map = list(self.maps[branch].parameters())
        return of_map or list(self.encoders[self._group_of[branch]].parameters())

    def forward(
        self,
        vectors: Tensor,
        index: Tensor,
        positions: PositionIndex,
        branches: Sequence[int],
    ) -> Tensor:
        """Read histories.

        Parameters
        ----------
        vectors : Tensor
            Items' vectors, ``[n_branches, n_items, hidden_size]``.
        index : Tensor
            Histories as rows of ``vectors``, ``[B, T]``.
        positions : tuple of Tensor
            History and position of each state that is wanted, ``[n_states]`` both.
        branches : sequence of int
            Branches that are wanted.

        Returns
        -------
        Tensor
            ``[len(branches), n_states, hidden_size]``.
        """
        state = {
            group: self.encoders[group](gather_rows(self._sum(vectors, group), index), positions)
            for group in dict.fromkeys(self._group_of[branch] for branch in branches)
        }
        return torch.stack(
            [self.maps[branch](state[self._group_of[branch]]) for branch in branches]
        )

    def _sum(self, vectors: Tensor, group: int) -> Tensor:
        """What a group's encoder reads of each item, ``[n_items, hidden_size]``."""
        return reduce(torch.add, (vectors[branch] for branch in self.groups[group]))


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
