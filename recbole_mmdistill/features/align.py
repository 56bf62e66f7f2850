"""Alignment: which row of a feature source belongs to which item id of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..errors import UserError
from .source import FeatureInfo, FeatureSource

CHUNK_BYTES = 1 << 20
N_EXAMPLES = 5


@dataclass(frozen=True)
class UnknownItems:
    """How many items a source has that the dataset has not, and the first few of them."""

    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = ", ..." * (self.count > len(self.examples))
        return f"not in the dataset: {', '.join(self.examples)}{more}"


@dataclass(frozen=True, eq=False)
class AlignedFeatures:
    """The features of one modality, with the row of every item id.

    The feature of item id i is ``values[row_of_item[i]]`` if ``present[i]``.

    Attributes
    ----------
    source : FeatureSource
        Where the features come from. A pickled object holds the source, and aligns it again when
        loaded, so that it is right even if the file has been made anew in between.
    item_tokens : sequence of str
        Shape ``[n_items]``, the item token of each item id; position 0 is the padding item.
    row_of_item : torch.Tensor
        Shape ``[n_items]``, int64, -1 where the item has no feature; always at position 0.
    unknown_items : UnknownItems
        Items of the source that the dataset does not have.
    withheld : torch.Tensor or None
        Shape ``[n_items]``, bool: items whose features are there but not given, see
        :meth:`without`.
    """

    source: FeatureSource
    item_tokens: Sequence[str] | np.ndarray
    row_of_item: torch.Tensor
    unknown_items: UnknownItems
    withheld: torch.Tensor | None = None

    @property
    def modality(self) -> str:
        """Name of the modality."""
        return self.source.info.modality

    @property
    def info(self) -> FeatureInfo:
        """How the features were made."""
        return self.source.info

    @property
    def values(self) -> torch.Tensor:
        """Shape ``[n_rows, n_tokens, dim]``, the source's own tensor in its own dtype."""
        return self.source.values

    @property
    def token_mask(self) -> torch.Tensor | None:
        """Shape ``[n_rows, n_tokens]``, bool, True where a token is real; None: all are."""
        return self.source.token_mask

    @property
    def present(self) -> torch.Tensor:
        """Shape ``[n_items]``, bool: which items have a feature."""
        return self.row_of_item >= 0

    @property
    def n_tokens(self) -> int:
        """Number of tokens of an item."""
        return self.values.shape[1]

    @property
    def dim(self) -> int:
        """Length of a token's vector."""
        return self.values.shape[2]

    def without(self, items: torch.Tensor) -> AlignedFeatures:
        """Give the same features, but none for some items, ``[n_items]`` bool."""
        row_of_item = self.row_of_item.masked_fill(items, -1)
        withheld = items if self.withheld is None else items | self.withheld
        return replace(self, row_of_item=row_of_item, withheld=withheld)

    def hash_items(self) -> np.ndarray:
        """A number for each item's features, which changes with them; 0 where an item has none.

        Shape ``[n_items]``, int64. Not a cryptographic hash: it tells another encoder's or another
        text's features, not forged ones.
        """
        n_bytes = self.n_tokens * self.dim * self.values.element_size()
        rng = np.random.default_rng(0)
        weight = rng.integers(1 << 63, size=n_bytes // 2, dtype=np.uint64) * 2 + 1
        hashes = np.zeros(len(self.row_of_item), dtype=np.uint64)
        item = np.flatnonzero(self.present.numpy())
        for first in range(0, len(item), step := max(1, CHUNK_BYTES // n_bytes)):
            some = item[first : first + step]
            values = self.values[self.row_of_item[some]]
            if self.token_mask is not None:
                values = values.masked_fill(~self.token_mask[self.row_of_item[some]][..., None], 0)
            words = values.reshape(len(some), -1).numpy().view(np.uint16)
            hashes[some] = (words * weight).sum(1) | 1
        return hashes.view(np.int64)

    def __reduce__(self) -> tuple[Any, ...]:
        # The numbers of an unpickled source are checked again only if the file has changed.
        checked = self.source.fingerprint
        return align_features, (self.source, self.item_tokens, checked, self.withheld)


def align_features(
    source: FeatureSource,
    item_tokens: Sequence[str] | np.ndarray,
    checked: str | None = None,
    withheld: torch.Tensor | None = None,
) -> AlignedFeatures:
    """Find the row of every item of a dataset by its token, and check those rows.

    An item whose token mask is empty has no feature, as if it were not in the source.

    Parameters
    ----------
    source : FeatureSource
        The features.
    item_tokens : sequence of str
        Shape ``[n_items]``, for instance ``dataset.field2id_token["item_id"]``. Position 0 is
        RecBole's ``[PAD]`` and never gets a row.
    checked : str, optional
        The fingerprint of a source whose numbers are known to be finite.
    withheld : torch.Tensor, optional
        Items to leave without features, see :meth:`AlignedFeatures.without`.

    Raises
    ------
    UserError
        If no item of the dataset is in the source, or a row that is used holds NaN or an
        infinite number, or begins with a masked token.
    """
    wanted = np.asarray(item_tokens, dtype=object)
    rows = pd.Index(source.item_tokens, dtype=object).get_indexer(pd.Index(wanted, dtype=object))
    rows[:1] = -1
    is_known = np.zeros(len(source), dtype=bool)
    is_known[rows[rows >= 0]] = True
    if source.token_mask is not None:
        is_empty = ~source.token_mask.any(dim=1).numpy()
        rows[(rows >= 0) & is_empty[rows]] = -1
    if (rows < 0).all():
        named, wants = (
            ", ".join(map(repr, some[:N_EXAMPLES])) for some in (source.item_tokens, wanted[1:])
        )
        raise UserError(
            f"None of the {len(wanted) - 1} items of the dataset has a feature in {source.name}: "
            f"its {len(source)} items are named like {named}, the dataset's like {wants}.",
            "Name items in the features as the item id field of the dataset's .inter file does.",
        )
    if source.fingerprint != checked:
        _check_values(source, torch.from_numpy(np.sort(rows[rows >= 0])))
    unknown = source.item_tokens[~is_known]
    row_of_item = torch.from_numpy(rows.astype(np.int64))
    examples = UnknownItems(len(unknown), tuple(unknown[:N_EXAMPLES]))
    aligned = AlignedFeatures(source, item_tokens, row_of_item, examples)
    return aligned if withheld is None else aligned.without(withheld)


def _check_values(source: FeatureSource, rows: torch.Tensor) -> None:
    """Raise a UserError if a row begins with a masked token, or holds NaN or inf."""
    if source.token_mask is not None:
        masked = rows[~source.token_mask[rows, 0]]  # the first token's output stands for the item
        if len(masked):
            raise UserError(
                f"{len(masked)} items of {source.name} have real tokens behind a masked first one: "
                f"first item {source.item_tokens[masked[0]]!r}.",
                "Put the real tokens of each item before its padding.",
            )
    bad = []
    for chunk in rows.split(max(1, CHUNK_BYTES // source.values[0].nbytes)):
        is_finite = np.isfinite(source.values[chunk].numpy()).all(axis=(1, 2))
        bad += chunk[torch.from_numpy(~is_finite)].tolist()
    if bad:
        feature = source.values[bad[0]].flatten()
        value = feature[~feature.isfinite()][0].item()
        raise UserError(
            f"{len(bad)} items of {source.name} hold numbers that are not finite: first item "
            f"{source.item_tokens[bad[0]]!r} (row {bad[0]}), with {value}.",
            "Make these features again, or leave the items out: an item may lack a modality.",
        )
