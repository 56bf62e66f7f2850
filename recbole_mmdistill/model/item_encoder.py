"""Item encoders: the sources of an item in, one vector for each branch out.

A new one is a subclass of :class:`ItemEncoder` and a line in :data:`ITEM_ENCODERS`;
``tests/model/test_item_encoder.py`` proves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .layers import TransformerBlock

ID = "id"


class SourceTokens(NamedTuple):
    """One source of a batch of items, already projected to the model's width.

    Attributes
    ----------
    tokens : Tensor
        ``[n_items, n_tokens, hidden_size]``. The first token of an item that lacks the source is
        the source's learned placeholder.
    mask : Tensor
        Bool ``[n_items, n_tokens]``, True where the token is real; all False for an item that
        lacks the source.
    """

    tokens: Tensor
    mask: Tensor


class ItemEncoder(nn.Module):
    """What every item encoder keeps.

    A missing source (mask all False) changes no other source's vector, and never makes a NaN.

    Parameters
    ----------
    config : Mapping
        RecBole's config or any mapping with the same keys.
    sources : sequence of str
        Names of the sources, in the order of the model's branches: ``id`` and the modalities.
    """

    def __init__(self, config: Mapping[str, Any], sources: Sequence[str]) -> None:
        super().__init__()
        self.sources = list(sources)
        self.hidden_size: int = config["hidden_size"]

    @property
    def branches(self) -> list[str]:
        """The branches it gives a vector to: each source has its own unless they are fused."""
        return self.sources

    def start(self) -> None:
        """Set weights that are to begin otherwise than by RecBole's normal draw."""

    def forward(self, inputs: Mapping[str, SourceTokens]) -> Tensor:
        """Encode items.

        Parameters
        ----------
        inputs : Mapping of str to SourceTokens
            The sources of the same ``n_items`` items.

        Returns
        -------
        Tensor
            ``[n_branches, n_items, hidden_size]``.
        """
        raise NotImplementedError


class LateEncoder(ItemEncoder):
    """No exchange between the sources: each branch reads its own source alone."""

    def forward(self, inputs: Mapping[str, SourceTokens]) -> Tensor:
        """See :class:`ItemEncoder`."""
        return torch.stack([_pool(inputs[source]) for source in self.sources])


class IMTEncoder(ItemEncoder):
    """The ID-aware multi-modal transformer (ODMT section 3.2; notes of equations in the README).

    The tokens of all sources of an item go through a few transformer blocks; the first token of
    each source, through a head of its own, is that source's vector. Text and image queries do not
    see the ID key, the ID query sees everything: so an ID never leaks into the modal vectors, and
    an item that nobody has bought yet has them all the same.

    Around the whole there is a residual: a source's vector is its own token plus what the
    exchange adds. Config keys: ``imt_layers``, ``imt_heads``, ``imt_dropout_prob``, ``id_mask``
    (False lets the modal queries see the ID), ``layer_norm_eps``.
    """

    def __init__(self, config: Mapping[str, Any], sources: Sequence[str]) -> None:
        super().__init__(config, sources)
        self.id_mask: bool = config["id_mask"]
        self.blocks = nn.ModuleList(
            TransformerBlock(
                self.hidden_size,
                config["imt_heads"],
                4 * self.hidden_size,
                config["imt_dropout_prob"],
                config["imt_dropout_prob"],
                hidden_act="relu",
                attn_bias=False,
                layer_norm_eps=config["layer_norm_eps"],
            )
            for _ in range(config["imt_layers"])
        )
        self.heads = nn.ModuleDict(
            {
                source: nn.Sequential(
                    nn.Linear(self.hidden_size, self.hidden_size),
                    nn.LeakyReLU(),
                    nn.Linear(self.hidden_size, self.hidden_size),
                )
                for source in self.sources
            }
        )

    def forward(self, inputs: Mapping[str, SourceTokens]) -> Tensor:
        """See :class:`ItemEncoder`."""
        tokens = torch.cat([inputs[source].tokens for source in self.sources], dim=1)
        visible = self._visible(inputs)
        hidden = tokens
        for block in self.blocks:
            hidden = block(hidden, mask=visible)
        vectors, first = [], 0
        for source in self.sources:
            vectors.append(tokens[:, first] + self.heads[source](hidden[:, first]))
            first += inputs[source].tokens.size(1)
        return torch.stack(vectors)

    def start(self) -> None:
        """Let the exchange add nothing at first: each source begins as it would alone.

        A transformer of random weights would only blur what the sources say for themselves.
        """
        for head in self.heads.values():
            *_, weight, _ = head.parameters()
            nn.init.zeros_(weight)

    def _visible(self, inputs: Mapping[str, SourceTokens]) -> Tensor:
        """Which query may see which key: ``[n_items, 1, n_tokens, n_tokens]``."""
        key_is_real = torch.cat([inputs[source].mask for source in self.sources], dim=1)
        visible = key_is_real[:, None, None, :]
        if not self.id_mask:
            return visible.expand(-1, -1, key_is_real.size(1), -1)
        is_id = torch.cat(
            [torch.full((inputs[source].mask.size(1),), source == ID) for source in self.sources]
        ).to(key_is_real.device)
        return visible & (is_id[:, None] | ~is_id[None, :])


class _FusingEncoder(ItemEncoder):
    """One vector, and so one branch, for all sources together."""

    @property
    def branches(self) -> list[str]:
        """One branch, ``all``."""
        return ["all"]


class SumEncoder(_FusingEncoder):
    """The sources' vectors are added; a missing source adds its placeholder."""

    def forward(self, inputs: Mapping[str, SourceTokens]) -> Tensor:
        """See :class:`ItemEncoder`."""
        return torch.stack([_pool(inputs[source]) for source in self.sources]).sum(0, keepdim=True)


class ConcatEncoder(_FusingEncoder):
    """The sources' vectors are joined and mapped back to the model's width by one linear layer."""

    def __init__(self, config: Mapping[str, Any], sources: Sequence[str]) -> None:
        super().__init__(config, sources)
        self.fuse = nn.Linear(len(self.sources) * self.hidden_size, self.hidden_size)

    def forward(self, inputs: Mapping[str, SourceTokens]) -> Tensor:
        """See :class:`ItemEncoder`."""
        return self.fuse(torch.cat([_pool(inputs[s]) for s in self.sources], dim=-1))[None]


def _pool(source: SourceTokens) -> Tensor:
    """Mean of an item's real tokens, ``[n_items, hidden_size]``; its placeholder if it has none."""
    tokens, mask = source
    if tokens.size(1) == 1:
        return tokens[:, 0]
    weight = mask.to(tokens.dtype)
    mean = (tokens * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).clamp(min=1)
    return torch.where(mask.any(1, keepdim=True), mean, tokens[:, 0])


ITEM_ENCODERS: dict[str, type[ItemEncoder]] = {
    "imt": IMTEncoder,
    "sum": SumEncoder,
    "concat": ConcatEncoder,
    "late": LateEncoder,
}
