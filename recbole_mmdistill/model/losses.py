"""The losses: a softmax over candidates for each branch, and distillation between branches.

Logits of all branches over all candidates are by far the largest tensors of the model
(``[n_branches, n_rows, n_candidates]``), and a dozen element-wise operations of autograd on them
would cost more than the rest of the training step. Here they are computed a block of rows at a
time, small enough to stay in the processor's cache; the gradients of softmax, cross entropy and
Kullback-Leibler divergence are written out, and a block's logits are dropped before the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .repeats import Own

MEAN = "mean"
_MASKED = -1e9  # a logit that never wins; finite, so that 0 * (difference of two) is 0, not NaN
_CPU_BLOCK = 2**18  # logits of one branch in a block: 1 MiB, so that a dozen such fit the cache
_GPU_BLOCK = 2**26


@dataclass(frozen=True)
class Distillation:
    """Who teaches whom, and how.

    Attributes
    ----------
    pairs : tuple of (int or None, int)
        Teacher and student as branch numbers; the teacher None is the mean of all branches.
    weight : float
        What the loss is multiplied by (the ramp's value at this step included).
    temperature : float
        tau: soft targets are ``softmax(logits / tau)``, and each term is multiplied by tau^2
        (Hinton et al., "Distilling the knowledge in a neural network", 2015).
    detach_teacher : bool
        Whether the gradient stops at the teacher.
    """

    pairs: tuple[tuple[int | None, int], ...]
    weight: float
    temperature: float
    detach_teacher: bool


@dataclass(frozen=True)
class Candidates:
    """What the softmax of each row runs over.

    Attributes
    ----------
    target : Tensor
        ``[n_rows]``, the position of each row's true next item among the candidates.
    present : Tensor or None
        Bool ``[n_branches, n_candidates]``: whether the item has the branch's source. An absent
        candidate takes part in no softmax of that branch, as its score takes no part in a
        ranking. None: all present.
    log_q : Tensor or None
        ``[n_candidates]``, the logarithm of each candidate's probability of being one, subtracted
        from its logits (logQ correction: Bengio and Senecal, 2008; Yi et al., RecSys 2019).
    exclude : Tensor or None
        ``[n_groups, n_excluded]``: candidates (as positions) that rows of the group do not
        compete against, unless one is the row's target.
    group : Tensor or None
        ``[n_rows]``, each row's group in ``exclude``.
    weight : Tensor or None
        ``[n_branches, n_candidates]``, each branch's factor in the final score of a candidate.
        None: equal shares. If it requires a gradient, it gets that of the final score's own
        cross entropy, which is then part of ``total`` in any case.
    own : Own or None
        The candidates that each row's history holds. They are candidates for certain, so neither
        ``log_q`` nor ``exclude`` is for them; their bias is part of every branch's score.
    """

    target: Tensor
    present: Tensor | None = None
    log_q: Tensor | None = None
    exclude: Tensor | None = None
    group: Tensor | None = None
    weight: Tensor | None = None
    own: Own | None = None

    def of_rows(self, row: Tensor) -> Candidates:
        """What the softmax of some rows ``[n_some]`` runs over; no gradient goes to ``own``."""
        group, own = self.group, self.own
        return replace(
            self,
            target=self.target[row],
            group=None if group is None else group[row],
            own=None if own is None else Own(own.at[row], own.bias.detach()[row]),
        )


class BranchLoss(NamedTuple):
    """What :func:`branch_loss` returns.

    Attributes
    ----------
    total : Tensor
        Scalar ``ce_weight * CE + distillation.weight * KD`` and the final score's cross entropy,
        the one to differentiate.
    ce : Tensor
        ``[n_branches]``, without gradient: the branches' cross entropies.
    kd : Tensor
        ``[n_pairs]``, without gradient: the pairs' divergences, not yet times the weight.
    """

    total: Tensor
    ce: Tensor
    kd: Tensor


def branch_loss(
    user: Tensor,
    item: Tensor,
    candidates: Candidates,
    distillation: Distillation | None = None,
    ce_weight: float = 1.0,
    mean_ce_weight: float = 0.0,
) -> BranchLoss:
    """Cross entropy of every branch, and what the branches teach each other (ODMT eq. 9 to 13).

    ``s_b = user_b item_b^T``; ``CE`` is the sum over branches of the mean over rows of
    ``-log softmax(s_b)[target]``; ``KD`` the sum over (teacher, student) pairs of the mean over
    rows of ``tau^2 KL(softmax(s_t / tau) || softmax(s_s / tau))``.

    A row whose target lacks a branch's source is left out of that branch's cross entropy; a pair
    of branches is compared on the candidates that have both sources.

    Parameters
    ----------
    user : Tensor
        User states, ``[n_branches, n_rows, hidden_size]``.
    item : Tensor
        Candidates' vectors, ``[n_branches, n_candidates, hidden_size]``.
    candidates : Candidates
        The true next items, and what is known of the candidates.
    distillation : Distillation, optional
        None: no distillation, ``KD`` is 0.
    ce_weight : float
        Weight of the branches' cross entropy in ``total``.
    mean_ce_weight : float
        Weight with which the final score's cross entropy teaches the branches.

    Returns
    -------
    BranchLoss
    """
    if torch.is_autocast_enabled(user.device.type):
        dtype = torch.get_autocast_dtype(user.device.type)
        user, item = user.to(dtype), item.to(dtype)
    bias = None if candidates.own is None else candidates.own.bias
    total, ce, kd = _BlockwiseLoss.apply(
        user, item, candidates.weight, bias, candidates, distillation, ce_weight, mean_ce_weight
    )
    return BranchLoss(total, ce, kd)


class _BlockwiseLoss(torch.autograd.Function):
    """Computes the gradient beside the loss, block by block, and hands it out in backward."""

    @staticmethod
    def forward(
        ctx: Any,
        user: Tensor,
        item: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        candidates: Candidates,
        distillation: Distillation | None,
        ce_weight: float,
        mean_ce_weight: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(user.device.type, enabled=False):
            sums = _Sums(user, item, candidates, distillation, ce_weight, mean_ce_weight)
            n_rows = user.size(1)
            block = _GPU_BLOCK if user.is_cuda else _CPU_BLOCK
            n_block = max(1, block // item.size(1))
            for first in range(0, n_rows, n_block):
                sums.add_block(slice(first, min(first + n_block, n_rows)))
        ctx.save_for_backward(sums.grad_user, sums.grad_item, sums.grad_weight, sums.grad_bias)
        kd_weight = distillation.weight if distillation is not None else 0.0
        total = ce_weight * sums.ce.sum() + kd_weight * sums.kd.sum()
        total = total + (mean_ce_weight or 1.0) * sums.mean_ce
        ctx.mark_non_differentiable(sums.ce, sums.kd)
        return total, sums.ce, sums.kd

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        of = [None if grad is None else grads[0] * grad for grad in ctx.saved_tensors]
        return *of, None, None, None, None


@dataclass
class _Sums:
    """Loss and gradient as they add up over blocks of rows."""

    user: Tensor
    item: Tensor
    candidates: Candidates
    distillation: Distillation | None
    ce_weight: float
    mean_ce_weight: float
    ce: Tensor = field(init=False)
    mean_ce: Tensor = field(init=False)
    kd: Tensor = field(init=False)
    grad_user: Tensor = field(init=False)
    grad_item: Tensor = field(init=False)
    grad_weight: Tensor | None = field(init=False)
    grad_bias: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        n_branches, n_rows, _ = self.user.shape
        options: dict[str, Any] = {"dtype": torch.float32, "device": self.user.device}
        self.ce = torch.zeros(n_branches, **options)
        self.mean_ce = torch.zeros((), **options)
        n_pairs = 0 if self.distillation is None else len(self.distillation.pairs)
        self.kd = torch.zeros(n_pairs, **options)
        self.grad_user = torch.empty(self.user.shape, **options)
        self.grad_item = torch.zeros(self.item.shape, **options)
        weight = self.candidates.weight
        self.grad_weight = None
        if weight is not None and weight.requires_grad:
            self.grad_weight = torch.zeros(weight.shape, **options)
        known = self.candidates
        self.grad_bias = None
        if known.own is not None and known.own.bias.requires_grad:
            self.grad_bias = torch.zeros(known.own.bias.shape, **options)
        self.absent = None if known.present is None else ~known.present
        if self.absent is not None and not bool(self.absent.any()):
            self.absent = None
        if self.absent is None:
            self.valid = torch.ones(n_branches, n_rows, dtype=torch.bool, device=self.user.device)
        else:
            self.valid = ~self.absent[:, known.target]
        # Of each branch's rows, those whose target has its source: the mean runs over these.
        self.share = 1 / self.valid.sum(1).clamp(min=1).to(torch.float32)
        self.n_rows = n_rows

    def add_block(self, rows: slice) -> None:
        log_q = self._log_q(rows)
        softmax = [
            _Softmax.of(self._logits(branch, rows, log_q)) for branch in range(len(self.user))
        ]
        several = len(softmax) > 1  # one alone is its own mean, and has nothing to learn from it
        teaches = several and self.distillation is not None and bool(self.distillation.pairs)
        of_mean = None
        if several and (teaches or self.mean_ce_weight or self.grad_weight is not None):
            of_mean = _Softmax.of(self._mean([one.logits for one in softmax]))
        # Before the probabilities become gradients, in place.
        tempered = self._tempered(softmax, of_mean, log_q) if teaches else {}
        gradients = [self._cross_entropy(b, one, rows) for b, one in enumerate(softmax)]
        if of_mean is not None and (self.mean_ce_weight or self.grad_weight is not None):
            self._mean_cross_entropy(of_mean, [one.logits for one in softmax], gradients, rows)
        if teaches:
            self._distill(tempered, gradients)
        for branch, gradient in enumerate(gradients):
            if self.grad_bias is not None and self.candidates.own is not None:
                self.grad_bias[rows] += gradient.gather(1, self.candidates.own.at[rows])
            if gradient.dtype == self.user.dtype:
                torch.mm(gradient, self.item[branch], out=self.grad_user[branch, rows])
                self.grad_item[branch].addmm_(gradient.T, self.user[branch, rows])
            else:  # mixed precision: products of halves, sums of floats
                gradient = gradient.to(self.user.dtype)
                self.grad_user[branch, rows] = gradient @ self.item[branch]
                self.grad_item[branch] += gradient.T @ self.user[branch, rows]

    def _log_q(self, rows: slice) -> Tensor | None:
        """Correction of a block's logits, ``[n_candidates]`` or ``[n_block, n_candidates]``."""
        log_q, own = self.candidates.log_q, self.candidates.own
        if log_q is None or own is None:
            return log_q
        at = own.at[rows]
        return log_q.expand(len(at), -1).scatter(1, at, 0.0)

    def _logits(self, branch: int, rows: slice, log_q: Tensor | None) -> Tensor:
        """Logits of a block, ``[n_block, n_candidates]`` in float32."""
        known = self.candidates
        logits = (self.user[branch, rows] @ self.item[branch].T).float()
        if log_q is not None:
            logits -= log_q
        if known.own is not None:
            at = known.own.at[rows]
            logits.scatter_(1, at, logits.gather(1, at) + known.own.bias[rows])
        if self.absent is not None:
            logits.masked_fill_(self.absent[branch], _MASKED)
        if known.exclude is not None and known.group is not None:
            kept = known.target[rows, None]
            if known.own is not None:
                kept = torch.cat([kept, known.own.at[rows]], dim=1)
            of_kept = logits.gather(1, kept)
            logits.scatter_(1, known.exclude[known.group[rows]], _MASKED)
            logits.scatter_(1, kept, of_kept)
        return logits

    def _mean(self, logits: list[Tensor]) -> Tensor:
        """Logits of the final score."""
        weight = self._mean_weight()
        mean = weight[0] * logits[0]
        for w, logit in zip(weight[1:], logits[1:]):
            mean.addcmul_(w, logit)
        return mean

    def _cross_entropy(self, branch: int, softmax: _Softmax, rows: slice) -> Tensor:
        """Add a block's cross entropy; turn its probabilities into the logits' gradient."""
        target = self.candidates.target[rows, None]
        valid = self.valid[branch, rows, None]
        loss = (softmax.log_sum - softmax.logits.gather(1, target)).masked_fill(~valid, 0)
        self.ce[branch] += loss.sum() * self.share[branch]
        scale = valid * (self.ce_weight * self.share[branch])
        return softmax.probability.mul_(scale).scatter_add_(1, target, -scale)

    def _mean_cross_entropy(
        self, mean: _Softmax, logits: list[Tensor], gradients: list[Tensor], rows: slice
    ) -> None:
        """Add a block's cross entropy of the final score to the loss and the gradients."""
        target = self.candidates.target[rows, None]
        of_target = mean.logits.gather(1, target)
        self.mean_ce += (mean.log_sum - of_target).sum() / self.n_rows
        scale = 1 / self.n_rows
        towards = mean.probability.mul_(scale)
        towards.scatter_add_(1, target, torch.full_like(of_target, -scale))
        for branch, share in enumerate(self._mean_weight()):
            if self.grad_weight is not None:
                self.grad_weight[branch] += torch.linalg.vecdot(towards, logits[branch], dim=0)
            if self.mean_ce_weight:
                gradients[branch].addcmul_(share, towards, value=self.mean_ce_weight)

    def _tempered(
        self, softmax: list[_Softmax], of_mean: _Softmax | None, log_q: Tensor | None
    ) -> dict[int | None, _Softmax]:
        """Softmaxes at the temperature, of the branches and the mean that teach or are taught."""
        assert self.distillation is not None
        tau = self.distillation.temperature
        asked = {branch for pair in self.distillation.pairs for branch in pair}
        known: dict[int | None, _Softmax | None] = {**dict(enumerate(softmax)), None: of_mean}
        return {
            branch: one.tempered(tau, log_q)
            for branch, one in known.items()
            if branch in asked and one is not None
        }

    def _distill(self, tempered: dict[int | None, _Softmax], gradients: list[Tensor]) -> None:
        """Add a block's divergences to the loss and to the branches' gradients."""
        assert self.distillation is not None
        tau = self.distillation.temperature
        for number, (teacher, student) in enumerate(self.distillation.pairs):
            of_teacher, of_student = tempered[teacher], tempered[student]
            if self.absent is not None:
                of_teacher = of_teacher.without(self.absent[student])
                if teacher is not None:
                    of_student = of_student.without(self.absent[teacher])
            difference = of_teacher.logits - of_student.logits
            gap = of_teacher.log_sum - of_student.log_sum
            q_t, q_s = of_teacher.probability, of_student.probability
            divergence = torch.linalg.vecdot(q_t, difference)[:, None] - gap
            self.kd[number] += tau**2 * divergence.sum() / self.n_rows
            scale = self.distillation.weight * tau / self.n_rows
            gradients[student].add_(q_s, alpha=scale).sub_(q_t, alpha=scale)
            if not self.distillation.detach_teacher:
                towards = difference.sub_(gap + divergence).mul_(q_t).mul_(scale)
                if teacher is None:
                    for branch, share in enumerate(self._mean_weight()):
                        gradients[branch] += share * towards
                else:
                    gradients[teacher] += towards

    def _mean_weight(self) -> Tensor:
        """``[n_branches, n_candidates]`` or ``[n_branches, 1]``."""
        if self.candidates.weight is not None:
            return self.candidates.weight.detach().float()
        n_branches = len(self.user)
        return torch.full((n_branches, 1), 1 / n_branches, device=self.user.device)


class _Softmax(NamedTuple):
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
    def of(cls, logits: Tensor) -> _Softmax:
        # Torch's fused softmax takes half the time of its parts; the sum it keeps to itself is
        # known from any candidate, best from the likeliest.
        probability = torch.softmax(logits, 1)
        log_sum = logits.amax(1, keepdim=True) - probability.amax(1, keepdim=True).log()
        return cls(logits, probability, log_sum)

    def tempered(self, tau: float, log_q: Tensor | None) -> _Softmax:
        """Give the softmax at a temperature; the correction by ``log_q`` is not divided by it.

        For that correction undoes the sampling, whatever the temperature. At the temperature 2,
        the default, the exponentials' roots are at hand; what has underflown has none, which for
        a probability below 1e-38 does not matter.
        """
        if tau == 1:
            return _Softmax(self.logits, self.probability.clone(), self.log_sum)
        logits = self.logits / tau
        if log_q is not None:
            logits -= log_q * (1 - 1 / tau)
        if tau != 2:
            return _Softmax.of(logits)
        root = self.probability.sqrt()
        if log_q is not None:
            root *= (-log_q / 2).exp()
        mass = root.sum(1, keepdim=True)
        return _Softmax(logits, root / mass, self.log_sum / 2 + mass.log())

    def without(self, absent: Tensor) -> _Softmax:
        """Give the distribution in which no candidate of ``absent`` ``[n_candidates]`` occurs."""
        if not bool(absent.any()):
            return self
        probability = self.probability.masked_fill(absent, 0)
        mass = probability.sum(1, keepdim=True).clamp(min=1e-30)
        return _Softmax(self.logits, probability / mass, self.log_sum + mass.log())


def ramp(epoch: float, ramp_epochs: float) -> float:
    """Weight of the distillation at a time in epochs (ODMT eq. 14; Laine and Aila, ICLR 2017).

    ``exp(-5 (1 - min(t, R) / R)^2)``: e^-5 at the start, 1 from epoch R on, and 1 throughout if
    R is 0.
    """
    if ramp_epochs <= 0:
        return 1.0
    return math.exp(-5.0 * (1.0 - min(epoch, ramp_epochs) / ramp_epochs) ** 2)


def log_inclusion(popularity: Tensor, n_draws: int, n_uniform: int, n_items: int) -> Tensor:
    """Log-probability that an item is among a batch's candidates.

    A candidate is the target of one of ``n_draws`` positions, drawn by popularity, or one of
    ``n_uniform`` items drawn uniformly with replacement from ``n_items``:
    ``1 - (1 - p)^n_draws (1 - 1 / n_items)^n_uniform``.

    Parameters
    ----------
    popularity : Tensor
        Each candidate's share p of the training targets, ``[n_candidates]``.
    n_draws, n_uniform, n_items : int
        Targets in the batch, uniform negatives, items of the catalogue.

    Returns
    -------
    Tensor
        ``[n_candidates]``, float32.
    """
    p = popularity.double().clamp(1e-12, 1 - 1e-12)
    missed = n_draws * torch.log1p(-p) + n_uniform * math.log1p(-1 / max(n_items, 2))
    return torch.log(-torch.expm1(missed)).float()


def parse_pairs(
    pairs: Sequence[Sequence[str]], branches: Sequence[str]
) -> tuple[tuple[int | None, int], ...]:
    """Turn the names of ``kd_pairs`` into branch numbers; pairs of absent branches are left out.

    Parameters
    ----------
    pairs : sequence of (teacher, student)
        Names of branches; the teacher may be ``mean``.
    branches : sequence of str
        The model's branches.

    Returns
    -------
    tuple of (int or None, int)
        As :attr:`Distillation.pairs`.
    """
    known: dict[str, int | None] = {name: number for number, name in enumerate(branches)}
    known[MEAN] = None
    numbered = []
    for teacher, student in pairs:
        if teacher in known and student in branches and teacher != student:
            numbered.append((known[teacher], branches.index(student)))
    return tuple(numbered)
