"""The losses that come with the package: cross entropies, and distillation between branches.

Gradients are autograd's. Where no other loss is named, :mod:`.fused` computes the same faster.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from .loss import LOSSES, Loss
from .step_scores import MASKED, UNMASKED, StepScores

MEAN = "mean"


@LOSSES.register("ce")
class CrossEntropy(Loss):
    """Cross entropy of every branch, each by itself (ODMT eq. 9).

    Each is the mean over the rows whose target has the branch's source of
    ``-log softmax(s_b)[target]``.

    Parameters
    ----------
    branches : sequence of str
        Names of the branches.
    weight : float
        See :class:`Loss`.
    """

    def __init__(self, *, branches: Sequence[str], weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        self.branches = list(branches)

    def part_names(self, name: str) -> list[str]:
        """See :class:`Loss`."""
        return [f"loss/{branch}" for branch in self.branches]

    def forward(self, scores: StepScores) -> Tensor:
        """See :class:`Loss`; ``[n_branches]``."""
        target = scores.target.repeat(scores.n_branches)
        loss = F.cross_entropy(scores.logits.flatten(0, 1), target, reduction="none")
        loss = loss.view(scores.n_branches, scores.n_rows)
        n_valid = scores.valid.sum(1).clamp(min=1)
        return loss.masked_fill(~scores.valid, 0).sum(1) / n_valid


@LOSSES.register("mean_ce")
class MeanCrossEntropy(Loss):
    """Cross entropy of the final score; it teaches the branches, not their weights.

    0 with a single branch, whose own cross entropy it would be.
    """

    def part_names(self, name: str) -> list[str]:
        """See :class:`Loss`; none."""
        return []

    def forward(self, scores: StepScores) -> Tensor:
        """See :class:`Loss`; a scalar."""
        if scores.n_branches == 1:
            return scores.zeros()
        return F.cross_entropy(scores.mean_logits, scores.target)


@LOSSES.register("kd")
class Distillation(Loss):
    """What the branches teach each other (ODMT eq. 10 to 14).

    Of each (teacher, student) pair it is the mean over rows of
    ``tau^2 KL(softmax(s_t / tau) || softmax(s_s / tau))``, on the candidates that have both
    sources (Hinton et al., "Distilling the knowledge in a neural network", 2015). The correction
    by log_q is not divided by tau: it undoes the sampling, whatever the temperature.

    Parameters
    ----------
    branches : sequence of str
        Names of the branches.
    pairs : sequence of (teacher, student)
        Names; the teacher may be ``mean``, the final score. Pairs of branches that the model does
        not have are left out.
    weight : float
        See :class:`Loss`; it is reached in epoch ``ramp_epochs``, see :func:`ramp`.
    temperature : float
        tau.
    ramp_epochs : float
        R; 0 for the whole weight at once.
    detach_teacher : bool
        Whether the gradient stops at the teacher.
    """

    def __init__(
        self,
        *,
        branches: Sequence[str],
        pairs: Sequence[Sequence[str]] | None = None,
        weight: float = 1.0,
        temperature: float = 1.0,
        ramp_epochs: float = 0.0,
        detach_teacher: bool = True,
    ) -> None:
        super().__init__(weight=weight)
        self.branches = list(branches)
        self.pairs = parse_pairs(pairs or [], branches)
        self.temperature = float(temperature)
        self.ramp_epochs = float(ramp_epochs)
        self.detach_teacher = detach_teacher

    def weight_at(self, epoch: float) -> float:
        """See :class:`Loss`."""
        return self.weight * ramp(epoch, self.ramp_epochs)

    def part_names(self, name: str) -> list[str]:
        """See :class:`Loss`; ``taught/<teacher>-<student>``."""
        names = [*self.branches, MEAN]  # so that -1 is the mean
        return [f"taught/{names[-1 if t is None else t]}-{names[s]}" for t, s in self.pairs]

    def forward(self, scores: StepScores) -> Tensor:
        """See :class:`Loss`; ``[n_pairs]``."""
        if scores.n_branches == 1 or not self.pairs:
            return scores.zeros(len(self.pairs))
        return torch.stack([self._divergence(scores, *pair) for pair in self.pairs])

    def _divergence(self, scores: StepScores, teacher: int | None, student: int) -> Tensor:
        tau = self.temperature
        teaching = scores.mean_logits if teacher is None else scores.logits[teacher]
        if self.detach_teacher:
            teaching = teaching.detach()
        log_q = scores.log_q_of_rows()
        tempered = []
        for logits in (teaching, scores.logits[student]):
            logits = logits / tau
            if log_q is not None:
                logits = logits - log_q * (1 - 1 / tau)
            if scores.absent is not None:
                absent = scores.absent[student]
                absent = absent if teacher is None else absent | scores.absent[teacher]
                logits = logits.masked_fill(absent, MASKED)
            tempered.append(logits)
        comparable = (tempered[1] > UNMASKED).any(1)
        log_t, log_s = (logits.log_softmax(1) for logits in tempered)
        divergence = (log_t.exp() * (log_t - log_s)).sum(1)
        return tau**2 * divergence.where(comparable, 0.0).mean()


# Of a step's rows and candidates, those that teach what an item without its ID is worth: enough for
# one number, and too few to be felt in the step's time.
NEW_ITEM_ROWS = 64
NEW_ITEM_SHARE = 0.05


@LOSSES.register("combination")
class CombinationLoss(Loss):
    """Teaches the combination's weights and factors, and nothing else.

    Cross entropy of the final score, with its gradient to the weights alone. With ``mean_ce`` it
    is the same number, so its value then counts as 0.

    Training has no item that it never saw. So beside it, some candidates' IDs are hidden from the
    final score of some rows, and the cross entropy of these says how much an item without its ID
    is worth. That has the value 0 and a gradient to that factor alone, and it draws its random
    numbers apart: the model becomes what it would be without.

    Parameters
    ----------
    is_counted : bool
        Whether the cross entropy counts in the loss's value.
    weight : float
        See :class:`Loss`.
    """

    def __init__(self, *, is_counted: bool = True, weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        self.is_counted = is_counted

    def part_names(self, name: str) -> list[str]:
        """See :class:`Loss`; none."""
        return []

    def forward(self, scores: StepScores) -> Tensor:
        """See :class:`Loss`; a scalar."""
        zero = scores.zeros()
        if scores.n_branches == 1 or scores.weight is None or not scores.weight.requires_grad:
            return zero
        mean = scores.final(scores.weight, scores.logits.detach())
        loss = F.cross_entropy(mean, scores.target)
        loss = loss if self.is_counted else loss - loss.detach()
        return loss + self.of_new_items(scores)

    def of_new_items(self, scores: StepScores) -> Tensor:
        """The part that teaches the factor of new items, a scalar 0."""
        combination = scores.combination
        if combination is None or not combination.is_learned or combination.id_branch is None:
            return scores.zeros()
        assert combination.log_missing_factor is not None and scores.present is not None
        number = combination.id_branch
        with torch.no_grad():
            generator = scores.generator or seeded(scores.device, scores.step)
            draw = partial(torch.rand, generator=generator, device=scores.device)
            order = draw(scores.n_rows)
            if scores.real is not None:
                order += ~scores.real  # last
            row = order.argsort()[:NEW_ITEM_ROWS]
            present = scores.present.clone()
            present[number] &= draw(present.size(1)) >= NEW_ITEM_SHARE
            weight = combination.in_training(present, new_item_weight=1.0)
            some = scores.of_rows(row)
            mean = some.final(weight, some.logits)
        factor = combination.log_missing_factor[number]
        factor = (factor - factor.detach()).exp()  # 1, since the weights have its value already
        mean = mean * torch.where(present[number], 1.0, factor)
        loss = F.cross_entropy(mean, some.target, reduction="none") @ some.row_share
        return loss - loss.detach()


def seeded(on: torch.device, seed: int) -> torch.Generator:
    """Random numbers apart from those of everything else."""
    return torch.Generator(on).manual_seed(seed)


def ramp(epoch: float, ramp_epochs: float) -> float:
    """Weight of the distillation at a time in epochs (ODMT eq. 14; Laine and Aila, ICLR 2017).

    ``exp(-5 (1 - min(t, R) / R)^2)``: e^-5 at the start, 1 from epoch R on, and 1 throughout if
    R is 0.
    """
    if ramp_epochs <= 0:
        return 1.0
    return math.exp(-5.0 * (1.0 - min(epoch, ramp_epochs) / ramp_epochs) ** 2)


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
        Teacher and student; the teacher None is the mean of all branches.
    """
    known: dict[str, int | None] = {name: number for number, name in enumerate(branches)}
    known[MEAN] = None
    numbered = []
    for teacher, student in pairs:
        if teacher in known and student in branches and teacher != student:
            numbered.append((known[teacher], branches.index(student)))
    return tuple(numbered)
