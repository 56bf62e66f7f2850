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
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import device
from .losses import Distillation
from .step_scores import MASKED, StepScores

_CPU_BLOCK = 2**19  # logits of all branches in a block: small enough for the cache
_GPU_BLOCK = 2**26
_LEAST = 1e-38


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
    dtype = device.lower_precision(scores.user)
    if dtype is not None:
        scores = replace(scores, user=scores.user.to(dtype), item=scores.item.to(dtype))
    bias = None if scores.repeats is None else scores.repeats.bias
    weights = _Weights(kd_weight, ce_weight, mean_ce_weight, combination_weight)
    total, ce, kd = _BlockwiseLoss.apply(
        scores.user, scores.item, scores.weight, bias, scores, distillation, weights
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
        user: Tensor,
        item: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        scores: StepScores,
        distillation: Distillation | None,
        weights: _Weights,
    ) -> tuple[Tensor, Tensor, Tensor]:
        with device.full_precision(user):
            block = _CPU_BLOCK if device.on_host(user) else _GPU_BLOCK
            sums = _Sums(scores, distillation, weights, block)
            for first in range(0, scores.n_rows, sums.n_block):
                sums.add_block(slice(first, min(first + sums.n_block, scores.n_rows)))
            ce, mean_ce, kd = sums.losses()
        ctx.save_for_backward(sums.grad_user, sums.grad_item, sums.grad_weight, sums.grad_bias)
        total = weights.ce * ce.sum() + weights.kd * kd.sum()
        total = total + (weights.mean_ce or weights.combination) * mean_ce
        ctx.mark_non_differentiable(ce, kd)
        return total, ce, kd

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        of = [None if grad is None else grads[0] * grad for grad in ctx.saved_tensors]
        return *of, None, None, None


class _Sums:
    """Loss and gradient as they add up over blocks of rows.

    In a block's tensors ``[n_block, n, n_candidates]`` the final score stands behind the branches
    as if it were one more.
    """

    def __init__(
        self,
        scores: StepScores,
        distillation: Distillation | None,
        weights: _Weights,
        most_logits: int,
    ) -> None:
        self.scores, self.weights = scores, weights
        self.user, self.item = scores.user.detach(), scores.item.detach()
        options: dict[str, Any] = {"dtype": torch.float32, "device": self.user.device}
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
        teaches = several and bool(weights.kd) and distillation is not None
        pairs = distillation.pairs if teaches and distillation is not None else ()
        self.n_pairs = 0 if distillation is None else len(distillation.pairs)
        self.asks_mean = several and (bool(weights.mean_ce) or self.grad_weight is not None)
        has_mean = self.asks_mean or any(teacher is None for teacher, _ in pairs)
        self.n = n_branches + has_mean
        self.teaching = None
        if distillation is not None and pairs:
            self.teaching = _Teaching(scores, distillation, self.n, weights.kd)
        # Of each row, minus the log-probabilities of the target.
        self.missed = torch.empty(n_rows, self.n, **options)
        self.grad_user = torch.empty(self.user.shape, **options)
        self.grad_item = torch.zeros(self.item.shape, **options)
        # Of each branch's rows, those whose target has its source: the mean runs over these.
        self.valid = scores.valid.mT.float()
        scale = weights.ce * self.valid / self.valid.sum(0).clamp(min=1)
        # A branch's gradient is a sum of what a block has of probabilities, times these.
        n_sides = 0 if self.teaching is None else self.teaching.n_sides
        self.coefficient = torch.zeros(n_rows, n_branches, self.n + n_sides, **options)
        self.coefficient.diagonal(dim1=1, dim2=2).copy_(scale)
        self.at_target = -torch.cat([scale, torch.ones_like(scale[:, :1])], dim=1)
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
        n_branches, n_rows = self.scores.n_branches, self.scores.n_rows
        missed = self.missed[:, :n_branches] * self.valid
        ce = missed.sum(0) / self.valid.sum(0).clamp(min=1)
        mean_ce = self.missed[:, -1].sum() / n_rows if self.asks_mean else ce.new_zeros(())
        kd = ce.new_zeros(self.n_pairs) if self.teaching is None else self.teaching.losses()
        return ce, mean_ce, kd

    def add_block(self, rows: slice) -> None:
        """Add what these rows say."""
        scores, teaching, n_branches = self.scores, self.teaching, self.scores.n_branches
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
        if teaching is None:
            gradient = p[:, :n_branches].mul_(coefficient.diagonal(dim1=1, dim2=2)[..., None])
        else:
            tempered = mass[:, self.n :]
            coefficient[..., self.n :] = teaching.add_block(below, p, tempered, rows)
            torch.bmm(coefficient, mass, out=gradient)
            if not teaching.detaches_teacher:
                teaching.teach_teachers(below, tempered, gradient, rows)
        at_target = self.at_target[rows, :, None]
        gradient.scatter_add_(2, target[:, :n_branches], at_target[:, :n_branches])
        if self.asks_mean:
            of_mean = p[:, n_branches:].div_(total[:, n_branches:, None])
            of_mean.scatter_add_(2, target[:, :1], at_target[:, n_branches:])
            if self.weights.mean_ce:
                share = self.weights.mean_ce / scores.n_rows
                gradient.addcmul_(scores.mean_weight, of_mean, value=share)
            if self.grad_weight is not None:
                share = self.weights.combination / scores.n_rows
                of_top = top[:, :n_branches, 0].mT @ of_mean[:, 0]
                of_weight = below[:, :n_branches].mul_(of_mean).sum(0).add_(of_top)
                self.grad_weight.add_(of_weight, alpha=share)
        if self.grad_bias is not None and scores.repeats is not None:
            # The last column is nobody's: a bias there is of no candidate.
            index = scores.repeats.position[rows]
            known = index < scores.n_candidates
            index = index.clamp(max=scores.n_candidates - 1)[:, None].expand(-1, n_branches, -1)
            self.grad_bias[rows] = gradient.gather(2, index).sum(1) * known
        self._add_products(gradient.transpose(0, 1), rows)

    def _write_logits(self, logits: Tensor, rows: slice) -> None:
        """Logits of the branches and of the final score, to ``[n_block, n, n_candidates]``."""
        scores = self.scores
        user, item, n_branches = self.user[:, rows], self.item.mT, scores.n_branches
        offset = scores.row_offset(rows).detach()
        of_branch = logits[:, :n_branches].transpose(0, 1)
        if user.dtype == torch.float32:
            torch.baddbmm(offset.expand_as(of_branch), user, item, out=of_branch)
        else:
            torch.add(offset, torch.bmm(user, item), out=of_branch)
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
        user = self.user[:, rows]
        if user.dtype == torch.float32:
            torch.bmm(gradient, self.item, out=self.grad_user[:, rows])
            self.grad_item.baddbmm_(gradient.mT, user)
        else:  # mixed precision: products of halves, sums of floats
            gradient = gradient.to(user.dtype)
            self.grad_user[:, rows] = torch.bmm(gradient, self.item)
            self.grad_item += torch.bmm(gradient.mT, user)


