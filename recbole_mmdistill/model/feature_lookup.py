"""From aligned features to the tokens of one source: look up, whiten, project.

The features stay what they are on disk: never a parameter, never a buffer, so never in a
checkpoint and never broadcast between processes. Only the small map that whitens them is kept
with the model, because a trained projection is meaningless without it.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import device
from .item_encoder import SourceTokens
from .whitening import Vectors, Whitening

_CHUNK = 8192  # items
_MOST_BYTES = 2**28  # of whitened features that are kept in the host's memory
_FIT_ROWS = 100_000  # enough vectors for a covariance of a few hundred dimensions


class Features(Protocol):
    """What is needed of :class:`recbole_mmdistill.features.AlignedFeatures`."""

    @property
    def values(self) -> Tensor:
        """``[n_rows, n_tokens, dim]``."""

    @property
    def token_mask(self) -> Tensor | None:
        """Bool ``[n_rows, n_tokens]``, True where a token is real; None: all are."""

    @property
    def row_of_item(self) -> Tensor:
        """Int64 ``[n_items]``, -1 = missing."""

    @property
    def present(self) -> Tensor:
        """Bool ``[n_items]``."""


class FeatureTable:
    """Looks up items' features in the dtype of their file, on the device that asks.

    Not a module, so that ``.to()``, ``state_dict()`` and a deep copy of the model pass it by. The
    memory-mapped values are read on the CPU until another device asks for them: then that device
    gets a copy, once.

    Parameters
    ----------
    features : Features
        Aligned features of the dataset's items.
    """

    def __init__(self, features: Features) -> None:
        self._on: dict[torch.device, tuple[Tensor, Tensor | None, Tensor]] = {
            torch.device("cpu"): (features.values, features.token_mask, features.row_of_item)
        }
        self.present = features.present
        self._whitened: dict[torch.device, tuple[tuple[int, ...], Tensor, Tensor]] = {}

    def __deepcopy__(self, memo: dict[int, object]) -> FeatureTable:
        return self

    def __call__(self, item: Tensor) -> tuple[Tensor, Tensor]:
        """Features of items.

        Parameters
        ----------
        item : Tensor
            Item ids, ``[n_items]``.

        Returns
        -------
        values : Tensor
            ``[n_items, n_tokens, dim]``, zero where missing.
        mask : Tensor
            Bool ``[n_items, n_tokens]``, True where a token is real.
        """
        values, token_mask, row_of_item = self._copy_on(item.device)
        row = row_of_item[item]
        present = row >= 0
        row = row.clamp(min=0)
        mask = present[:, None].expand(-1, values.size(1))
        if token_mask is not None:
            mask = mask & token_mask[row].bool()
        return values[row].masked_fill(~mask[..., None], 0), mask

    def whitened(self, item: Tensor, whiten: Whitening) -> tuple[Tensor, Tensor]:
        """Features of items, whitened; for all items once, if the result is not too large.

        Parameters
        ----------
        item : Tensor
            Item ids, ``[n_items]``.
        whiten : Whitening
            What whitens them.

        Returns
        -------
        values : Tensor
            ``[n_items, n_tokens, width]``, float32; of no meaning where missing.
        mask : Tensor
            Bool ``[n_items, n_tokens]``, True where a token is real.
        """
        values, _, row_of_item = self._on[torch.device("cpu")]
        n_bytes = 4 * len(row_of_item) * values.size(1) * whiten.width
        if device.on_host(item) and n_bytes > _MOST_BYTES:
            values, mask = self(item)
            return whiten(values), mask
        of = whiten.mean, whiten.components
        made_from = tuple(x for t in of for x in (t.data_ptr(), t._version))
        if item.device not in self._whitened or self._whitened[item.device][0] != made_from:
            self._whitened[item.device] = made_from, *self._whiten_all(whiten, item.device)
        _, values, mask = self._whitened[item.device]
        return values[item], mask[item]

    @torch.no_grad()
    def _whiten_all(self, whiten: Whitening, on: torch.device) -> tuple[Tensor, Tensor]:
        parts = []
        for chunk in torch.arange(len(self._on[torch.device("cpu")][2])).split(_CHUNK):
            values, mask = self(chunk)
            with device.full_precision(mask.to(on)):
                parts.append((whiten(values.to(on)), mask.to(on)))
        values, mask = (torch.cat(part) for part in zip(*parts))
        return values, mask

    def sample(self, n_vectors: int) -> Vectors:
        """Choose vectors of real tokens, evenly spread over the items: about ``n_vectors``."""
        values, token_mask, row_of_item = self._copy_on(torch.device("cpu"))
        rows = row_of_item[row_of_item >= 0]
        items = max(1, n_vectors // values.size(1))
        rows = rows[torch.linspace(0, len(rows) - 1, min(items, len(rows))).round().long()]
        mask = torch.ones(len(rows), values.size(1), dtype=torch.bool)
        if token_mask is not None:
            mask = token_mask[rows].bool()
        at, token = mask.nonzero(as_tuple=True)
        return Vectors(values, rows[at], token)

    def _copy_on(self, device: torch.device) -> tuple[Tensor, Tensor | None, Tensor]:
        if device not in self._on:
            values, token_mask, row_of_item = self._on[torch.device("cpu")]
            mask = None if token_mask is None else token_mask.to(device)
            self._on[device] = (values.to(device), mask, row_of_item.to(device))
        return self._on[device]


class SourceEmbedding(nn.Module):
    """Tokens of one modality for any items: its features whitened and projected.

    Parameters
    ----------
    features : Features
        The modality's aligned features.
    hidden_size : int
        Width of the tokens.
    whitening_dim : int
        Components to keep, see :class:`Whitening`.
    normalize : bool
        Whether whitened vectors are scaled to length 1 before they are projected.
    """

    def __init__(
        self, features: Features, hidden_size: int, whitening_dim: int, normalize: bool = False
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.table = FeatureTable(features)
        self.whiten = Whitening(self.table.sample(_FIT_ROWS), whitening_dim)
        self.project = nn.Linear(self.whiten.width, hidden_size)
        self.placeholder = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, item: Tensor) -> SourceTokens:
        """Tokens of the items ``[n_items]``; the placeholder stands first where there are none."""
        values, mask = self.table.whitened(item, self.whiten)
        if self.normalize:
            values = F.normalize(values, dim=-1)
        tokens = self.project(values)
        missing = ~mask.any(dim=1)
        first = F.pad(missing[:, None], (0, mask.size(1) - 1))
        return SourceTokens(torch.where(first[..., None], self.placeholder, tokens), mask)

    @torch.no_grad()
    def reduced(self, item: Tensor, dim: int) -> Tensor:
        """Whitened features in ``dim`` dimensions, ``[n_items, dim]``; zero where missing.

        The leading components, or all of them and zeros if there are fewer: a start for an ID
        embedding of any width.
        """
        values, mask = self.table.whitened(item, self.whiten)
        weight = mask.float()[..., None]
        pooled = (values * weight).sum(1) / weight.sum(1).clamp(min=1)
        kept = pooled[:, :dim]
        return F.pad(kept, (0, dim - kept.size(1)))
