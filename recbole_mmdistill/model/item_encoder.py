"""Item encoders: the sources of an item in, one vector for each branch out.

A new one is a subclass of :class:`ItemEncoder` in any file::

    @ITEM_ENCODERS.register("mine")
    class MyEncoder(ItemEncoder): ...

Its constructor's keyword arguments are filled from the options of the same names.
``tests/model/test_item_encoder.py`` has a class of tests that every item encoder must pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .layers import TransformerBlock, Visible
from .registry import Registry
from .stacked import LinearStack, linear_by_width
from .widths import BranchTensor, by_width, stack

ID = "id"


class SourceTokens(NamedTuple):
    """One source of a batch of items, already projected to its width.

    Attributes
    ----------
    tokens : Tensor
        ``[n_items, n_tokens, width]``. The first token of an item that lacks the source is the
        source's learned placeholder.
    mask : Tensor
        Bool ``[n_items, n_tokens]``, True where the token is real; all False for an item that
        lacks the source.
    """

    tokens: Tensor
    mask: Tensor

    @classmethod
    def missing(cls, placeholder: Tensor, n_items: int) -> SourceTokens:
        """Give the tokens of items that lack the source: its placeholder ``[width]``."""
        tokens = placeholder.expand(n_items, 1, -1)
        mask = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return cls(tokens, mask)


class ItemEncoder(nn.Module):
    """What every item encoder keeps.

    A missing source (mask all False) changes no other source's vector, and never makes a NaN.

    A class may say ``takes_widths = True`` in its own body, if its branches may differ in width.
    Then its constructor gets ``widths``, and its vectors are in stacks (:func:`.widths.stack`). Any
    other gets all tokens in one width, the largest of a source, as its ``hidden_size``.

    Parameters
    ----------
    sources : sequence of str
        Names of the sources, in the order of the model's branches: ``id`` and the modalities.
    hidden_size : int
        Width of the tokens and of the vectors.
    widths : Mapping of str to int, optional
        The same by source, where they may differ.
    """

    takes_widths = False

    def __init__(
        self,
        *,
        sources: Sequence[str],
        hidden_size: int,
        widths: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.sources = list(sources)
        self.hidden_size = hidden_size
        self.widths = {name: hidden_size for name in sources} | dict(widths or {})

    @property
    def branches(self) -> list[str]:
        """The branches it gives a vector to: each source has its own unless they are fused."""
        return self.sources

    def reset_parameters(self) -> None:
        """Set weights that are to begin otherwise than by RecBole's normal draw."""

    @property
    def branch_widths(self) -> list[int]:
        """Width of each branch."""
        return [self.widths.get(name, self.hidden_size) for name in self.branches]

    def forward(self, inputs: Mapping[str, SourceTokens]) -> BranchTensor:
        """Encode items.

        Parameters
        ----------
        inputs : Mapping of str to SourceTokens
            The sources of the same ``n_items`` items.

        Returns
        -------
        BranchTensor
            ``[n_branches, n_items, hidden_size]``; in stacks where the widths differ.
        """
        raise NotImplementedError


ITEM_ENCODERS: Registry[ItemEncoder] = Registry("item encoder", "item_encoder")


@ITEM_ENCODERS.register("late")
class LateEncoder(ItemEncoder):
    """No exchange between the sources: each branch reads its own source alone."""

    takes_widths = True

    def forward(self, inputs: Mapping[str, SourceTokens]) -> BranchTensor:
        """See :class:`ItemEncoder`."""
        return stack(_pool(inputs[source]) for source in self.sources)


