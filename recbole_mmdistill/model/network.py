"""The network: all that is trained, put together."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from . import device
from .candidates import CandidateSampler, Catalogue, items_of_step
from .combine import Combination, centre
from .feature_lookup import SourceEmbedding
from .item_encoder import ID, ItemEncoder, SourceTokens
from .layers import SourceDropout
from .positions import Positions
from .repeats import RepeatBias
from .step_scores import StepScores
from .user_encoder import UserEncoder
from .widths import BranchTensor, by_width, stacks

_ITEMS_AT_ONCE = 8192


class Network(nn.Module):
    """From item ids to branches' vectors, user states and weights; it knows no options.

    Parameters
    ----------
    source_embedding : Mapping of str to SourceEmbedding
        By modality.
    id_embedding : nn.Embedding or None
        ``[n_items, width]``; None if the ID is no source.
    item_encoder : ItemEncoder
        Gives each item a vector in every branch.
    user_encoder : UserEncoder
        Reads histories.
    source_dropout : SourceDropout
        Of the histories' items in training.
    repeat_bias : RepeatBias or None
        None: items of the history get no bias.
    combination : Combination
        Weights of the branches in the final score.
    """

    def __init__(
        self,
        *,
        source_embedding: Mapping[str, SourceEmbedding],
        id_embedding: nn.Embedding | None,
        item_encoder: ItemEncoder,
        user_encoder: UserEncoder,
        source_dropout: SourceDropout,
        repeat_bias: RepeatBias | None,
        combination: Combination,
    ) -> None:
        super().__init__()
        self.source_embedding = nn.ModuleDict(source_embedding)
        self.item_encoder = item_encoder
        self.user_encoder = user_encoder
        self.source_dropout = source_dropout
        self.repeat_bias = repeat_bias
        self.id_embedding = id_embedding
        self.combination = combination

    @property
    def branches(self) -> list[str]:
        """Names of the branches."""
        return self.item_encoder.branches

    @property
    def sources(self) -> list[str]:
        """Names of the sources: ``id`` and the modalities."""
        return self.item_encoder.sources

    def features_present(self) -> dict[str, Tensor]:
        """Whether items have features, by modality: bool ``[n_items]``."""
        embeddings = self.source_embedding.items()
        return {n: e.table.present for n, e in embeddings if isinstance(e, SourceEmbedding)}

    def encode_items(self, item: Tensor, without: Collection[str] = ()) -> BranchTensor:
        """Encode items.

        Parameters
        ----------
        item : Tensor
            Ids, ``[n_items]``.
        without : collection of str
            Sources that all of them are to lack: what stands in their place is the source's
            placeholder, and the mean of all IDs.

        Returns
        -------
        BranchTensor
            ``[n_branches, n_items, width]``.
        """
        inputs = {
            name: SourceTokens.missing(embed.get_parameter("placeholder"), len(item))
            if name in without
            else embed(item)
            for name, embed in self.source_embedding.items()
        }
        if self.id_embedding is not None and ID in without:
            inputs[ID] = SourceTokens.missing(self.id_embedding.weight[1:].mean(0), len(item))
        elif self.id_embedding is not None:
            token = self.id_embedding(item)[:, None]
            everywhere = torch.ones(token.shape[:2], dtype=torch.bool, device=item.device)
            inputs[ID] = SourceTokens(token, everywhere)
        return self.item_encoder(inputs)

    def encode_catalogue(
        self, n_items: int, on: torch.device, without: Collection[str] = ()
    ) -> BranchTensor:
        """Encode the items 0 to ``n_items - 1``, see :meth:`encode_items`."""
        first, *chunks = torch.arange(n_items, device=on).split(_ITEMS_AT_ONCE)
        of_first = self.encode_items(first, without)
        if not chunks:
            return of_first
        vectors = by_width(lambda x: x.new_empty(len(x), n_items, x.size(-1)), of_first)
        for whole, part in zip(stacks(vectors), stacks(of_first)):
            whole[:, first] = part
        for chunk in chunks:
            of_chunk = self.encode_items(chunk, without)
            for whole, part in zip(stacks(vectors), stacks(of_chunk)):
                whole[:, chunk[0] : chunk[-1] + 1] = part
        return vectors

    def score_step(
        self,
        item_seq: Tensor,
        target_seq: Tensor,
        positions: Positions,
        sampler: CandidateSampler,
        catalogue: Catalogue,
        epoch: float,
        step: int,
        generator: torch.Generator | None = None,
    ) -> StepScores:
        """Score the candidates of a training step.

        Parameters
        ----------
        item_seq, target_seq : Tensor
            Histories and the next item at each of their positions, ``[B, T]``; 0 = none.
        positions : Positions
            Where there is a next item.
        sampler : CandidateSampler
            Chooses the candidates.
        catalogue : Catalogue
            Facts about the items.
        epoch, step, generator
            See :class:`~.step_scores.StepScores`.

        Returns
        -------
        StepScores
        """
        target, real = positions.target, positions.real
        chosen = sampler.choose(target, catalogue.pool)
        items = items_of_step(
            chosen, item_seq, catalogue.present.size(1), are_all=chosen is catalogue.pool
        )
        vectors = self.encode_items(items.item)
        user = self._user_states(self.source_dropout(vectors), items.history, positions)
        present = catalogue.present[:, chosen]
        counts = present.float()
        n_targets = len(target) if real is None else real.sum()
        log_q = sampler.log_q(chosen, n_targets, catalogue)
        exclude = None
        if log_q is not None:
            counts = counts * (-log_q).exp()  # so that the sample's mean is that of the catalogue
            exclude = items.position[torch.cat([item_seq, target_seq], dim=1)]
        repeats = None
        if self.repeat_bias is not None:
            repeats = self.repeat_bias.candidates(
                item_seq, positions.row, positions.position, items.position, items.n_candidates
            )
        of_candidates = by_width(lambda x: x[:, : items.n_candidates], vectors)
        place = items.position[target]
        return StepScores(
            user=user,
            item=centre(of_candidates, counts),
            target=place if real is None else place * real,
            present=present,
            weight=self.combination.in_training(present),
            log_q=log_q,
            exclude=exclude,
            group=None if exclude is None else positions.row,
            repeats=repeats,
            padding=None if device.on_host(chosen) else chosen == 0,
            combination=self.combination,
            real=real,
            epoch=epoch,
            step=step,
            generator=generator,
        )

    def _user_states(
        self, vectors: BranchTensor, index: Tensor, positions: Positions
    ) -> BranchTensor:
        """States at the predicting positions, ``[n_branches, n_targets, width]``.

        ``vectors`` ``[n_branches, n_encoded, width]``; ``index`` ``[B, T]``, where each item of a
        history stands in them.
        """
        parts = []
        for group in positions.groups:
            of_group = index if group.row is None else index[group.row]
            read = of_group[:, : group.seq_len]
            where = group.row_index, group.position_index
            parts.append(self.user_encoder(vectors, read, where))
        if len(parts) == 1:
            return parts[0]
        return by_width(lambda *of_width: torch.cat(of_width, dim=1), *parts)
