"""What recommending needs of a trained model: an adapter for each kind of model.

``tests/serving/contracts.py`` has a class of tests that every adapter must pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..model.widths import unstack
from .reader import BranchReader, EmbeddingReader


class ScoringModel(ABC):
    """A model whose score is the dot product of a user state and an item's vector.

    Parameters
    ----------
    model : recbole.model.abstract_recommender.SequentialRecommender
        Trained, in evaluation mode. It must not change as long as this is used.

    Attributes
    ----------
    branches : list of str
        Names of the parts that states and vectors are made of.
    """

    branches: list[str]

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def max_length(self) -> int:
        """Items of a history that are read."""
        return self.model.max_seq_length

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @abstractmethod
    def table(self, branches: Sequence[str]) -> Tensor:
        """Give all items' vectors of some branches, weighted, ``[n_items, sum of widths]``."""

    @abstractmethod
    def user_states(
        self, item_seq: Tensor, item_seq_len: Tensor, branches: Sequence[str]
    ) -> Tensor:
        """Read histories.

        Parameters
        ----------
        item_seq : Tensor
            ``[B, T]``, 0 = padding on the right, T at most :attr:`max_length`.
        item_seq_len : Tensor
            ``[B]``, from 1 on.
        branches : sequence of str
            Those that score.

        Returns
        -------
        Tensor
            ``[B, sum of widths]``.
        """

    @abstractmethod
    def reader(self, branches: Sequence[str]) -> nn.Module:
        """Give what reads histories, without the items: a module of its own.

        Returns
        -------
        torch.nn.Module
            Takes what is read of the items of histories, float32 ``[B, T, E]``, and their lengths
            ``[B]``, and gives :meth:`user_states`.
        """

    @abstractmethod
    def read_vectors(self, branches: Sequence[str]) -> Tensor:
        """Give what :meth:`reader` reads of each item, ``[n_items, E]``."""

    def widths(self, branches: Sequence[str]) -> list[int]:
        """Width of each branch's part of states and vectors."""
        return [self.table([name]).size(1) for name in branches]

    def weights(self, branches: Sequence[str]) -> Tensor:
        """How much each branch's score counts in that of each item, ``[len(branches), n_items]``.

        By default 1.
        """
        return torch.ones(len(branches), self.model.n_items, device=self.device)

    def repeat_bias(self) -> Tensor | None:
        """What is added to the scores of the history's items, before the weights.

        Returns
        -------
        Tensor or None
            By distance from the end, 0 = the last item: ``[max_length]``. By default None.
        """
        return None

    def popularity(self) -> Tensor | None:
        """How often training had to predict each item, int64 ``[n_items]``.

        None if the model forgot it.
        """
        return None


