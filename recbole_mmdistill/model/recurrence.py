"""Gated recurrent layers of several branches, all of which take a step at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from . import device


class GRUStack(nn.Module):
    """``n`` gated recurrent networks of one shape, each for its own slice of the input.

    Equations and parameters are those of ``torch.nn.GRU``, with the axis of the networks first.

    Parameters
    ----------
    n : int
        How many.
    in_size, hidden_size : int
        Widths of input and state.
    n_layers : int
        Layers on top of one another in each.
    """

    def __init__(self, n: int, in_size: int, hidden_size: int, n_layers: int = 1) -> None:
        super().__init__()
        self.n_layers = n_layers
        bound = 1 / math.sqrt(hidden_size)  # as nn.GRU does
        for layer in range(n_layers):
            read = hidden_size if layer else in_size
            for name, shape in {
                "weight_ih": (n, 3 * hidden_size, read),
                "weight_hh": (n, 3 * hidden_size, hidden_size),
                "bias_ih": (n, 3 * hidden_size),
                "bias_hh": (n, 3 * hidden_size),
            }.items():
                weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
                self.register_parameter(f"{name}_l{layer}", weight)

    def forward(self, x: Tensor) -> Tensor:
        """Read ``[n, batch_size, seq_len, in_size]``: states ``[..., hidden_size]``, from 0 on."""
        layers = [
            tuple(
                self.get_parameter(f"{name}_l{layer}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            for layer in range(self.n_layers)
        ]
        if not device.on_host(x):
            return as_one_network(x, layers)
        for layer in layers:
            x = step_by_step(x, *layer)
        return x


def as_one_network(x: Tensor, layers: Sequence[Sequence[Tensor]]) -> Tensor:
    """Read with one network of ``n`` times the width, whose weights are blocks: one call of cuDNN.

    Most of its products are with zeros. But on a GPU a recurrence takes the time of its launches.

    Parameters
    ----------
    x : Tensor
        ``[n, batch_size, seq_len, in_size]``.
    layers : sequence of sequence of Tensor
        ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh`` of each.

    Returns
    -------
    Tensor
        States, ``[n, batch_size, seq_len, hidden_size]``.
    """
    n, batch_size, seq_len, _ = x.shape
    hidden_size = layers[0][1].size(-1)
    same = torch.eye(n, dtype=x.dtype, device=x.device)[:, None, :, None]
    weights = []
    for layer in layers:
        # Gates are outermost in torch's order: [3, n, hidden_size] rows, [n, read] columns.
        for weight in layer[:2]:
            blocks = weight.view(n, 3, hidden_size, 1, -1).transpose(0, 1) * same
            weights.append(blocks.flatten())
        weights += [bias.view(n, 3, hidden_size).transpose(0, 1).flatten() for bias in layer[2:]]
    shapes = [
        shape
        for weight_ih, *_ in layers
        for shape in (
            (3 * n * hidden_size, n * weight_ih.size(-1)),
            (3 * n * hidden_size, n * hidden_size),
            (3 * n * hidden_size,),
            (3 * n * hidden_size,),
        )
    ]
    # Parts of one piece of memory, in cuDNN's order, which it then need not copy.
    sizes = [weight.numel() for weight in weights]
    parts = [p.view(s) for p, s in zip(torch.cat(weights).split(sizes), shapes)]
    read = x.permute(1, 2, 0, 3).flatten(2)
    start = x.new_zeros(len(layers), batch_size, n * hidden_size)
    states, _ = torch._VF.gru(  # type: ignore[attr-defined]
        read, start, parts, True, len(layers), 0.0, torch.is_grad_enabled(), False, True
    )
    return states.view(batch_size, seq_len, n, hidden_size).permute(2, 0, 1, 3)


def step_by_step(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> Tensor:
    """Read with one layer, a position after the other, all networks at once.

    Parameters
    ----------
    x : Tensor
        ``[n, batch_size, seq_len, in_size]``.
    weight_ih, weight_hh, bias_ih, bias_hh : Tensor
        As torch's, for each network.

    Returns
    -------
    Tensor
        States, ``[n, batch_size, seq_len, hidden_size]``.
    """
    n, batch_size, seq_len, _ = x.shape
    # In the order of time, so that a step's rows lie together.
    by_time = x.transpose(1, 2).flatten(1, 2)
    gates = torch.baddbmm(bias_ih[:, None], by_time, weight_ih.mT)
    gates = gates.view(n, seq_len, batch_size, -1)
    return _Recurrence.apply(gates.to(weight_hh.dtype), weight_hh, bias_hh).transpose(1, 2)


class _Recurrence(torch.autograd.Function):
    """What a GRU does step by step; its gradient takes seven operations a step."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        n, seq_len, batch_size, width = gates.shape
        size = width // 3
        of_state = gates.new_empty(seq_len, n, batch_size, width)
        new = gates.new_empty(seq_len, n, batch_size, size)
        states = gates.new_zeros(n, seq_len + 1, batch_size, size)  # the first is before the start
        weight, bias = weight.mT, bias[:, None]
        # Views of each step, cut beforehand: a step is a few operations on tensors as small.
        steps = zip(
            gates[..., : 2 * size].unbind(1),
            gates[..., 2 * size :].unbind(1),
            of_state.unbind(0),
            of_state[..., : 2 * size].unbind(0),
            of_state[..., :size].unbind(0),
            of_state[..., size : 2 * size].unbind(0),
            of_state[..., 2 * size :].unbind(0),
            new.unbind(0),
            states[:, :-1].unbind(1),
            states[:, 1:].unbind(1),
        )
        for rz_in, n_in, whole, rz, r, z, n_state, candidate, before, after in steps:
            torch.baddbmm(bias, before, weight, out=whole)
            rz.add_(rz_in).sigmoid_()
            torch.addcmul(n_in, r, n_state, out=candidate).tanh_()
            torch.lerp(candidate, before, z, out=after)
        ctx.save_for_backward(of_state, new, states, weight)
        return states[:, 1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        of_state, new, states, weight = ctx.saved_tensors
        size = new.size(-1)
        grad = grads[0].transpose(0, 1)
        r, z, n_state = of_state.split(size, dim=-1)
        before = states[:, :-1].transpose(0, 1)
        # What a state's gradient is multiplied by on its way to each gate, for all steps at once.
        to_new = (1 - z).mul_(1 - new * new)
        to_z = (before - new).mul_(z * (1 - z))
        to_r = (r * (1 - r)).mul_(n_state)
        of_gates = torch.empty_like(of_state)
        grad_new = torch.empty_like(new)
        of_steps = list(
            zip(
                grad.unbind(0),
                *(x.unbind(0) for x in (to_new, to_z, to_r, r, z, of_gates)),
                *(x.unbind(0) for x in of_gates.split(size, dim=-1)),
                grad_new.unbind(0),
            )
        )
        weight = weight.mT
        passed: Tensor | None = None
        for of_state_out, a_new, a_z, a_r, r_t, z_t, whole, d_r, d_z, d_n, d_new in of_steps[::-1]:
            d_state = of_state_out if passed is None else passed.add_(of_state_out)
            torch.mul(d_state, a_new, out=d_new)
            torch.mul(d_state, a_z, out=d_z)
            torch.mul(d_new, a_r, out=d_r)
            torch.mul(d_new, r_t, out=d_n)
            passed = torch.baddbmm(d_state * z_t, whole, weight)
        by_network = of_gates.transpose(0, 1)
        rows = by_network.flatten(1, 2)
        grad_weight = rows.mT @ states[:, :-1].flatten(1, 2)
        grad_gates = by_network.clone()
        grad_gates[..., 2 * size :] = grad_new.transpose(0, 1)
        return grad_gates, grad_weight, rows.sum(1)
