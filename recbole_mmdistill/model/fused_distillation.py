"""The distillation's part of the fused loss, see :mod:`.fused`."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from .losses import Distillation
from .step_scores import StepScores


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


class FusedDistillation:
    """The distillation's part: what it adds to the loss and to the gradient's coefficients.

    With q = exp(logits / tau) and Z a side's sum of q, a pair's divergence is
    ``sum(q_t (logits_t - logits_s)) / (tau Z_t) - log(Z_t / Z_s)``.
    """

    def __init__(
        self, scores: StepScores, distillation: Distillation, n: int, kd_weight: float | Tensor
    ) -> None:
        self.scores, self.tau = scores, distillation.temperature
        self.detaches_teacher = distillation.detach_teacher
        n_branches, n_rows = scores.n_branches, scores.n_rows
        self.pairs = tuple((n_branches if t is None else t, s) for t, s in distillation.pairs)
        absent, on = scores.absent, scores.device
        self.sides = _find_sides(self.pairs, n, n_branches, absent is not None, on)
        self.n_sides = len(self.sides.branch)
        self.scale = (kd_weight * self.tau * scores.row_share)[:, None, None]  # [n_rows, 1, 1]
        # Of each row, the sums Z, one over them (0: nothing to compare), and of q times all logits.
        self.mass, self.share = torch.empty(2, n_rows, self.n_sides, device=on)
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
            Logits, the highest of a row 0, and their exponentials, ``[n_block, n, n_candidates]``.
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
        mass = torch.sum(tempered, 2, out=self.mass[rows])
        share = torch.reciprocal(mass, out=self.share[rows])
        if self.common is not None:  # a row may know no candidate with both sources
            is_empty = (mass.unflatten(1, (-1, 2)) == 0).any(2, keepdim=True)
            is_empty = is_empty.expand(-1, -1, 2).flatten(1)
            mass.masked_fill_(is_empty, 1)
            share.masked_fill_(is_empty, 0)
        torch.bmm(tempered, logits.mT, out=self.cross[rows])
        return self.sides.sign * (self.scale[rows] * share[:, None])

    def losses(self) -> Tensor:
        """The pairs' divergences, ``[n_pairs]``."""
        sides, cross, log_mass = self.sides, self.cross.flatten(1), self.mass.log()
        mean = cross.index_select(1, sides.own) - cross.index_select(1, sides.other)
        mean *= self.share.index_select(1, sides.teacher) / self.tau
        gap = log_mass.index_select(1, sides.teacher) - log_mass.index_select(1, sides.student)
        return self.scores.row_share @ (mean - gap) * self.tau**2

    def teach_teachers(
        self, logits: Tensor, tempered: Tensor, gradient: Tensor, rows: slice
    ) -> None:
        """Add the teachers' share of the gradient, where it is not detached."""
        shares, scale = self.share[rows, :, None], self.scale[rows, 0] / self.tau
        by_pair = self.common is not None
        for number, (teacher, student) in enumerate(self.pairs):
            side = 2 * number if by_pair else teacher
            q, share = tempered[:, side], shares[:, side]
            difference = logits[:, teacher] - logits[:, student]
            mean = (q * difference).sum(1, keepdim=True) * share
            towards = (difference - mean) * q * (share * scale)
            if teacher == self.scores.n_branches:
                gradient.addcmul_(self.scores.mean_weight, towards[:, None])
            else:
                gradient[:, teacher] += towards
