"""Large tables of which a step changes a few rows: no step costs what the whole table would.

The optimiser is Adam, and touches the rows that a step has read. Decays of a row's moments and of
its weights (``weight_decay``) are made up for when it is read next, for all steps since. What is
left out is the little way that a dense Adam goes on without a gradient, by the momentum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RowEmbedding(nn.Embedding):
    """An embedding whose gradient holds the rows that were read, and nothing else.

    Attributes
    ----------
    touched : Tensor or None
        The rows that were last read in training mode, distinct.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__(num_embeddings, embedding_dim, sparse=True)
        self.touched: Tensor | None = None

    def forward(self, index: Tensor) -> Tensor:
        """Vectors of the rows ``index`` (any shape)."""
        return F.embedding(index, self.weight, sparse=self.training and torch.is_grad_enabled())


class _RowOptimizer:
    """Adds to a torch optimiser of Adam's kind what is done for sparse gradients."""

    is_decoupled = True
    state: Any
    param_groups: list[dict[str, Any]]

    @torch.no_grad()
    def step_rows(self, *_: Any) -> None:
        """Update the rows of every sparse gradient, and take it away."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._step_rows(parameter, group)
                    parameter.grad = None

    def _step_rows(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        gradient = parameter.grad.coalesce()
        row, grad = gradient.indices()[0], gradient.values()
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
            state["last"] = torch.zeros(len(parameter), device=parameter.device)
        state["step"] += 1
        step = float(state["step"])
        lr, decay, (beta1, beta2) = group["lr"], group["weight_decay"], group["betas"]
        since = (step - state["last"][row])[:, None]
        weight = parameter[row]
        if self.is_decoupled:
            weight *= (1 - lr * decay) ** since
        elif decay:
            grad = grad + decay * weight
        mean = state["exp_avg"][row] * beta1**since + (1 - beta1) * grad
        square = state["exp_avg_sq"][row] * beta2**since + (1 - beta2) * grad * grad
        deviation = square.sqrt().div_((1 - beta2**step) ** 0.5).add_(group["eps"])
        weight.addcdiv_(mean, deviation, value=-lr / (1 - beta1**step))
        parameter.index_copy_(0, row, weight)
        state["exp_avg"].index_copy_(0, row, mean)
        state["exp_avg_sq"].index_copy_(0, row, square)
        state["last"].index_fill_(0, row, step)


class RowAdam(_RowOptimizer, torch.optim.Adam):
    """``torch.optim.Adam``, fused, that updates the rows of a :class:`RowEmbedding` alone."""

    is_decoupled = False

    def __init__(self, params: Any, lr: float, weight_decay: float) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, fused=True)
        self.register_step_pre_hook(self.step_rows)


class RowAdamW(_RowOptimizer, torch.optim.AdamW):
    """``torch.optim.AdamW``, in the same way."""

    def __init__(self, params: Any, lr: float, weight_decay: float) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, fused=True)
        self.register_step_pre_hook(self.step_rows)


# What takes the place of torch's own.
OPTIMIZERS: dict[type, Any] = {torch.optim.Adam: RowAdam, torch.optim.AdamW: RowAdamW}
