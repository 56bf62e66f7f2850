"""The running average of the weights, which evaluation uses instead of the last ones."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

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
        self.register_load_state_dict_post_hook(lambda average, _: average._read_steps())

    def _read_steps(self) -> None:
        self.taken = int(self.n_steps)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the network's parameters as they are now into the average."""
        self.taken += 1
        self.n_steps += 1
        decay = min(self.decay, self.taken / (self.taken + _LEAD))
        names, weights = zip(*network.named_parameters())
        averages = [self.get_buffer(_key(name)) for name in names]
        torch._foreach_lerp_(averages, [weight.detach() for weight in weights], 1 - decay)

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
        copies: dict[int, Any] = {id(buffer): buffer for buffer in network.buffers()}
        for name, parameter in network.named_parameters():
            average = self.get_buffer(_key(name))
            copies[id(parameter)] = nn.Parameter(average, requires_grad=False)
        return copy.deepcopy(network, copies)


def _key(name: str) -> str:
    return name.replace(".", "/")  # a buffer's name has no dot
