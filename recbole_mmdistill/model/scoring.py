"""Scoring for evaluation: all items are encoded once, and never used after a weight has changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from .candidates import Catalogue
from .combine import centre
from .layers import OneEach
from .network import Network
from .widths import BranchTensor, unstack


class Scorer:
    """A network with the vectors of all items.

    Parameters
    ----------
    network : Network
        It must not change as long as this is used.
    catalogue : Catalogue
        Facts about the items.
    missing : collection of str
        Sources that all items lack, see :meth:`without`.
    """

    def __init__(
        self, network: Network, catalogue: Catalogue, missing: Collection[str] = ()
    ) -> None:
        self.network = network
        self.catalogue = catalogue
        self.missing = missing
        self._last_table: tuple[list[int], Tensor] | None = None  # one, because they are large

    @cached_property
    def vectors(self) -> BranchTensor:
        """All items' vectors, ``[n_branches, n_items, width]``."""
        present = self.catalogue.present
        return self.network.encode_catalogue(present.size(1), present.device, self.missing)

    def without(self, sources: Collection[str]) -> Scorer:
        """Give a scorer that takes some sources from every item, recommended or read.

        It scores as the model would if no item had them: their places are filled as those of any
        item that lacks them, and their branches have no weight.

        Parameters
        ----------
        sources : collection of str
            Names of the network's sources.

        Returns
        -------
        Scorer
        """
        present = self.catalogue.present
        has_source = [[name not in sources] for name in self.network.branches]
        present = present & torch.tensor(has_source, device=present.device)
        return Scorer(self.network, self.catalogue._replace(present=present), sources)

    def table(self, branches: Sequence[int]) -> Tensor:
        """Items' vectors of some branches side by side, times the branches' weights.

        Parameters
        ----------
        branches : sequence of int
            The branches that score.

        Returns
        -------
        Tensor
            ``[n_items, sum of their widths]``.
        """
        chosen = list(branches)
        if self._last_table is None or self._last_table[0] != chosen:
            self._last_table = None  # its memory is free for the next
            self._last_table = chosen, self._make_table(chosen)
        return self._last_table[1]

    def _make_table(self, chosen: list[int]) -> Tensor:
        present = self.catalogue.present
        is_trained = torch.zeros_like(present[0])
        is_trained[self.catalogue.trained_items] = True
        weights = self.network.combination(present[chosen], chosen)
        vectors, parts = unstack(self.vectors), []
        for branch, weight in zip(chosen, weights):  # one at a time: they are large
            counts = (present[branch] & is_trained)[None].float()
            (centred,) = centre(vectors[branch][None], counts)
            parts.append(centred * weight[:, None])
        return torch.cat(parts, dim=1)

    def user_states(
        self, item_seq: Tensor, item_seq_len: Tensor, branches: Sequence[int]
    ) -> Tensor:
        """States after the last item of histories, side by side.

        Parameters
        ----------
        item_seq : Tensor
            Histories, ``[B, T]``, 0 = padding on the right.
        item_seq_len : Tensor
            ``[B]``; the state of an empty history is 0.
        branches : sequence of int
            The branches that score.

        Returns
        -------
        Tensor
            ``[B, sum of their widths]``.
        """
        row = torch.arange(len(item_seq), device=item_seq.device)
        last = OneEach(row, (item_seq_len - 1).clamp(min=0))
        states = unstack(self.network.user_encoder(self.vectors, item_seq, last))
        side_by_side = torch.cat([states[branch] for branch in branches], dim=1)
        return side_by_side.masked_fill((item_seq_len == 0)[:, None], 0)

    def repeat_bias(
        self, item_seq: Tensor, item_seq_len: Tensor, branches: Sequence[int]
    ) -> Tensor | None:
        """What the final score of each item of a history gets on top, once for each.

        The bias is part of a branch's score, and so takes part by the branches' weights.

        Parameters
        ----------
        item_seq, item_seq_len, branches
            As for :meth:`user_states`.

        Returns
        -------
        Tensor or None
            ``[B, T]``; None for a network without such a bias.
        """
        if self.network.repeat_bias is None:
            return None
        row = torch.arange(len(item_seq), device=item_seq.device)
        bias, _ = self.network.repeat_bias(item_seq, row, item_seq_len - 1)
        chosen = list(branches)
        present = self.catalogue.present[chosen][:, item_seq.flatten()]
        return bias * self.network.combination(present, chosen).sum(0).view(bias.shape)


class ScorerCache:
    """Keeps a scorer as long as no tensor it is made from is replaced or changed in place.

    Torch counts the changes of a tensor (``Tensor._version``), whoever makes them: an optimiser,
    ``load_state_dict``, a user. It does not count those made in place through ``.data``; after
    such, call :meth:`drop`, or switch the model to training and back.
    """

    def __init__(self) -> None:
        self._scorer: Scorer | None = None
        self._made_from: list[tuple[Tensor, int, int]] = []

    def __deepcopy__(self, memo: dict[int, object]) -> ScorerCache:
        return ScorerCache()

    def get(self, tensors: Iterable[Tensor], make: Callable[[], Scorer]) -> Scorer:
        """Give the scorer, made anew where needed; with gradients on it is never kept.

        Parameters
        ----------
        tensors : iterable of Tensor
            All that the scorer is made from.
        make : callable
            Makes it.

        Returns
        -------
        Scorer
        """
        if torch.is_grad_enabled():
            return make()
        now = [(tensor, tensor.data_ptr(), tensor._version) for tensor in tensors]
        if self._scorer is None or not _same(now, self._made_from):
            self._scorer, self._made_from = make(), now
        return self._scorer

    def drop(self) -> None:
        """Forget the scorer, so that its memory is free while training."""
        self._scorer, self._made_from = None, []


def _same(now: list[tuple[Tensor, int, int]], before: list[tuple[Tensor, int, int]]) -> bool:
    return len(now) == len(before) and all(
        tensor is old and rest == old_rest for (tensor, *rest), (old, *old_rest) in zip(now, before)
    )