class _Sides(NamedTuple):
    """What the pairs compare: rows of tempered probabilities, called sides.

    A side is a branch, or, where pairs compare the candidates that have both sources, a branch as
    one of the pairs sees it.

    Attributes
    ----------
    branch : Tensor
        Each side's branch, ``[n_sides]``; ``n_branches`` is the final score.
    sign : Tensor
        How a side takes part in a branch's gradient, ``[n_branches, n_sides]``: 1 for each pair
        whose student it is, -1 for each whose teacher it is.
    teacher, student : Tensor
        The sides of each pair, ``[n_pairs]``.
    own, other : Tensor
        Of each pair, the place of the teacher and the student beside the teacher's side in
        ``[n_sides * n]``.
    """

    branch: Tensor
    sign: Tensor
    teacher: Tensor
    student: Tensor
    own: Tensor
    other: Tensor


@lru_cache(maxsize=64)  # so that a step brings no list to a GPU, which would wait
def _find_sides(
    pairs: tuple[tuple[int, int], ...], n: int, n_branches: int, by_pair: bool, on: torch.device
) -> _Sides:
    branch = [b for pair in pairs for b in pair] if by_pair else list(range(n))
    teacher = [2 * i if by_pair else t for i, (t, _) in enumerate(pairs)]
    student = [2 * i + 1 if by_pair else s for i, (_, s) in enumerate(pairs)]
    sign = torch.zeros(n_branches, len(branch))
    for i, (_, s) in enumerate(pairs):
        sign[s, student[i]] += 1
        sign[s, teacher[i]] -= 1
    own = [n * side + t for side, (t, _) in zip(teacher, pairs)]
    other = [n * side + s for side, (_, s) in zip(teacher, pairs)]
    index = (torch.tensor(x, device=on) for x in (branch, teacher, student, own, other))
    of_branch, *places = index
    return _Sides(of_branch, sign.to(on), *places)


