"""The fast way of the losses ``ce``, ``mean_ce``, ``kd`` and ``combination``: all in one pass.

Logits of all branches over all candidates are by far the largest tensors of the model
(``[n_branches, n_rows, n_candidates]``), and a dozen element-wise operations of autograd on them
would cost more than the rest of the training step. Here they are computed a block of rows at a
time, on a CPU small enough to stay in its cache; the gradients of softmax, cross entropy and
Kullback-Leibler divergence are written out, and a block's logits are dropped before the next.
``tests/model/test_fused.py`` proves that values and gradients are those of :mod:`.losses`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import device
from .fused_distillation import FusedDistillation
from .losses import Distillation
from .step_scores import MASKED, StepScores
from .widths import branch_slices, by_width, stacks

_CPU_BLOCK = 2**19  # logits of all branches in a block: small enough for the cache
_GPU_BLOCK = 2**26


class FusedLoss(NamedTuple):
    """What :func:`fused_loss` returns.

    Attributes
    ----------
    total : Tensor
        Scalar, the one to differentiate.
    ce : Tensor
        ``[n_branches]``, without gradient: the branches' cross entropies.
    kd : Tensor
        ``[n_pairs]``, without gradient: the pairs' divergences, not yet times the weight.
    """

    total: Tensor
    ce: Tensor
    kd: Tensor


def fused_loss(
    scores: StepScores,
    distillation: Distillation | None = None,
    kd_weight: float | Tensor = 0.0,
    ce_weight: float = 1.0,
    mean_ce_weight: float = 0.0,
    combination_weight: float = 0.0,
) -> FusedLoss:
    """Compute the losses of these names, each times its weight.

    Parameters
    ----------
    scores : StepScores
        Scores of the step; no gradient goes to ``log_q``.
    distillation : Distillation, optional
        Pairs and temperature; None: nothing is distilled.
    kd_weight, ce_weight, mean_ce_weight, combination_weight : float
        Weights of the losses at this step; 0: it is left out. That of the distillation may be a
        scalar tensor, which a recorded step reads anew. What teaches the factor of new items
        (:meth:`.losses.CombinationLoss.of_new_items`) is not part of it.

    Returns
    -------
    FusedLoss
    """
    dtype = device.lower_precision(scores.target)
    if dtype is not None:
        user, item = (by_width(lambda x: x.to(dtype), x) for x in (scores.user, scores.item))
        scores = replace(scores, user=user, item=item)
    bias = None if scores.repeats is None else scores.repeats.bias
    weights = _Weights(kd_weight, ce_weight, mean_ce_weight, combination_weight)
    total, ce, kd = _BlockwiseLoss.apply(
        scores,
        distillation,
        weights,
        scores.weight,
        bias,
        *stacks(scores.user),
        *stacks(scores.item),
    )
    return FusedLoss(total, ce, kd)


class _Weights(NamedTuple):
    kd: float | Tensor
    ce: float
    mean_ce: float
    combination: float


class _BlockwiseLoss(torch.autograd.Function):
    """Computes the gradient beside the loss, block by block, and hands it out in backward."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: StepScores,
        distillation: Distillation | None,
        weights: _Weights,
        *learned: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        with device.full_precision(scores.target):
            block = _CPU_BLOCK if device.on_host(scores.target) else _GPU_BLOCK
            sums = _Sums(scores, distillation, weights, block)
            for first in range(0, scores.n_rows, sums.n_block):
                sums.add_block(slice(first, min(first + sums.n_block, scores.n_rows)))
            ce, mean_ce, kd = sums.losses()
        gradients = sums.grad_weight, sums.grad_bias, *sums.grad_user, *sums.grad_item
        ctx.save_for_backward(*gradients)
        total = weights.ce * ce.sum() + weights.kd * kd.sum()
        total = total + (weights.mean_ce or weights.combination) * mean_ce
        ctx.mark_non_differentiable(ce, kd)
        return total, ce, kd

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        of = [None if grad is None else grads[0] * grad for grad in ctx.saved_tensors]
        return None, None, None, *of


