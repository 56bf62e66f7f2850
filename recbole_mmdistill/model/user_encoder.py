"""User encoders: items' vectors and histories in, one user state for each branch out.

A new one is a subclass of :class:`UserEncoder` and a line in :data:`USER_ENCODERS`;
``tests/model/test_user_encoder.py`` proves it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .layers import gather_rows
from .sequence_encoder import SequenceEncoder


class UserEncoder(nn.Module):
    """What every user encoder keeps: it is causal, and of the branches named it leaves out none.

    Parameters
    ----------
    n_branches : int
        Branches of the model.
    make_encoder : callable
        Makes a sequence encoder.
    """

    def __init__(self, n_branches: int, make_encoder: Callable[[], SequenceEncoder]) -> None:
        super().__init__()

    def start(self) -> None:
        """Set weights that are to begin otherwise than by RecBole's normal draw."""

    def parameters_of(self, branch: int) -> list[nn.Parameter]:
        """The parameters that serve one branch alone."""
        raise NotImplementedError

    def forward(
        self, vectors: Tensor, place: Tensor, at: tuple[Tensor, Tensor], branches: Sequence[int]
    ) -> Tensor:
        """Read histories.

        Parameters
        ----------
        vectors : Tensor
            Items' vectors, ``[n_branches, n_items, hidden_size]``.
        place : Tensor
            Histories as rows of ``vectors``, ``[B, T]``.
        at : tuple of Tensor
            History and position of each state that is wanted, ``[n_states]`` both.
        branches : sequence of int
            Branches that are wanted.

        Returns
        -------
        Tensor
            ``[len(branches), n_states, hidden_size]``.
        """
        raise NotImplementedError


class SharedUserEncoder(UserEncoder):
    """One pass over all that the sources say of a history, and a linear map for each branch.

    Each branch knows the whole history, and keeps its own view of the next item: a text that
    was never bought with another can be told from the IDs bought before it. One pass costs about
    as much as a model of the ID alone.
    """

    def __init__(self, n_branches: int, make_encoder: Callable[[], SequenceEncoder]) -> None:
        super().__init__(n_branches, make_encoder)
        self.encoder = make_encoder()
        size = self.encoder.hidden_size
        self.maps = nn.ModuleList(
            nn.Linear(size, size) if n_branches > 1 else nn.Identity() for _ in range(n_branches)
        )

    def start(self) -> None:
        """Let the branches begin with the same state."""
        for state_map in self.maps:
            if isinstance(state_map, nn.Linear):
                nn.init.eye_(state_map.weight)

    def parameters_of(self, branch: int) -> list[nn.Parameter]:
        """See :class:`UserEncoder`."""
        return list(self.maps[branch].parameters())

    def forward(
        self, vectors: Tensor, place: Tensor, at: tuple[Tensor, Tensor], branches: Sequence[int]
    ) -> Tensor:
        """See :class:`UserEncoder`."""
        state = self.encoder(gather_rows(vectors.sum(0), place))[at]
        return torch.stack([self.maps[branch](state) for branch in branches])


class SeparateUserEncoder(UserEncoder):
    """Each branch reads its own source of a history with an encoder of its own (ODMT, 3.3)."""

    def __init__(self, n_branches: int, make_encoder: Callable[[], SequenceEncoder]) -> None:
        super().__init__(n_branches, make_encoder)
        self.encoders = nn.ModuleList(make_encoder() for _ in range(n_branches))

    def parameters_of(self, branch: int) -> list[nn.Parameter]:
        """See :class:`UserEncoder`."""
        return list(self.encoders[branch].parameters())

    def forward(
        self, vectors: Tensor, place: Tensor, at: tuple[Tensor, Tensor], branches: Sequence[int]
    ) -> Tensor:
        """See :class:`UserEncoder`."""
        return torch.stack(
            [self.encoders[branch](gather_rows(vectors[branch], place))[at] for branch in branches]
        )


USER_ENCODERS: dict[str, type[UserEncoder]] = {
    "shared": SharedUserEncoder,
    "separate": SeparateUserEncoder,
}
