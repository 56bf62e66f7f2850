"""Candidates: which items a training step ranks each target against.

A new way is a subclass of :class:`CandidateSampler`, registered in :data:`CANDIDATES`; its
constructor's keyword arguments are filled from the options of the same names.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

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
        never trained is no source.
    """

    trained_items: Tensor
    train_count: Tensor
    present: Tensor


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
            Distinct item ids, ascending, all targets among them: ``[n_candidates]``.
        """
        raise NotImplementedError

    def log_q(self, candidates: Tensor, n_rows: int, catalogue: Catalogue) -> Tensor | None:
        """Log-probability of each candidate to be one, ``[n_candidates]``; None if it is certain.

        It is subtracted from the logits (logQ correction: Bengio and Senecal, 2008; Yi et al.,
        RecSys 2019).
        """
        if not self.is_sample:
            return None
        count, total = catalogue.train_count, catalogue.train_count.sum().clamp(min=1)
        popularity = count[candidates].clamp(min=1) / total
        return log_inclusion(popularity, n_rows, self.n_uniform, len(catalogue.trained_items))


CANDIDATES: Registry[CandidateSampler] = Registry("choice of candidates", "train_candidates")


@CANDIDATES.register(FULL)
class FullCandidates(CandidateSampler):
    """All items that training knows."""

    is_sample = False

    def choose(self, target: Tensor, trained_items: Tensor) -> Tensor:
        """See :class:`CandidateSampler`."""
        return torch.cat([trained_items, target]).unique()


@CANDIDATES.register(IN_BATCH)
class InBatchCandidates(CandidateSampler):
    """The targets of the batch."""

    def choose(self, target: Tensor, trained_items: Tensor) -> Tensor:
        """See :class:`CandidateSampler`."""
        return target.unique()


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
        drawn = torch.randint(len(trained_items), (self.n_uniform,), device=target.device)
        return torch.cat([target, trained_items[drawn]]).unique()


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


class StepItems(NamedTuple):
    """The items that a training step encodes.

    Attributes
    ----------
    item : Tensor
        Distinct ids, the candidates first: ``[n_encoded]``.
    n_candidates : int
        How many of them are candidates.
    position : Tensor
        Where an item id stands in ``item``, ``[n_items]``; -1 if it does not.
    """

    item: Tensor
    n_candidates: int
    position: Tensor


def items_of_step(candidates: Tensor, item_seq: Tensor, n_items: int) -> StepItems:
    """Join the candidates ``[n_candidates]`` and what only histories ``[B, T]`` hold."""
    device = candidates.device
    index = torch.full((n_items,), -1, device=device)
    index[candidates] = torch.arange(len(candidates), device=device)
    read = item_seq.unique()
    item = torch.cat([candidates, read[index[read] < 0]])
    index[item] = torch.arange(len(item), device=device)
    return StepItems(item, len(candidates), index)


def excluded_candidates(item_seq: Tensor, target_seq: Tensor, items: StepItems) -> Tensor:
    """Candidates that are no negatives for a history, because it holds them.

    Parameters
    ----------
    item_seq, target_seq : Tensor
        Histories and the next item at each of their positions, ``[B, T]``; 0 = none.
    items : StepItems
        The step's items.

    Returns
    -------
    Tensor
        Positions among the candidates, ``[B, 2 T]``. Padding and items that are no candidates
        are the position of a target of the row.
    """
    held = torch.cat([item_seq, target_seq], dim=1)
    index = items.position[held]
    no_candidate = (held == 0) | (index >= items.n_candidates)
    return torch.where(no_candidate, items.position[target_seq.amax(1)][:, None], index)
