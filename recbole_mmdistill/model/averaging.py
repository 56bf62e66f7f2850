"""The running average of the weights, which evaluation uses instead of the last ones."""

from __future__ import annotations

import copy
import math
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .rows import RowEmbedding

_ROWS_AT_ONCE = 65_536
_LEAD = 3  # after n steps the average spans at most about n / 4 of them: it forgets the start

M = TypeVar("M", bound=nn.Module)


class WeightAverage(nn.Module):
    """Keeps the exponential moving average of a network's parameters, apart from the network.

    At a constant learning rate the weights circle around a good place; their average lies nearer
    to it (Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992;
    Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018).
    The averages are buffers, so a checkpoint has them beside the weights and no optimiser sees
    them.

    Parameters
    ----------
    network : nn.Module
        Whose parameters are averaged.
    decay : float
        Share of the average that a step leaves as it is, from 0 up to 1.
    """

    n_steps: Tensor  # steps that it has taken in

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        for name, parameter in network.named_parameters():
            self.register_buffer(_key(name), parameter.detach().clone())
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.long))
        self.taken = 0  # the same number, which the host need not ask a GPU for
        self._pairs: tuple[list[Tensor], list[Tensor]] | None = None
        self.register_load_state_dict_post_hook(lambda average, _: average._read_steps())
        # Rows that no step changes need no work but that of their next change: by then the average
        # has come nearer to them by the product of the decays since.
        self._log_decay = 0.0  # of all steps
        self._log_decay_of: dict[str, Tensor] = {
            name: torch.zeros(len(table.weight), dtype=torch.float64)
            for name, table in _tables(network)
        }

    def _read_steps(self) -> None:
        self.taken = int(self.n_steps)
        for of_row in self._log_decay_of.values():
            of_row.fill_(self._log_decay)

    def _apply(self, *args: Any, **kwargs: Any) -> WeightAverage:
        self._pairs = None
        return super()._apply(*args, **kwargs)

    def train(self, mode: bool = True) -> WeightAverage:
        """Look at the network anew, as is done when training begins or goes on."""
        self._pairs = None
        return super().train(mode)

    def average_of(self, name: str) -> Tensor:
        """Give the average of a parameter of the network, by its name."""
        return self.get_buffer(_key(name))

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the network's parameters as they are now into the average."""
        self.taken += 1
        self.n_steps += 1
        decay = min(self.decay, self.taken / (self.taken + _LEAD))
        if self._pairs is None:  # to find them takes as long as to average them
            named = dict(network.named_parameters())
            dense = [name for name in named if name not in self._log_decay_of]
            self._pairs = [self.average_of(n) for n in dense], [named[n] for n in dense]
        torch._foreach_lerp_(*self._pairs, 1 - decay)
        self._log_decay += math.log(decay) if decay else -math.inf
        for name, table in _tables(network):
            if table.touched is not None:
                self._approach(name, table.weight, table.touched)

    @torch.no_grad()
    def before_change(self, network: nn.Module) -> None:
        """Bring the averages of those rows up to date that the step to come is going to change."""
        for name, table in _tables(network):
            if table.touched is not None:
                self._approach(name, table.weight, table.touched)

    @torch.no_grad()
    def complete(self, network: nn.Module) -> None:
        """Bring the averages of all rows up to date."""
        for name, table in _tables(network):
            for rows in torch.arange(len(table.weight)).split(_ROWS_AT_ONCE):
                self._approach(name, table.weight, rows)

    def _approach(self, name: str, weight: Tensor, row: Tensor) -> None:
        """Bring the averages of some rows ``[n]`` to where the steps since have brought them."""
        of_row, average = self._log_decay_of[name], self.average_of(name)
        left = (self._log_decay - of_row[row]).exp().to(average.dtype)[:, None]
        average.index_copy_(0, row, torch.lerp(weight[row], average[row], left))
        of_row.index_fill_(0, row, self._log_decay)

    def averaged(self, network: M) -> M:
        """Give a copy of the network with the averages as its parameters.

        Parameters
        ----------
        network : nn.Module
            It stays as it is.

        Returns
        -------
        nn.Module
            It shares its memory with the averages, and its buffers with the network; its
            parameters ask for no gradient.
        """
        self.complete(network)
        copies: dict[int, Any] = {id(buffer): buffer for buffer in network.buffers()}
        for name, parameter in network.named_parameters():
            average = self.average_of(name)
            copies[id(parameter)] = nn.Parameter(average, requires_grad=False)
        return copy.deepcopy(network, copies)


def left_by_decay(n_steps: int, per_step: float, decay: float) -> tuple[float, float]:
    """Say what is left of a weight that no gradient changes, and of its average.

    Parameters
    ----------
    n_steps : int
        Steps of the training.
    per_step : float
        What a step's weight decay leaves.
    decay : float
        Of the average, see :class:`WeightAverage`.

    Returns
    -------
    weight, average : float
        Factors of where it began.
    """
    weight = average = 1.0
    for step in range(1, n_steps + 1):
        weight *= per_step
        share = min(decay, step / (step + _LEAD))
        average = share * average + (1 - share) * weight
    return weight, average


def _tables(network: nn.Module) -> list[tuple[str, RowEmbedding]]:
    """Tables whose rows are updated, with the names of their weights."""
    modules = network.named_modules()
    return [(f"{name}.weight", table) for name, table in modules if isinstance(table, RowEmbedding)]


def _key(name: str) -> str:
    return name.replace(".", "/")  # a buffer's name has no dot
