"""Candidates: which items a training step ranks each target against.

A new way is a subclass of :class:`CandidateSampler`, registered in :data:`CANDIDATES`; its
constructor's keyword arguments are filled from the options of the same names.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from . import device
from .registry import Registry

AUTO, FULL, IN_BATCH, SAMPLED = "auto", "full", "in_batch", "sampled"

# Up to here all items are hardly more than a step's sample: 1024 negatives and the targets of a
# batch of 2048. And a softmax over all is exact.
_SMALL_CATALOGUE = 4096


class Catalogue(NamedTuple):
    """What a training split says of the items.

    Attributes
    ----------
    trained_items : Tensor
        Items that are a target in training, ascending ids ``[n_trained]``. The IDs of others say
        nothing, and they are no negatives: or else the modal branches would learn that what is
        new is never wanted.
    train_count : Tensor
        How often each item is a target in training, ``[n_items]``.
    present : Tensor
        Whether each item has each branch's source, bool ``[n_branches, n_items]``; an ID that was
        never trained is no source. False for the padding, item 0.
    targets : Tensor or None
        Items that are a target in the split itself or in what a checkpoint was trained on, where
        these are more than ``trained_items``.
    """

    trained_items: Tensor
    train_count: Tensor
    present: Tensor
    targets: Tensor | None = None

    @property
    def pool(self) -> Tensor:
        """Items that may be candidates, ascending ids."""
        return self.trained_items if self.targets is None else self.targets


class CandidateSampler:
    """What every way to choose the candidates keeps; they are the targets and some others.

    Attributes
    ----------
    is_sample : bool
        Whether candidates are a sample of the catalogue. Then their logits are corrected by
        :meth:`log_q`, and a history's other items are no negatives for its targets.
    n_uniform : int
        Candidates drawn uniformly in each step.
    """

    is_sample = True
    n_uniform = 0

    def choose(self, target: Tensor, trained_items: Tensor) -> Tensor:
        """Choose the candidates of a step.

        Parameters
        ----------
        target : Tensor
            The step's true next items, ``[n_rows]``.
        trained_items : Tensor
            See :class:`Catalogue`.

        Returns
        -------
        Tensor
            Distinct item ids, ascending, all targets among them: ``[n_candidates]``. On a GPU zeros
            may follow, which are no candidates, so that the number is known without a look.
        """
        raise NotImplementedError

    def log_q(
        self, candidates: Tensor, n_rows: int | Tensor, catalogue: Catalogue
    ) -> Tensor | None:
        """Log-probability of each candidate to be one, ``[n_candidates]``; None if it is certain.

        ``n_rows`` is the number of the step's targets. What comes back is subtracted from the
        logits (logQ correction: Bengio and Senecal, 2008; Yi et al., RecSys 2019).
        """
        if not self.is_sample:
            return None
        count, total = catalogue.train_count, catalogue.train_count.sum().clamp(min=1)
        popularity = count[candidates].clamp(min=1) / total
        return log_inclusion(popularity, n_rows, self.n_uniform, len(catalogue.pool))


CANDIDATES: Registry[CandidateSampler] = Registry("choice of candidates", "train_candidates")


@CANDIDATES.register(FULL)
class FullCandidates(CandidateSampler):
    """All items that training knows."""

    is_sample = False

    def choose(self, target: Tensor, trained_items: Tensor) -> Tensor:
        """See :class:`CandidateSampler`."""
        if not device.on_host(target):  # the split's targets are trained items
            return trained_items
        return torch.cat([trained_items, target]).unique()


@CANDIDATES.register(IN_BATCH)
class InBatchCandidates(CandidateSampler):
    """The targets of the batch."""

    def choose(self, target: Tensor, trained_items: Tensor) -> Tensor:
        """See :class:`CandidateSampler`."""
        return distinct(target)


@CANDIDATES.register(SAMPLED)
class SampledCandidates(CandidateSampler):
    """The targets of the batch, and items drawn uniformly.

    Parameters
    ----------
    n_negatives : int
        Draws in each step, shared by its rows.
    """

    def __init__(self, n_negatives: int = 1024) -> None:
        self.n_uniform = n_negatives

    def choose(self, target: Tensor, trained_items: Tensor) -> Tensor:
        """See :class:`CandidateSampler`."""
        if not device.on_host(target) and len(target) + self.n_uniform >= len(trained_items):
            return trained_items
        drawn = torch.randint(len(trained_items), (self.n_uniform,), device=target.device)
        return distinct(torch.cat([target, trained_items[drawn]]))

    def log_q(
        self, candidates: Tensor, n_rows: int | Tensor, catalogue: Catalogue
    ) -> Tensor | None:
        """See :class:`CandidateSampler`; None if all items are candidates."""
        if len(candidates) == len(catalogue.pool):
            return None
        return super().log_q(candidates, n_rows, catalogue)


def distinct(item: Tensor) -> Tensor:
    """Distinct ids of ``item`` ``[n]``, ascending; on a GPU followed by zeros up to n."""
    if device.on_host(item):
        return item.unique()
    ordered = item.sort().values
    is_first = torch.ones_like(ordered, dtype=torch.bool)
    torch.ne(ordered[1:], ordered[:-1], out=is_first[1:])
    return torch.zeros_like(ordered).scatter_(0, is_first.cumsum(0) - 1, ordered)


def resolve_candidates(train_candidates: str, n_items: int) -> str:
    """Say what ``train_candidates: auto`` means for a catalogue of this size.

    Parameters
    ----------
    train_candidates : str
        The option.
    n_items : int
        Items of the catalogue, padding included.

    Returns
    -------
    str
        A name in :data:`CANDIDATES`.
    """
    if train_candidates != AUTO:
        return train_candidates
    return FULL if n_items <= _SMALL_CATALOGUE else SAMPLED


def log_inclusion(
    popularity: Tensor, n_draws: int | Tensor, n_uniform: int, n_items: int
) -> Tensor:
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


class StepItems(NamedTuple):
    """The items that a training step encodes.

    Attributes
    ----------
    item : Tensor
        Ids, the candidates first: ``[n_encoded]``.
    n_candidates : int
        How many of them are candidates.
    position : Tensor
        Where an item id stands among the candidates, ``[n_items]``; ``n_candidates`` if it is none.
    history : Tensor
        Where each item of the histories stands in ``item``, ``[B, T]``.
    """

    item: Tensor
    n_candidates: int
    position: Tensor
    history: Tensor


def items_of_step(
    candidates: Tensor, item_seq: Tensor, n_items: int, are_all: bool = False
) -> StepItems:
    """Join the candidates ``[n_candidates]`` and what only histories ``[B, T]`` hold.

    ``are_all`` says that all items that may be candidates are.
    """
    n_candidates = len(candidates)  # on a GPU there may be more than items
    number = torch.arange(max(n_items, n_candidates), device=candidates.device)
    position = torch.full_like(number[:n_items], n_candidates)
    position.scatter_(0, candidates, number[:n_candidates])
    if device.on_host(candidates):
        read = item_seq.unique()
        read = read[position[read] == n_candidates]
        item = torch.cat([candidates, read])
        position[read] = number[n_candidates : len(item)]
        history = position[item_seq]
        position[read] = n_candidates
    elif are_all and n_candidates + item_seq.numel() >= n_items:
        item = position.argsort(stable=True)
        history = torch.empty_like(item).scatter_(0, item, number)[item_seq]
    else:
        # Which of them are the same only a look would tell: so each place is encoded by itself.
        item = torch.cat([candidates, item_seq.flatten()])
        history = torch.arange(n_candidates, len(item), device=item.device).view_as(item_seq)
    position[:1] = n_candidates  # the padding is none
    return StepItems(item, n_candidates, position, history)