class _Teaching:
    """The distillation's part: what it adds to the loss and to the gradient's coefficients.

    With q = exp(logits / tau), in each row times its own constant, a pair's divergence is
    ``sum(q_t (logits_t - logits_s)) / (tau Z_t) - log(Z_t / Z_s)``, Z the sum of a side's q.
    """

    def __init__(
        self, scores: StepScores, distillation: Distillation, n: int, kd_weight: float
    ) -> None:
        self.scores, self.tau = scores, distillation.temperature
        self.detaches_teacher = distillation.detach_teacher
        n_branches, n_rows = scores.n_branches, scores.n_rows
        self.pairs = tuple((n_branches if t is None else t, s) for t, s in distillation.pairs)
        absent, on = scores.absent, scores.user.device
        self.sides = _find_sides(self.pairs, n, n_branches, absent is not None, on)
        self.n_sides = len(self.sides.branch)
        self.scale = kd_weight * self.tau / n_rows
        self.mass = torch.empty(n_rows, self.n_sides, device=on)
        self.cross = torch.empty(n_rows, self.n_sides, n, device=on)
        self.common = None if absent is None else self._common(absent, n)

    def _common(self, absent: Tensor, n: int) -> Tensor:
        """1 where a candidate has both sources of a side's pair: ``[n_sides, n_candidates]``."""
        if n > len(absent):  # the mean lacks none, but that a place may be nobody's
            of_mean = self.scores.padding
            of_mean = torch.zeros_like(absent[0]) if of_mean is None else of_mean
            absent = torch.cat([absent, of_mean[None]])
        either = [absent[teacher] | absent[student] for teacher, student in self.pairs]
        return (~torch.stack(either)).float().repeat_interleave(2, dim=0)

    def add_block(self, logits: Tensor, p: Tensor, tempered: Tensor, rows: slice) -> Tensor:
        """Take in a block.

        Parameters
        ----------
        logits, p : Tensor
            Log-probabilities and probabilities, ``[n_block, n, n_candidates]``. Below a
            temperature of 1 ``logits`` is shifted, in place.
        tempered : Tensor
            ``[n_block, n_sides, n_candidates]``, where the sides' q are written.
        rows : slice
            The block.

        Returns
        -------
        Tensor
            What the branches' gradients have of each side, ``[n_block, n_branches, n_sides]``.
        """
        tau = self.tau
        # What has underflowed has no root, which below 1e-38 does not matter.
        q = tempered if self.common is None else torch.empty_like(p)
        if tau == 2:
            torch.sqrt(p, out=q)
        else:
            torch.div(logits, tau, out=q).exp_()
        if self.common is not None:
            torch.mul(q.index_select(1, self.sides.branch), self.common, out=tempered)
        # The correction by log_q is not divided by the temperature: see Distillation.
        log_q = self.scores.log_q_of_rows(rows)
        if log_q is not None and tau != 1:
            factor = (log_q * (1 / tau - 1)).exp()
            tempered *= factor if factor.dim() == 1 else factor[:, None]
        self.mass[rows] = tempered.sum(2)
        torch.bmm(tempered, logits.mT, out=self.cross[rows])
        return self.sides.sign * (self.scale * self._shares(rows)[:, None])

    def _shares(self, rows: slice = slice(None)) -> Tensor:
        """One over the sums of the sides' q, ``[n_some, n_sides]``; 0: nothing to compare."""
        mass = self.mass[rows]
        if self.common is None:
            return mass.reciprocal()
        return self._known(mass) / mass.clamp(min=_LEAST)

    def _known(self, mass: Tensor) -> Tensor:
        """Whether a side's row has any candidate with both sources, ``[n_some, n_sides]``."""
        known = (mass.unflatten(1, (-1, 2)) > 0).all(2, keepdim=True)
        return known.expand(-1, -1, 2).flatten(1)

    def losses(self) -> Tensor:
        """The pairs' divergences, ``[n_pairs]``."""
        sides, mass = self.sides, self.mass
        cross = self.cross.flatten(1)
        mean = cross.index_select(1, sides.own) - cross.index_select(1, sides.other)
        mean *= self._shares().index_select(1, sides.teacher) / self.tau
        if self.common is not None:
            mass = mass.masked_fill(~self._known(mass), 1)
        log_mass = mass.log()
        gap = log_mass.index_select(1, sides.teacher) - log_mass.index_select(1, sides.student)
        return (mean - gap).sum(0) * (self.tau**2 / self.scores.n_rows)

    def teach_teachers(
        self, logits: Tensor, tempered: Tensor, gradient: Tensor, rows: slice
    ) -> None:
        """Add the teachers' share of the gradient, where it is not detached."""
        shares = self._shares(rows)[..., None]
        by_pair = self.common is not None
        for number, (teacher, student) in enumerate(self.pairs):
            side = 2 * number if by_pair else teacher
            q, share = tempered[:, side], shares[:, side]
            difference = logits[:, teacher] - logits[:, student]
            mean = (q * difference).sum(1, keepdim=True) * share
            towards = (difference - mean) * q * (share * (self.scale / self.tau))
            if teacher == self.scores.n_branches:
                gradient.addcmul_(self.scores.mean_weight, towards[:, None])
            else:
                gradient[:, teacher] += towards
