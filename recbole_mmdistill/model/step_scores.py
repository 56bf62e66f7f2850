"""The scores of a training step: what a loss sees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from . import device
from .combine import Combination
from .repeats import RepeatCandidates
from .widths import BranchTensor, by_width, stacks

UNMASKED = -1e6  # logits above it are of candidates that take part
MASKED = -1e9  # a logit that never wins; finite, so that 0 * (difference of two) is 0, not NaN


@dataclass(frozen=True)
class StepScores:
    """Scores of a step's rows (one for each target) over its candidates, in every branch.

    :attr:`logits` and :attr:`mean_logits` are computed when they are first asked for.

    Attributes
    ----------
    user : BranchTensor
        User states, ``[n_branches, n_rows, width]``; in stacks where the branches' widths differ,
        see :mod:`.widths`.
    item : BranchTensor
        Candidates' vectors, ``[n_branches, n_candidates, width]``.
    target : Tensor
        Each row's true next item as a position among the candidates, ``[n_rows]``.
    present : Tensor or None
        Whether the candidate has the branch's source, bool ``[n_branches, n_candidates]``. An
        absent one takes part in no softmax of that branch. None: all present.
    weight : Tensor or None
        Each branch's weight in the final score, times its sharpness, ``[n_branches,
        n_candidates]``. Only the loss ``combination`` lets a gradient through. None: equal shares.
    log_q : Tensor or None
        Log-probability of each candidate to be one, ``[n_candidates]``. None: it is certain.
    exclude : Tensor or None
        Candidates that rows of a group do not compete against unless one is the row's target,
        positions ``[n_groups, n_excluded]``; ``n_candidates`` stands for none.
    group : Tensor or None
        Each row's group in ``exclude``, ``[n_rows]``.
    repeats : RepeatCandidates or None
        The candidates that each row's history holds. They are candidates for certain, so neither
        ``log_q`` nor ``exclude`` is for them; their bias is part of every branch's score.
    padding : Tensor or None
        Bool ``[n_candidates]``: places that no candidate takes, absent in every branch. None: none.
    combination : Combination or None
        What made ``weight``.
    real : Tensor or None
        Bool ``[n_rows]``, False for a row that has no target (it says 0) and counts in no loss.
        Such rows fill a step up to a size that was recorded (:mod:`.recorded`), which happens with
        the losses of this package alone: others see None, every row is real.
    epoch : float
        Time in epochs, from 0.
    step : int
        Training steps done.
    generator : torch.Generator or None
        Random numbers apart from those of everything else; None: one that begins with ``step``.
    """

    user: BranchTensor
    item: BranchTensor
    target: Tensor
    present: Tensor | None = None
    weight: Tensor | None = None
    log_q: Tensor | None = None
    exclude: Tensor | None = None
    group: Tensor | None = None
    repeats: RepeatCandidates | None = None
    padding: Tensor | None = None
    combination: Combination | None = None
    real: Tensor | None = None
    epoch: float = 0.0
    step: int = 0
    generator: torch.Generator | None = None

    @property
    def n_branches(self) -> int:
        """How many branches there are."""
        return sum(len(stack) for stack in stacks(self.user))

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return stacks(self.user)[0].size(1)

    @property
    def n_candidates(self) -> int:
        """How many candidates there are."""
        return stacks(self.item)[0].size(1)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.target.device

    def zeros(self, *size: int) -> Tensor:
        """Give a loss of nothing: zeros where the scores are, a scalar without a size."""
        return stacks(self.user)[0].new_zeros(size)

    @cached_property
    def logits(self) -> Tensor:
        """Every branch's logits, ``[n_branches, n_rows, n_candidates]``, float32.

        The branch's score with the repeat bias, less ``log_q``; a candidate that is absent or
        excluded has a logit that never wins.
        """
        products = [user @ item.mT for user, item in zip(stacks(self.user), stacks(self.item))]
        product = products[0] if len(products) == 1 else torch.cat(products)
        logits = product.float() + self.row_offset()
        return logits if self.absent is None else logits.masked_fill(self.absent[:, None], MASKED)

    def row_offset(self, rows: slice = slice(None)) -> Tensor:
        """What is added to the scores of some rows in every branch, ``[n_some, n_candidates]``."""
        target = self.target[rows, None]
        # One column more, where positions of no candidate write.
        shape = len(target), self.n_candidates + 1
        offset = torch.zeros(shape, dtype=torch.float32, device=target.device)
        if self.log_q is not None:
            offset[:, :-1] -= self.log_q
        if self.exclude is not None and self.group is not None:
            of_target = offset.gather(1, target)
            offset.scatter_(1, self.exclude[self.group[rows]], MASKED)
            offset.scatter_(1, target, of_target)
        if self.repeats is not None:
            position, bias = self.repeats.position[rows], self.repeats.bias[rows]
            offset.scatter_(1, position, bias.to(offset.dtype))
        return offset[:, :-1]

    def log_q_of_rows(self, rows: slice = slice(None)) -> Tensor | None:
        """``log_q`` as it is for some rows, ``[n_candidates]`` or ``[n_some, n_candidates]``."""
        if self.log_q is None or self.repeats is None:
            return self.log_q
        position = self.repeats.position[rows]
        log_q = self.log_q.new_zeros(len(position), self.n_candidates + 1)
        log_q[:, :-1] = self.log_q
        return log_q.scatter_(1, position, 0.0)[:, :-1]

    def final(self, weight: Tensor, logits: Tensor) -> Tensor:
        """Logits of the final score ``[n_rows, n_candidates]``, from those of the branches.

        ``weight`` is ``[n_branches, n_candidates]`` or ``[n_branches, 1]``.
        """
        mean = (weight[:, None] * logits).sum(0)
        return mean if self.padding is None else mean.masked_fill(self.padding, MASKED)

    @cached_property
    def mean_logits(self) -> Tensor:
        """Logits of the final score, ``[n_rows, n_candidates]``; no gradient to its weights."""
        return self.final(self.mean_weight, self.logits)

    @cached_property
    def mean_weight(self) -> Tensor:
        """Weights without gradient, ``[n_branches, n_candidates]`` or ``[n_branches, 1]``."""
        if self.weight is not None:
            return self.weight.detach().float()
        return torch.full((self.n_branches, 1), 1 / self.n_branches, device=self.device)

    @cached_property
    def absent(self) -> Tensor | None:
        """Opposite of ``present``; None if it is known that no candidate lacks a source."""
        absent = None if self.present is None else ~self.present
        if absent is not None and device.on_host(absent) and not bool(absent.any()):
            return None
        return absent

    @cached_property
    def valid(self) -> Tensor:
        """Whether a row's target has the branch's source, bool ``[n_branches, n_rows]``."""
        if self.absent is None:
            shape = self.n_branches, self.n_rows
            valid = torch.ones(shape, dtype=torch.bool, device=self.device)
        else:
            valid = ~self.absent[:, self.target]
        return valid if self.real is None else valid & self.real

    @cached_property
    def row_share(self) -> Tensor:
        """What a row counts in a mean over rows, ``[n_rows]``, float32."""
        if self.real is None:
            return torch.full((self.n_rows,), 1 / self.n_rows, device=self.device)
        return self.real / self.real.sum()

    def of_rows(self, row: Tensor) -> StepScores:
        """Give the scores of some rows ``[n_some]``; no gradient goes to the repeat bias."""
        group, real, repeats = self.group, self.real, self.repeats
        if repeats is not None:
            repeats = RepeatCandidates(repeats.position[row], repeats.bias.detach()[row])
        return replace(
            self,
            user=by_width(lambda user: user[:, row], self.user),
            target=self.target[row],
            group=None if group is None else group[row],
            real=None if real is None else real[row],
            repeats=repeats,
        )