class BranchedModel(ScoringModel):
    """IDMMDistill, with any sources and encoders."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.branches = list(model.branches)
        with torch.no_grad():
            self.scorer = model.scorer

    def _places(self, branches: Sequence[str]) -> list[int]:
        return [self.branches.index(name) for name in branches]

    @property
    def sources(self) -> list[str]:
        """What items have: ``id`` and the modalities."""
        return self.scorer.network.sources

    def without(self, sources: Collection[str]) -> BranchedModel:
        """Give the model as it is when all items lack some sources, see :meth:`.Scorer.without`."""
        other = copy(self)
        other.scorer = self.scorer.without(sources)
        return other

    def has_source(self, source: str) -> Tensor:
        """Which items have a source, bool ``[n_items]``; an ID that was never trained is none."""
        present = self.scorer.network.features_present()
        return present.get(source, self.scorer.catalogue.train_count > 0).to(self.device)

    @torch.no_grad()
    def features(self, modality: str, item: Tensor) -> Tensor:
        """Features of items ``[n]``, the mean of each one's tokens: ``[n, dim]``, 0 where none."""
        values, mask = self.scorer.network.source_embedding[modality].table(item)
        return values.float().sum(1) / mask.sum(1, keepdim=True).clamp(min=1)

    @torch.no_grad()
    def table(self, branches: Sequence[str]) -> Tensor:
        """See :class:`ScoringModel`."""
        return self.scorer.table(self._places(branches))

    @torch.no_grad()
    def user_states(
        self, item_seq: Tensor, item_seq_len: Tensor, branches: Sequence[str]
    ) -> Tensor:
        """See :class:`ScoringModel`."""
        return self.scorer.user_states(item_seq, item_seq_len, self._places(branches))

    def reader(self, branches: Sequence[str]) -> nn.Module:
        """See :class:`ScoringModel`."""
        places = self._places(branches)
        groups, read = self._read(places)
        vectors = unstack(self.scorer.vectors)
        widths = [vectors[branch].size(-1) for branch in read]
        user_encoder = self.scorer.network.user_encoder.part(groups)
        return BranchReader(user_encoder, widths, [read.index(branch) for branch in places])

    @torch.no_grad()
    def read_vectors(self, branches: Sequence[str]) -> Tensor:
        """See :class:`ScoringModel`."""
        _, read = self._read(self._places(branches))
        vectors = unstack(self.scorer.vectors)
        return torch.cat([vectors[branch] for branch in read], dim=1)

    def _read(self, places: Sequence[int]) -> tuple[list[int], list[int]]:
        """Groups that are read for the states of some branches, and all branches of these."""
        groups = self.scorer.network.user_encoder.groups
        chosen = [n for n, group in enumerate(groups) if set(group) & set(places)]
        return chosen, sorted(branch for n in chosen for branch in groups[n])

    @torch.no_grad()
    def weights(self, branches: Sequence[str]) -> Tensor:
        """See :class:`ScoringModel`."""
        places = self._places(branches)
        return self.scorer.network.combination(self.scorer.catalogue.present[places], places)

    @torch.no_grad()
    def repeat_bias(self) -> Tensor | None:
        """See :class:`ScoringModel`."""
        repeat_bias = self.scorer.network.repeat_bias
        if repeat_bias is None:
            return None
        last = self.max_length - 1
        every = torch.arange(1, self.max_length + 1, device=self.device)[None]  # no item twice
        bias, _ = repeat_bias(every, torch.zeros_like(every[:, 0]), every[:, last] - 1)
        return bias[0].flip(0)

    def popularity(self) -> Tensor | None:
        """See :class:`ScoringModel`."""
        return self.model.train_count


class EmbeddingModel(ScoringModel):
    """A model of RecBole whose score is its ``forward`` times its item embedding."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.branches = ["id"]

    @torch.no_grad()
    def table(self, branches: Sequence[str]) -> Tensor:
        """See :class:`ScoringModel`."""
        return self.model.item_embedding.weight.detach()

    @torch.no_grad()
    def user_states(
        self, item_seq: Tensor, item_seq_len: Tensor, branches: Sequence[str]
    ) -> Tensor:
        """See :class:`ScoringModel`."""
        return self.model(item_seq, item_seq_len)

    def reader(self, branches: Sequence[str]) -> nn.Module:
        """See :class:`ScoringModel`."""
        return EmbeddingReader(self.model)

    def read_vectors(self, branches: Sequence[str]) -> Tensor:
        """See :class:`ScoringModel`."""
        return self.table(branches)


ADAPTERS: dict[str, type[ScoringModel]] = {
    "IDMMDistill": BranchedModel,
    "ODMT": BranchedModel,
    "SASRec": EmbeddingModel,
    "GRU4Rec": EmbeddingModel,
}


def adapt(model: Any, path: Any) -> ScoringModel:
    """Give the adapter of a model.

    Parameters
    ----------
    model : recbole.model.abstract_recommender.SequentialRecommender
        Of a checkpoint.
    path : str or Path
        The checkpoint, for the message.

    Raises
    ------
    UserError
        There is none for this kind of model.
    """
    name = type(model).__name__
    if name not in ADAPTERS:
        raise UserError(
            f"{path} is a model {name}, from which nothing can be recommended yet.",
            f"Give a checkpoint of {', '.join(ADAPTERS)}.",
        )
    return ADAPTERS[name](model)