@ITEM_ENCODERS.register("imt")
class IMTEncoder(ItemEncoder):
    """The ID-aware multi-modal transformer (ODMT section 3.2).

    The tokens of all sources of an item go through a few transformer blocks; the first token of
    each source, through a head of its own, is that source's vector. Text and image queries do not
    see the ID key, the ID query sees everything: so an ID never leaks into the modal vectors, and
    an item that nobody has bought yet has them all the same.

    Parameters
    ----------
    sources, hidden_size, widths
        See :class:`ItemEncoder`.
    imt_width : int, optional
        Width in which the sources meet; by default ``hidden_size``. A linear map leads there from
        a source of another width, and its head leads back.
    imt_layers, imt_heads : int
        Number of blocks, and of attention heads in each.
    imt_dropout_prob : float
        Dropout inside the blocks.
    imt_residual : bool
        Whether a source's vector is its own token plus what the exchange adds, which is nothing
        at first; else it is the head's output alone, as in the paper.
    id_mask : bool
        Whether text and image are kept from seeing the ID.
    layer_norm_eps : float
        Added to the variance for numerical stability.
    """

    takes_widths = True

    def __init__(
        self,
        *,
        sources: Sequence[str],
        hidden_size: int,
        widths: Mapping[str, int] | None = None,
        imt_width: int | None = None,
        imt_layers: int = 2,
        imt_heads: int = 2,
        imt_dropout_prob: float = 0.0,
        imt_residual: bool = True,
        id_mask: bool = True,
        layer_norm_eps: float = 1e-12,
    ) -> None:
        super().__init__(sources=sources, hidden_size=hidden_size, widths=widths)
        size = hidden_size if imt_width is None else imt_width
        self.id_mask = id_mask
        self.residual = imt_residual
        self.blocks = nn.ModuleList(
            TransformerBlock(
                size,
                imt_heads,
                4 * size,
                imt_dropout_prob,
                imt_dropout_prob,
                hidden_act="relu",
                attn_bias=False,
                layer_norm_eps=layer_norm_eps,
            )
            for _ in range(imt_layers)
        )
        first = LinearStack(len(self.sources), size, size)
        last = linear_by_width(size, self.branch_widths)
        self.heads = nn.Sequential(first, nn.LeakyReLU(), last)
        self.enter = nn.ModuleDict(
            {name: nn.Linear(width, size) for name, width in self.widths.items() if width != size}
        )

    def forward(self, inputs: Mapping[str, SourceTokens]) -> BranchTensor:
        """See :class:`ItemEncoder`."""
        vectors = self._exchange(inputs)
        if not self.residual:
            return vectors
        own = stack(inputs[source].tokens[:, 0] for source in self.sources)
        return by_width(torch.add, vectors, own)

    def _exchange(self, inputs: Mapping[str, SourceTokens]) -> BranchTensor:
        """What each source's first token becomes among the tokens of all sources."""
        parts = [inputs[source].tokens for source in self.sources]
        if len(self.enter):
            parts = [
                self.enter[source](part) if source in self.enter else part
                for source, part in zip(self.sources, parts)
            ]
        first = list(accumulate((part.size(1) for part in parts), initial=0))[:-1]
        hidden = torch.cat(parts, dim=1)
        visible = Visible.of(self._mask(inputs, first), hidden.dtype)
        for block in self.blocks:
            hidden = block(hidden, visible)
        return self.heads(torch.stack([hidden[:, place] for place in first]))

    def reset_parameters(self) -> None:
        """With the residual, let the exchange add nothing at first.

        A transformer of random weights would only blur what the sources say for themselves. A map
        to another width begins as a cut, or adds zeros.
        """
        for linear in self.enter.values():
            if isinstance(linear, nn.Linear):
                nn.init.eye_(linear.weight)
        if self.residual:
            for module in self.heads[2].modules():
                if isinstance(module, LinearStack):
                    nn.init.zeros_(module.weight)

    def _mask(self, inputs: Mapping[str, SourceTokens], first: Sequence[int]) -> Tensor:
        """Which query may see which key: bool ``[n_items, 1, n_tokens, n_tokens]``.

        ``first`` says where each source's tokens begin.
        """
        key_is_real = torch.cat([inputs[source].mask for source in self.sources], dim=1)
        n_tokens = key_is_real.size(1)
        visible = key_is_real[:, None, None, :].expand(-1, -1, n_tokens, -1)
        if not self.id_mask or ID not in self.sources:
            return visible
        start = first[self.sources.index(ID)]
        end = start + inputs[ID].mask.size(1)
        visible = visible.clone()
        visible[:, :, :start, start:end] = False
        visible[:, :, end:, start:end] = False
        return visible


@ITEM_ENCODERS.register("gated")
class GatedEncoder(IMTEncoder):
    """As ``late``, and of the exchange of ``imt`` as much as pays.

    A branch's vector is the mean of its source's tokens, plus the IMT's output times a gate. Each
    branch has one gate; it begins at 0 and is learned.

    Parameters
    ----------
    **options
        Those of :class:`IMTEncoder`; ``imt_residual`` has no effect.
    """

    takes_widths = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "imt_residual": False})
        self.gate = nn.Parameter(torch.zeros(len(self.sources), 1, 1))

    def forward(self, inputs: Mapping[str, SourceTokens]) -> BranchTensor:
        """See :class:`ItemEncoder`."""
        own = stack(_pool(inputs[source]) for source in self.sources)
        return by_width(torch.addcmul, own, self._exchange(inputs), self.gate)


class _FusingEncoder(ItemEncoder):
    """One vector, and so one branch, for all sources together."""

    @property
    def branches(self) -> list[str]:
        """One branch, ``all``."""
        return ["all"]


@ITEM_ENCODERS.register("sum")
class SumEncoder(_FusingEncoder):
    """The sources' vectors are added; a missing source adds its placeholder."""

    def forward(self, inputs: Mapping[str, SourceTokens]) -> Tensor:
        """See :class:`ItemEncoder`."""
        return torch.stack([_pool(inputs[source]) for source in self.sources]).sum(0, keepdim=True)


@ITEM_ENCODERS.register("concat")
class ConcatEncoder(_FusingEncoder):
    """The sources' vectors are joined and mapped back to the model's width by one linear layer."""

    def __init__(self, *, sources: Sequence[str], hidden_size: int) -> None:
        super().__init__(sources=sources, hidden_size=hidden_size)
        self.fuse = nn.Linear(len(self.sources) * hidden_size, hidden_size)

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
