"""The fast way of the losses ``ce``, ``mean_ce``, ``kd`` and ``combination``: all in one pass.

Logits of all branches over all candidates are by far the largest tensors of the model
(``[n_branches, n_rows, n_candidates]``), and a dozen element-wise operations of autograd on them
would cost more than the rest of the training step. Here they are computed a block of rows at a
time, small enough to stay in the processor's cache; the gradients of softmax, cross entropy and
Kullback-Leibler divergence are written out, and a block's logits are dropped before the next.
``tests/model/test_fused.py`` proves that values and gradients are those of :mod:`.losses`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .losses import Distillation
from .softmax import Softmax
from .step_scores import MASKED, UNMASKED, StepScores

_CPU_BLOCK = 2**18  # logits of one branch in a block: 1 MiB, so that a dozen such fit the cache
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
    device = scores.user.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
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
        with torch.autocast(user.device.type, enabled=False):
            sums = _Sums(scores, distillation, weights)
            block = _GPU_BLOCK if user.is_cuda else _CPU_BLOCK
            n_block = max(1, block // item.size(1))
            for first in range(0, scores.n_rows, n_block):
                sums.add_block(slice(first, min(first + n_block, scores.n_rows)))
        ctx.save_for_backward(sums.grad_user, sums.grad_item, sums.grad_weight, sums.grad_bias)
        total = weights.ce * sums.ce.sum() + weights.kd * sums.kd.sum()
        total = total + (weights.mean_ce or weights.combination) * sums.mean_ce
        ctx.mark_non_differentiable(sums.ce, sums.kd)
        return total, sums.ce, sums.kd

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        of = [None if grad is None else grads[0] * grad for grad in ctx.saved_tensors]
        return *of, None, None, None


@dataclass
class _Sums:
    """Loss and gradient as they add up over blocks of rows."""

    scores: StepScores
    distillation: Distillation | None
    weights: _Weights
    ce: Tensor = field(init=False)
    mean_ce: Tensor = field(init=False)
    kd: Tensor = field(init=False)
    grad_user: Tensor = field(init=False)
    grad_item: Tensor = field(init=False)
    grad_weight: Tensor | None = field(init=False)
    grad_bias: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        scores = self.scores
        self.user, self.item = scores.user.detach(), scores.item.detach()
        self.absent, self.valid, self.n_rows = scores.absent, scores.valid, scores.n_rows
        options: dict[str, Any] = {"dtype": torch.float32, "device": self.user.device}
        self.ce = torch.zeros(scores.n_branches, **options)
        self.mean_ce = torch.zeros((), **options)
        n_pairs = 0 if self.distillation is None else len(self.distillation.pairs)
        self.kd = torch.zeros(n_pairs, **options)
        self.grad_user = torch.empty(self.user.shape, **options)
        self.grad_item = torch.zeros(self.item.shape, **options)
        weight, repeats = scores.weight, scores.repeats
        self.grad_weight = None
        if weight is not None and weight.requires_grad and self.weights.combination:
            self.grad_weight = torch.zeros(weight.shape, **options)
        self.grad_bias = None
        if repeats is not None and repeats.bias.requires_grad:
            self.grad_bias = torch.zeros(repeats.bias.shape, **options)
        pairs = [] if self.distillation is None else enumerate(self.distillation.pairs)
        self.pairs = [(n, t, s) for n, (t, s) in pairs if self._have_common_candidates(t, s)]
        # Of each branch's rows, those whose target has its source: the mean runs over these.
        self.share = 1 / self.valid.sum(1).clamp(min=1).to(torch.float32)

    def _have_common_candidates(self, teacher: int | None, student: int) -> bool:
        if self.absent is None:
            return True
        absent = self.absent[student]
        absent = absent if teacher is None else absent | self.absent[teacher]
        return not bool(absent.all())

    def add_block(self, rows: slice) -> None:
        log_q = self._log_q(rows)
        softmax = [
            Softmax.of(self._logits(branch, rows, log_q)) for branch in range(len(self.user))
        ]
        several = len(softmax) > 1  # one alone is its own mean, and has nothing to learn from it
        teaches = several and bool(self.weights.kd) and bool(self.pairs)
        of_mean = None
        asks = bool(self.weights.mean_ce) or self.grad_weight is not None
        if several and (teaches or asks):
            of_mean = Softmax.of(self._mean([one.logits for one in softmax]))
        # Before the probabilities become gradients, in place.
        tempered = self._tempered(softmax, of_mean, log_q) if teaches else {}
        gradients = [self._cross_entropy(b, one, rows) for b, one in enumerate(softmax)]
        if of_mean is not None and asks:
            self._mean_cross_entropy(of_mean, [one.logits for one in softmax], gradients, rows)
        if teaches:
            self._distill(tempered, gradients, rows)
        for branch, gradient in enumerate(gradients):
            if self.grad_bias is not None and self.scores.repeats is not None:
                self.grad_bias[rows] += gradient.gather(1, self.scores.repeats.position[rows])
            if gradient.dtype == self.user.dtype:
                torch.mm(gradient, self.item[branch], out=self.grad_user[branch, rows])
                self.grad_item[branch].addmm_(gradient.T, self.user[branch, rows])
            else:  # mixed precision: products of halves, sums of floats
                gradient = gradient.to(self.user.dtype)
                self.grad_user[branch, rows] = gradient @ self.item[branch]
                self.grad_item[branch] += gradient.T @ self.user[branch, rows]

    def _log_q(self, rows: slice) -> Tensor | None:
        """Correction of a block's logits, ``[n_candidates]`` or ``[n_block, n_candidates]``."""
        log_q, repeats = self.scores.log_q, self.scores.repeats
        if log_q is None or repeats is None:
            return log_q
        index = repeats.position[rows]
        return log_q.expand(len(index), -1).scatter(1, index, 0.0)

    def _logits(self, branch: int, rows: slice, log_q: Tensor | None) -> Tensor:
        """Logits of a block, ``[n_block, n_candidates]`` in float32."""
        scores, repeats = self.scores, self.scores.repeats
        logits = (self.user[branch, rows] @ self.item[branch].T).float()
        if log_q is not None:
            logits -= log_q
        if repeats is not None:
            index = repeats.position[rows]
            logits.scatter_(1, index, logits.gather(1, index) + repeats.bias[rows])
        if self.absent is not None:
            logits.masked_fill_(self.absent[branch], MASKED)
        if scores.exclude is not None and scores.group is not None:
            kept = scores.target[rows, None]
            if repeats is not None:
                kept = torch.cat([kept, repeats.position[rows]], dim=1)
            of_kept = logits.gather(1, kept)
            logits.scatter_(1, scores.exclude[scores.group[rows]], MASKED)
            logits.scatter_(1, kept, of_kept)
        return logits

    def _mean(self, logits: list[Tensor]) -> Tensor:
        """Logits of the final score."""
        weight = self.scores.mean_weight
        mean = weight[0] * logits[0]
        for w, logit in zip(weight[1:], logits[1:]):
            mean.addcmul_(w, logit)
        return mean

    def _cross_entropy(self, branch: int, softmax: Softmax, rows: slice) -> Tensor:
        """Add a block's cross entropy; turn its probabilities into the logits' gradient."""
        target = self.scores.target[rows, None]
        valid = self.valid[branch, rows, None]
        loss = (softmax.log_sum - softmax.logits.gather(1, target)).masked_fill(~valid, 0)
        self.ce[branch] += loss.sum() * self.share[branch]
        scale = valid * (self.weights.ce * self.share[branch])
        return softmax.probability.mul_(scale).scatter_add_(1, target, -scale)

    def _mean_cross_entropy(
        self, mean: Softmax, logits: list[Tensor], gradients: list[Tensor], rows: slice
    ) -> None:
        """Add a block's cross entropy of the final score to the loss and the gradients."""
        target = self.scores.target[rows, None]
        of_target = mean.logits.gather(1, target)
        self.mean_ce += (mean.log_sum - of_target).sum() / self.n_rows
        scale = 1 / self.n_rows
        towards = mean.probability.mul_(scale)
        towards.scatter_add_(1, target, torch.full_like(of_target, -scale))
        for branch, share in enumerate(self.scores.mean_weight):
            if self.grad_weight is not None:
                of_weight = torch.linalg.vecdot(towards, logits[branch], dim=0)
                self.grad_weight[branch].add_(of_weight, alpha=self.weights.combination)
            if self.weights.mean_ce:
                gradients[branch].addcmul_(share, towards, value=self.weights.mean_ce)

    def _tempered(
        self, softmax: list[Softmax], of_mean: Softmax | None, log_q: Tensor | None
    ) -> dict[int | None, Softmax]:
        """Softmaxes at the temperature, of the branches and the mean that teach or are taught."""
        assert self.distillation is not None
        tau = self.distillation.temperature
        asked = {branch for _, *pair in self.pairs for branch in pair}
        known: dict[int | None, Softmax | None] = {**dict(enumerate(softmax)), None: of_mean}
        return {
            branch: one.tempered(tau, log_q)
            for branch, one in known.items()
            if branch in asked and one is not None
        }

    def _distill(
        self, tempered: dict[int | None, Softmax], gradients: list[Tensor], rows: slice
    ) -> None:
        """Add a block's divergences to the loss and to the branches' gradients."""
        assert self.distillation is not None
        tau = self.distillation.temperature
        for number, teacher, student in self.pairs:
            of_teacher, of_student = tempered[teacher], tempered[student]
            if self.absent is not None:
                of_teacher = of_teacher.without(self.absent[student])
                if teacher is not None:
                    of_student = of_student.without(self.absent[teacher])
            difference = of_teacher.logits - of_student.logits
            gap = of_teacher.log_sum - of_student.log_sum
            q_t, q_s = of_teacher.probability, of_student.probability
            if (kept := self._comparable(of_student, teacher, student, rows)) is not None:
                gap, q_t, q_s = gap * kept, q_t * kept, q_s * kept
            divergence = torch.linalg.vecdot(q_t, difference)[:, None] - gap
            self.kd[number] += tau**2 * divergence.sum() / self.n_rows
            scale = self.weights.kd * tau / self.n_rows
            gradients[student].add_(q_s, alpha=scale).sub_(q_t, alpha=scale)
            if not self.distillation.detach_teacher:
                towards = difference.sub_(gap + divergence).mul_(q_t).mul_(scale)
                if teacher is None:
                    for branch, share in enumerate(self.scores.mean_weight):
                        gradients[branch] += share * towards
                else:
                    gradients[teacher] += towards

    def _comparable(
        self, of_student: Softmax, teacher: int | None, student: int, rows: slice
    ) -> Tensor | None:
        """Rows with a candidate that has both sources and is not excluded, ``[n_block, 1]``.

        None: all have one. The target is never excluded, so only rows whose target lacks a source
        may have none, and these are few.
        """
        if self.absent is None or self.scores.exclude is None:
            return None
        absent = self.absent[student]
        absent = absent if teacher is None else absent | self.absent[teacher]
        doubtful = absent[self.scores.target[rows]].nonzero().flatten()
        if not len(doubtful):
            return None
        kept = torch.ones(len(of_student.logits), 1, dtype=torch.bool, device=absent.device)
        kept[doubtful, 0] = ((of_student.logits[doubtful] > UNMASKED) & ~absent).any(1)
        return None if bool(kept.all()) else kept
