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
from .widths import BranchTensor, stack, unstack


class UserEncoder(nn.Module):
    """A sequence encoder for each group of branches, which read a history together.

    A group's encoder reads the sum of its branches' vectors, and each of them keeps its own view
    of the next item by a linear map of the state. It is as wide as the widest of them; the vectors
    of the others are mapped to this width, and the map of the state leads back. A branch by itself
    has an encoder of its own (ODMT, section 3.3) and no map.

    Encoders of one width are one module where their class allows it, see
    :class:`.sequence_encoder.SequenceEncoder`.

    Parameters
    ----------
    groups : sequence of sequence of int
        Every branch of the model once.
    widths : sequence of int
        Of each branch's vectors and states.
    make_encoder : callable
        Makes a sequence encoder of a ``hidden_size``, with ``n_stacked=n`` one for n groups.
    is_stackable : bool
        Whether it can do so.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[int]],
        widths: Sequence[int],
        make_encoder: Callable[..., SequenceEncoder],
        is_stackable: bool = False,
    ) -> None:
        super().__init__()
        self.is_stacked = is_stackable
        self.widths = list(widths)
        self.groups = [list(group) for group in groups]
        self._arrange()
        sizes = [self._size(group) for group in self.groups]
        self.encoders = nn.ModuleList(
            make_encoder(hidden_size=sizes[together[0]], n_stacked=len(together))
            if is_stackable
            else make_encoder(hidden_size=sizes[together[0]])
            for together in self.read_by
        )
        self.maps, self.entries = nn.ModuleList(), nn.ModuleList()
        for branch, width in enumerate(self.widths):
            group = self.groups[self._group_of[branch]]
            size = self._size(group)
            self.maps.append(nn.Identity() if len(group) == 1 else nn.Linear(size, width))
            self.entries.append(nn.Identity() if width == size else nn.Linear(width, size))

    def _arrange(self) -> None:
        """Find what follows from the groups and the widths."""
        self._group_of = {b: number for number, group in enumerate(self.groups) for b in group}
        self.is_separate = self.groups == [[branch] for branch in range(len(self.groups))]
        # Groups of each encoder, and each group's encoder and place among its groups.
        self.read_by = [[number] for number in range(len(self.groups))]
        if self.is_stacked:
            by_size: dict[int, list[int]] = {}
            for number, group in enumerate(self.groups):
                by_size.setdefault(self._size(group), []).append(number)
            self.read_by = [together for _, together in sorted(by_size.items())]
        self._place_of = {
            group: (encoder, place)
            for encoder, together in enumerate(self.read_by)
            for place, group in enumerate(together)
        }

    def _size(self, group: Sequence[int]) -> int:
        return max(self.widths[branch] for branch in group)

    def reset_parameters(self) -> None:
        """Let the branches of a group begin with the same state, and be read as they are."""
        for linear in (*self.maps, *self.entries):
            if isinstance(linear, nn.Linear):
                nn.init.eye_(linear.weight)

    def gradients_of(self, branch: int) -> list[Tensor]:
        """Gradients of the parameters that serve one branch alone."""
        group = self._group_of[branch]
        own = list(self.maps[branch].parameters())
        encoder, place = self._place_of[group]
        if own or not self.is_stacked:
            parameters = own or self.encoders[encoder].parameters()
            return [p.grad for p in parameters if p.grad is not None]
        return [
            p.grad.unflatten(0, (len(self.read_by[encoder]), -1))[place]
            for p in self.encoders[encoder].parameters()
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
        encoders = []
        for encoder, together in zip(part.encoders, self.read_by):
            places = [place for place, group in enumerate(together) if group in groups]
            if places:
                encoders.append(encoder)
            if places and self.is_stacked:
                _keep(encoder, len(together), places)
        part.encoders = nn.ModuleList(encoders)
        part.maps = nn.ModuleList(part.maps[branch] for branch in branches)
        part.entries = nn.ModuleList(part.entries[branch] for branch in branches)
        part.widths = [self.widths[branch] for branch in branches]
        part.groups = [[branches.index(branch) for branch in group] for group in kept]
        part._arrange()
        return part

    def forward(
        self, vectors: BranchTensor, index: Tensor, positions: PositionIndex
    ) -> BranchTensor:
        """Read histories.

        Parameters
        ----------
        vectors : BranchTensor
            Items' vectors, ``[n_branches, n_items, width]``.
        index : Tensor
            Histories as rows of ``vectors``, ``[B, T]``.
        positions : tuple of Tensor
            History and position of each state that is wanted, ``[n_states]`` both.

        Returns
        -------
        BranchTensor
            ``[n_branches, n_states, width]``.
        """
        tables = self._sums(unstack(vectors))
        return self._states(
            lambda groups: gather_rows([tables[g] for g in groups], index), positions
        )

    def read(self, vectors: Sequence[Tensor], positions: PositionIndex) -> BranchTensor:
        """Read histories of which the items' vectors themselves are given.

        Parameters
        ----------
        vectors : sequence of Tensor
            Of each branch, ``[B, T, width]``.
        positions : tuple of Tensor
            As for :meth:`forward`, whose result this gives.
        """
        sums = self._sums(vectors)
        return self._states(lambda groups: torch.stack([sums[g] for g in groups]), positions)

    def _states(
        self, histories_of: Callable[[Sequence[int]], Tensor], positions: PositionIndex
    ) -> BranchTensor:
        """States of all branches, from what some groups read, ``[n_groups, B, T, size]``."""
        of_encoder = []
        for encoder, together in zip(self.encoders, self.read_by):
            histories = histories_of(together)
            if self.is_stacked:
                of_encoder.append(encoder(histories, positions))
            else:
                of_encoder.append(encoder(histories[0], positions)[None])
        if self.is_separate and len(of_encoder) == 1:
            return of_encoder[0]
        places = (self._place_of[group] for group in range(len(self.groups)))
        of_group = [of_encoder[encoder][place] for encoder, place in places]
        return stack(
            state_map(of_group[self._group_of[b]]) for b, state_map in enumerate(self.maps)
        )

    def _sums(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """What each group reads of each item, ``[..., size]`` for each group."""
        return [
            reduce(torch.add, (self.entries[branch](vectors[branch]) for branch in group))
            for group in self.groups
        ]


def _keep(stacked: nn.Module, n_stacked: int, places: Sequence[int]) -> None:
    """Keep some of the networks of a stack."""
    for parameter in stacked.parameters():
        parameter.data = parameter.data.unflatten(0, (n_stacked, -1))[[*places]].flatten(0, 1)
    for module in stacked.modules():
        if isinstance(module, nn.Conv1d):
            module.groups = len(places)


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
