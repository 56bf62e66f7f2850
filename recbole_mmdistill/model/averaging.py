"""The running average of the weights, which validation and test see instead of the last ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

_LEAD = 3  # after n steps the average spans at most about n / 4 of them: it forgets the start


class WeightAverage(nn.Module):
    """Keeps the exponential moving average of a model's parameters, and changes places with them.

    At a constant learning rate the weights circle around a good place; their average lies nearer
    to it (Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992;
    Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018).
    RecBole's trainer knows one set of weights; so for evaluation the average stands in the
    parameters and the weights to train stand here, and a checkpoint keeps both and which is which.

    Parameters
    ----------
    model : nn.Module
        Whose parameters are averaged; not yet the parent of this module.
    decay : float
        Share of the average that a step leaves as it is, from 0 up to 1.
    """

    in_use: Tensor  # whether the average stands in the model's parameters
    n_steps: Tensor  # steps that it has taken in

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self._parameters_of = [model]  # in a list, so that the model is not registered as a child
        self._names = []
        for name, parameter in model.named_parameters():
            self._names.append(name.replace(".", "/"))
            self.register_buffer(self._names[-1], parameter.detach().clone())
        self.register_buffer("in_use", torch.tensor(False))
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def add(self) -> None:
        """Take the parameters as they are now into the average."""
        self.n_steps += 1
        n_steps = int(self.n_steps)
        decay = min(self.decay, n_steps / (n_steps + _LEAD))
        get_ema_multi_avg_fn(decay)(self._kept(), self._weights(), n_steps)

    @torch.no_grad()
    def use(self, wanted: bool) -> None:
        """Let the average stand in the model's parameters, or the weights to train."""
        if bool(self.in_use) == wanted or not self.n_steps:
            return
        for weight, kept in zip(self._weights(), self._kept()):
            weight_before = weight.clone()
            weight.copy_(kept)
            kept.copy_(weight_before)
        self.in_use.fill_(wanted)

    def _weights(self) -> list[Tensor]:
        (model,) = self._parameters_of
        return [parameter.detach() for parameter in model.parameters()]

    def _kept(self) -> list[Tensor]:
        return [self.get_buffer(name) for name in self._names]
