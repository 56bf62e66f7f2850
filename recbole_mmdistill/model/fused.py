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
from .losses import Distillation
from .step_scores import MASKED, StepScores
from .widths import branch_slices, by_width, stacks

_CPU_BLOCK = 2**18  # logits of all branches in a block: some such tensors stay in the cache
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
    kd_weight: float = 0.0,
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
        Weights of the losses at this step; 0: it is left out. What teaches the factor of new
        items (:meth:`.losses.CombinationLoss.of_new_items`) is not part of it.

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
    kd: float
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
            sums = _Sums(scores, distillation, weights)
            block = _CPU_BLOCK if device.on_host(scores.target) else _GPU_BLOCK
            n_block = max(1, block // (sums.n * scores.n_candidates))
            for first in range(0, scores.n_rows, n_block):
                sums.add_block(slice(first, min(first + n_block, scores.n_rows)))
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

    In a block's tensors ``[n, n_block, n_candidates]`` the final score stands behind the
    branches as if it were one more. Users, items and their gradients are in stacks.
    """

    def __init__(
        self, scores: StepScores, distillation: Distillation | None, weights: _Weights
    ) -> None:
        self.scores, self.weights = scores, weights
        self.user, self.item = (
            [x.detach() for x in stacks(of)] for of in (scores.user, scores.item)
        )
        self.branches = branch_slices(scores.user)
        options: dict[str, Any] = {"dtype": torch.float32, "device": scores.device}
        n_branches = scores.n_branches
        pairs = () if distillation is None else distillation.pairs
        # One branch alone is its own mean, and has nothing to learn from it.
        several = n_branches > 1
        self.teaches = several and bool(weights.kd) and bool(pairs)
        self.distillation = distillation
        # The teacher None is the mean of all.
        self.pairs = [(n_branches if t is None else t, s) for t, s in pairs]
        weight, repeats = scores.weight, scores.repeats
        self.grad_weight = None
        if several and weight is not None and weight.requires_grad and weights.combination:
            self.grad_weight = torch.zeros(weight.shape, **options)
        self.grad_bias = None
        if repeats is not None and repeats.bias.requires_grad:
            self.grad_bias = torch.empty(repeats.bias.shape, **options)
        self.asks_mean = several and (bool(weights.mean_ce) or self.grad_weight is not None)
        has_mean = self.asks_mean or (self.teaches and any(t == n_branches for t, _ in self.pairs))
        self.n = n_branches + has_mean
        # Of each row, for the values of the losses: minus log-probabilities of the target, and
        # what there is of the divergences.
        self.missed = torch.empty(self.n, scores.n_rows, 1, **options)
        self.divergence = torch.zeros(len(pairs), scores.n_rows, 1, **options)
        self.grad_user = [torch.empty(user.shape, **options) for user in self.user]
        self.grad_item = [torch.zeros(item.shape, **options) for item in self.item]
        # Of each branch's rows, those whose target has its source: the mean runs over these.
        valid = scores.valid[..., None].float()
        scale = [weights.ce * valid / valid.sum(1, keepdim=True).clamp(min=1)]
        if has_mean:
            scale.append(torch.full_like(valid[:1], 1 / scores.n_rows))
        self.valid, self.scale = valid, torch.cat(scale)
        absent = scores.absent
        self.mask = None if absent is None else MASKED * absent[:, None].float()
        self.common = None if absent is None or not self.teaches else self._common(absent)

    def _common(self, absent: Tensor) -> Tensor:
        """1 where a candidate has both sources of a pair, else 0: ``[n_candidates, n_pairs]``."""
        if self.n > len(absent):  # the mean lacks none, but that a place may be nobody's
            of_mean = self.scores.padding
            of_mean = torch.zeros_like(absent[0]) if of_mean is None else of_mean
            absent = torch.cat([absent, of_mean[None]])
        either = [absent[teacher] | absent[student] for teacher, student in self.pairs]
        return (~torch.stack(either, dim=1)).float()

    def losses(self) -> tuple[Tensor, Tensor, Tensor]:
        """The branches' cross entropies, that of the final score, and the pairs' divergences."""
        n_branches, n_rows = self.scores.n_branches, self.scores.n_rows
        missed = self.missed[:n_branches] * self.valid
        ce = missed.sum((1, 2)) / self.valid.sum((1, 2)).clamp(min=1)
        mean_ce = self.missed[-1].sum() / n_rows if self.asks_mean else ce.new_zeros(())
        tau = 1.0 if self.distillation is None else self.distillation.temperature
        return ce, mean_ce, self.divergence.sum((1, 2)).mul_(tau**2 / n_rows)

    def add_block(self, rows: slice) -> None:
        n_branches, scores = self.scores.n_branches, self.scores
        logits = self._logits(rows)
        top = logits.amax(2, keepdim=True)
        mass = torch.sub(logits, top).exp_()  # probabilities times their sum
        total = mass.sum(2, keepdim=True)
        target = scores.target[rows, None].expand(self.n, -1, 1)
        self.missed[:, rows] = total.log().add_(top).sub_(logits.gather(2, target))
        # Before the probabilities become gradients, in place.
        tempered = self._tempered(logits, top, mass, rows) if self.teaches else None
        scale = self.scale[:, rows]
        gradient = mass.mul_(scale / total).scatter_add_(2, target, -scale)
        if self.asks_mean and self.weights.mean_ce:
            gradient[:n_branches].addcmul_(
                scores.mean_weight[:, None], gradient[n_branches], value=self.weights.mean_ce
            )
        if tempered is not None:
            self._distill(logits, top, tempered, gradient, rows)
        if self.grad_weight is not None:
            of_weight = logits[:n_branches].mul_(gradient[n_branches]).sum(1)
            self.grad_weight.add_(of_weight, alpha=self.weights.combination)
        gradient = gradient[:n_branches]
        if self.grad_bias is not None and scores.repeats is not None:
            # The last column is nobody's: a bias there is of no candidate.
            index = scores.repeats.position[rows]
            known = index < scores.n_candidates
            index = index.clamp(max=scores.n_candidates - 1).expand(n_branches, -1, -1)
            self.grad_bias[rows] = gradient.gather(2, index).sum(0) * known
        self._add_products(gradient, rows)

    def _logits(self, rows: slice) -> Tensor:
        """Logits of the branches and of the final score, ``[n, n_block, n_candidates]``."""
        scores, n_branches = self.scores, self.scores.n_branches
        offset = scores.row_offset(rows).detach()
        logits = offset.new_empty(self.n, *offset.shape)
        of_branch = logits[:n_branches]
        for branches, users, items in zip(self.branches, self.user, self.item):
            user, item, of_width = users[:, rows], items.mT, of_branch[branches]
            if user.dtype == torch.float32:
                torch.baddbmm(offset.expand_as(of_width), user, item, out=of_width)
            else:
                torch.add(offset, torch.bmm(user, item), out=of_width)
        if self.mask is not None:
            of_branch += self.mask
        if self.n > n_branches:
            weight, mean = scores.mean_weight, logits[n_branches]
            torch.mul(logits[0], weight[0], out=mean)
            for branch in range(1, n_branches):
                mean.addcmul_(logits[branch], weight[branch])
            if scores.padding is not None:
                mean.masked_fill_(scores.padding, MASKED)
        return logits

    def _tempered(self, logits: Tensor, top: Tensor, mass: Tensor, rows: slice) -> Tensor:
        """Exponentials of the logits at the temperature, the highest about 1.

        The correction by ``log_q`` is not divided by the temperature: see
        :class:`.losses.Distillation`.
        """
        assert self.distillation is not None
        tau = self.distillation.temperature
        if tau == 2:  # what has underflowed has no root, which below 1e-38 does not matter
            tempered = mass.sqrt()
        else:
            tempered = mass.clone() if tau == 1 else torch.sub(logits, top).div_(tau).exp_()
        log_q = self.scores.log_q_of_rows(rows)
        if log_q is not None and tau != 1:
            tempered *= (log_q * (1 / tau - 1)).exp()
        return tempered

    def _distill(
        self, logits: Tensor, top: Tensor, tempered: Tensor, gradient: Tensor, rows: slice
    ) -> None:
        """Add a block's divergences to the loss and to the branches' gradients."""
        assert self.distillation is not None
        tau, n_rows = self.distillation.temperature, self.scores.n_rows
        scale = self.weights.kd * tau / n_rows
        teachers, students = zip(*self.pairs)
        if self.common is None:
            mass = tempered.sum(2, keepdim=True)
            of_teacher, of_student = (
                torch.stack([mass[b] for b in s]) for s in (teachers, students)
            )
            share_t, share_s = 1 / of_teacher, 1 / of_student
        else:
            # A row that knows no candidate with both sources has nothing to compare.
            masses = (tempered @ self.common).unbind(-1)
            of_teacher, of_student = (
                torch.stack([mass[b] for mass, b in zip(masses, side)])[..., None]
                for side in (teachers, students)
            )
            known = torch.minimum(of_teacher, of_student) > 0
            of_teacher.masked_fill_(~known, 1)
            of_student.masked_fill_(~known, 1)
            share_t, share_s = known / of_teacher, known / of_student
        for number, (teacher, student) in enumerate(self.pairs):
            q_t, q_s = tempered[teacher], tempered[student]
            if self.common is not None:
                q_t, q_s = q_t * self.common[:, number], q_s * self.common[:, number]
            # The correction by log_q is the same on both sides.
            difference = torch.sub(logits[teacher], logits[student])
            mean = (q_t * difference).sum(1, keepdim=True).mul_(share_t[number])
            gap = (of_teacher[number] / of_student[number]).log_()
            gap = gap.add_(top[teacher] - top[student], alpha=1 / tau)
            if self.common is not None:
                gap *= known[number]
            self.divergence[number, rows] = torch.sub(mean / tau, gap)
            gradient[student].addcmul_(q_s, share_s[number], value=scale)
            gradient[student].addcmul_(q_t, share_t[number], value=-scale)
            if not self.distillation.detach_teacher:
                towards = difference.sub_(mean).mul_(q_t).mul_(share_t[number] * (scale / tau))
                if teacher == self.scores.n_branches:
                    gradient[:teacher].addcmul_(self.scores.mean_weight[:, None], towards)
                else:
                    gradient[teacher] += towards

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
