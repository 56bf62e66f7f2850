"""A softmax of which several losses and their gradients ask."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Softmax(NamedTuple):
    """A softmax with all that is asked of it: its logarithm is ``logits - log_sum``.

    Attributes
    ----------
    logits, probability : Tensor
        ``[n_block, n_candidates]``.
    log_sum : Tensor
        Logarithm of the sum of the logits' exponentials, ``[n_block, 1]``.
    """

    logits: Tensor
    probability: Tensor
    log_sum: Tensor

    @classmethod
    def of(cls, logits: Tensor) -> Softmax:
        """Give the softmax of logits ``[n_block, n_candidates]``."""
        # Torch's fused softmax takes half the time of its parts; the sum it keeps to itself is
        # known from any candidate, best from the likeliest.
        probability = torch.softmax(logits, 1)
        log_sum = logits.amax(1, keepdim=True) - probability.amax(1, keepdim=True).log()
        return cls(logits, probability, log_sum)

    def tempered(self, tau: float, log_q: Tensor | None) -> Softmax:
        """Give the softmax at a temperature; the correction by ``log_q`` is not divided by it.

        For that correction undoes the sampling, whatever the temperature. At the temperature 2,
        the default, the exponentials' roots are at hand; what has underflown has none, which for
        a probability below 1e-38 does not matter.
        """
        if tau == 1:
            return Softmax(self.logits, self.probability.clone(), self.log_sum)
        logits = self.logits / tau
        if log_q is not None:
            logits -= log_q * (1 - 1 / tau)
        if tau != 2:
            return Softmax.of(logits)
        root = self.probability.sqrt()
        if log_q is not None:
            root *= (-log_q / 2).exp()
        mass = root.sum(1, keepdim=True)
        return Softmax(logits, root / mass, self.log_sum / 2 + mass.log())

    def without(self, absent: Tensor) -> Softmax:
        """Give the distribution in which no candidate of ``absent`` ``[n_candidates]`` occurs."""
        if not bool(absent.any()):
            return self
        probability = self.probability.masked_fill(absent, 0)
        mass = probability.sum(1, keepdim=True).clamp(min=1e-30)
        return Softmax(self.logits, probability / mass, self.log_sum + mass.log())