class _Sums:
    """Loss and gradient as they add up over blocks of rows.

    In a block's tensors ``[n_block, n, n_candidates]`` the final score stands behind the branches
    as if it were one more. Users, items and their gradients are in stacks.
    """

    def __init__(
        self,
        scores: StepScores,
        distillation: Distillation | None,
        weights: _Weights,
        most_logits: int,
    ) -> None:
        self.scores, self.weights = scores, weights
        self.user, self.item = (
            [x.detach() for x in stacks(of)] for of in (scores.user, scores.item)
        )
        self.branches = branch_slices(scores.user)
        options: dict[str, Any] = {"dtype": torch.float32, "device": scores.device}
        n_branches, n_rows = scores.n_branches, scores.n_rows
        # One branch alone is its own mean, and has nothing to learn from it.
        several = n_branches > 1
        weight, repeats = scores.weight, scores.repeats
        self.grad_weight = None
        if several and weight is not None and weight.requires_grad and weights.combination:
            self.grad_weight = torch.zeros(weight.shape, **options)
        self.grad_bias = None
        if repeats is not None and repeats.bias.requires_grad:
            self.grad_bias = torch.empty(repeats.bias.shape, **options)
        weighs = isinstance(weights.kd, Tensor) or weights.kd != 0
        teaches = several and weighs and distillation is not None
        pairs = distillation.pairs if teaches and distillation is not None else ()
        self.n_pairs = 0 if distillation is None else len(distillation.pairs)
        self.asks_mean = several and (bool(weights.mean_ce) or self.grad_weight is not None)
        has_mean = self.asks_mean or any(teacher is None for teacher, _ in pairs)
        self.n = n_branches + has_mean
        self.distilled = None
        if distillation is not None and pairs:
            self.distilled = FusedDistillation(scores, distillation, self.n, weights.kd)
        # Of each row, minus the log-probabilities of the target.
        self.missed = torch.empty(n_rows, self.n, **options)
        self.grad_user = [torch.empty(user.shape, **options) for user in self.user]
        self.grad_item = [torch.zeros(item.shape, **options) for item in self.item]
        # Of each branch's rows, those whose target has its source: the mean runs over these.
        self.valid = scores.valid.mT.float()
        self.n_valid = self.valid.sum(0).clamp(min=1)
        scale = weights.ce / self.n_valid * self.valid
        # A branch's gradient is a sum of what a block has of probabilities, times these.
        n_sides = 0 if self.distilled is None else self.distilled.n_sides
        self.coefficient = torch.zeros(n_rows, n_branches, self.n + n_sides, **options)
        self.coefficient.diagonal(dim1=1, dim2=2).copy_(scale)
        self.at_target = -torch.cat([scale, scores.row_share[:, None]], dim=1)
        absent = scores.absent
        self.mask = None if absent is None else MASKED * absent[:, None].float()
        # Every block uses the same memory: what is fresh from the system costs more than the sums.
        self.n_block = min(n_rows, max(1, most_logits // (self.n * scores.n_candidates)))
        self._buffers = [
            torch.empty(self.n_block, n, scores.n_candidates, **options)
            for n in (self.n, self.n + n_sides, n_branches if n_sides else 0)
        ]

    def losses(self) -> tuple[Tensor, Tensor, Tensor]:
        """The branches' cross entropies, that of the final score, and the pairs' divergences."""
        n_branches = self.scores.n_branches
        ce = (self.missed[:, :n_branches] * self.valid).sum(0) / self.n_valid
        mean_ce = ce.new_zeros(())
        if self.asks_mean:
            mean_ce = self.missed[:, -1] @ self.scores.row_share
        kd = ce.new_zeros(self.n_pairs) if self.distilled is None else self.distilled.losses()
        return ce, mean_ce, kd

    def add_block(self, rows: slice) -> None:
        """Add what these rows say."""
        scores, distilled, n_branches = self.scores, self.distilled, self.scores.n_branches
        n_rows = rows.stop - rows.start
        logits, mass, gradient = (buffer[:n_rows] for buffer in self._buffers)
        self._write_logits(logits, rows)
        top = logits.amax(2, keepdim=True)
        below = logits.sub_(top)
        p = torch.exp(below, out=mass[:, : self.n])  # probabilities times their sum
        total = p.sum(2)
        target = scores.target[rows, None, None].expand(-1, self.n, 1)
        self.missed[rows] = total.log() - below.gather(2, target)[..., 0]
        coefficient = self.coefficient[rows]
        coefficient.diagonal(dim1=1, dim2=2).div_(total[:, :n_branches])
        if distilled is None:
            gradient = p[:, :n_branches].mul_(coefficient.diagonal(dim1=1, dim2=2)[..., None])
        else:
            tempered = mass[:, self.n :]
            coefficient[..., self.n :] = distilled.add_block(below, p, tempered, rows)
            torch.bmm(coefficient, mass, out=gradient)
            if not distilled.detaches_teacher:
                distilled.teach_teachers(below, tempered, gradient, rows)
        at_target = self.at_target[rows, :, None]
        gradient.scatter_add_(2, target[:, :n_branches], at_target[:, :n_branches])
        if self.asks_mean:
            share = scores.row_share[rows, None] / total[:, n_branches:]
            of_mean = p[:, n_branches:].mul_(share[..., None])
            of_mean.scatter_add_(2, target[:, :1], at_target[:, n_branches:])
            if self.weights.mean_ce:
                gradient.addcmul_(scores.mean_weight, of_mean, value=self.weights.mean_ce)
            if self.grad_weight is not None:
                of_top = top[:, :n_branches, 0].mT @ of_mean[:, 0]
                of_weight = below[:, :n_branches].mul_(of_mean).sum(0).add_(of_top)
                self.grad_weight.add_(of_weight, alpha=self.weights.combination)
        if self.grad_bias is not None and scores.repeats is not None:
            # The last column is nobody's: a bias there is of no candidate.
            index = scores.repeats.position[rows]
            known = index < scores.n_candidates
            index = index.clamp(max=scores.n_candidates - 1)[:, None].expand(-1, n_branches, -1)
            self.grad_bias[rows] = gradient.gather(2, index).sum(1) * known
        self._add_products(gradient.transpose(0, 1), rows)

    def _write_logits(self, logits: Tensor, rows: slice) -> None:
        """Logits of the branches and of the final score, to ``[n_block, n, n_candidates]``."""
        scores, n_branches = self.scores, self.scores.n_branches
        offset = scores.row_offset(rows).detach()
        of_branch = logits[:, :n_branches].transpose(0, 1)
        for branches, users, items in zip(self.branches, self.user, self.item):
            user, item, of_width = users[:, rows], items.mT, of_branch[branches]
            if user.dtype == torch.float32:
                torch.baddbmm(offset.expand_as(of_width), user, item, out=of_width)
            else:
                torch.add(offset, torch.bmm(user, item), out=of_width)
        if self.mask is not None:
            of_branch += self.mask
        if self.n > n_branches:
            weight, mean = scores.mean_weight, logits[:, n_branches]
            torch.mul(of_branch[0], weight[0], out=mean)
            for branch in range(1, n_branches):
                mean.addcmul_(of_branch[branch], weight[branch])
            if scores.padding is not None:
                mean.masked_fill_(scores.padding, MASKED)

    def _add_products(self, gradient: Tensor, rows: slice) -> None:
        """What a block's gradient of the logits says of users and items."""
        of_stacks = zip(self.branches, self.user, self.item, self.grad_user, self.grad_item)
        for branches, users, item, grad_user, grad_item in of_stacks:
            user, of_width = users[:, rows], gradient[branches]
            if user.dtype == torch.float32:
                torch.bmm(of_width, item, out=grad_user[:, rows])
                grad_item.baddbmm_(of_width.mT, user)
            else:  # mixed precision: products of halves, sums of floats
                of_width = of_width.to(user.dtype)
                grad_user[:, rows] = torch.bmm(of_width, item)
                grad_item += torch.bmm(of_width.mT, user)
