"""Item features, wherever they come from, and what makes them well formed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..errors import UserError

FLOAT_DTYPES = ("float16", "float32")
UNTRAINED = "untrained"
CHUNK_BYTES = 1 << 22  # of values in memory at a time
_AS_IN_DATASET = "Give each as it stands in the dataset's .item or .inter file."


@dataclass(frozen=True)
class FeatureInfo:
    """How the features of one modality were made.

    Parameters
    ----------
    modality, encoder : str
        Names of the modality, for example ``"text"``, and of the pretrained encoder.
    weights_hash : str
        SHA-256 of the encoder's weights, in hexadecimal, or :data:`UNTRAINED`.
    pooling : str
        How the encoder's last hidden states became the stored vectors.
    preprocessing : str
        What was done to the raw input before, and to the vectors after, the encoder.
    source_fields : tuple of str
        Fields of the ``.item`` file, or the folder, that were read.
    """

    modality: str
    encoder: str = "unknown"
    weights_hash: str = "unknown"
    pooling: str = "unknown"
    preprocessing: str = "unknown"
    source_fields: tuple[str, ...] = ()

    @property
    def is_untrained(self) -> bool:
        """Whether the encoder had random weights."""
        return self.weights_hash == UNTRAINED


@dataclass(frozen=True, eq=False)
class Rows:
    """Features as they are written: tokens in memory, values a few MiB at a time."""

    item_tokens: np.ndarray  # [n_items], dtype object, each a str
    shape: tuple[int, ...]  # n_items, n_tokens, dim
    dtype: np.dtype
    info: FeatureInfo
    chunks: Callable[[], Iterator[np.ndarray]]  # each time from the first row on
    token_mask: np.ndarray | None = None  # [n_items, n_tokens], bool, False: padding; None: none is


@dataclass(frozen=True, eq=False)
class FeatureSource:
    """Features of items that are named by their token, before any dataset numbers them.

    Attributes
    ----------
    values : torch.Tensor
        Shape ``[n_rows, n_tokens, dim]``, float16 or float32. Of a file: mapped, not loaded.
    token_mask : torch.Tensor or None
        Shape ``[n_rows, n_tokens]``, bool, True where a token is real. None: all are.
    item_tokens : numpy.ndarray
        Shape ``[n_rows]``, dtype object, the item token (str) of each row; each occurs once.
    info : FeatureInfo
        How the features were made.
    name : str
        What error messages call this source: the path of its file, if it has one.
    path : pathlib.Path or None
        The file that holds the values; None for a source in memory.
    fingerprint : str
        Differs when the content of the file differs; empty for a source in memory.
    reopen, remap : tuple, callable or None
        Function and arguments that open this source again, which a pickled one holds instead of
        the values; and what maps the values anew. None for a source in memory.
    """

    values: torch.Tensor = field(repr=False)
    token_mask: torch.Tensor | None = field(repr=False)
    item_tokens: np.ndarray = field(repr=False)
    info: FeatureInfo
    name: str
    path: Path | None = None
    fingerprint: str = ""
    reopen: tuple[Callable[..., FeatureSource], tuple[Any, ...]] | None = None
    remap: Callable[[], torch.Tensor] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.item_tokens)

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self.values, self.token_mask, self.item_tokens, self.info, self.name)
        return self.reopen or (type(self), fields)

    def take(self, rows: Any) -> np.ndarray:
        """Copy some rows, given by a slice or their numbers: ``[n, n_tokens, dim]``.

        A page of a mapped file counts as memory of the process from its first use until it is
        unmapped, so the file is mapped for each call: memory holds no more than the copy.
        """
        values = self.values if self.remap is None else self.remap()
        return values[rows].numpy().copy()

    def rows(self) -> Rows:
        """Give the same to be read from the first row to the last."""

        def chunks() -> Iterator[np.ndarray]:
            step = rows_at_once(self.values[0].nbytes)
            return (self.take(slice(at, at + step)) for at in range(0, len(self), step))

        mask = None if self.token_mask is None else self.token_mask.numpy()
        dtype = self.values[:0].numpy().dtype
        return Rows(self.item_tokens, tuple(self.values.shape), dtype, self.info, chunks, mask)


def rows_at_once(row_bytes: int) -> int:
    """Give the number of rows of some bytes that are held in memory at a time."""
    return max(1, CHUNK_BYTES // row_bytes)


def from_array(
    values: torch.Tensor | np.ndarray,
    item_tokens: Sequence[str] | np.ndarray,
    info: FeatureInfo,
    token_mask: torch.Tensor | np.ndarray | None = None,
    name: str = "the given array",
    **of_file: Any,
) -> FeatureSource:
    """Wrap features that are already in memory, or mapped.

    Parameters
    ----------
    values : torch.Tensor or numpy.ndarray
        Shape ``[n_rows, n_tokens, dim]`` or ``[n_rows, dim]`` (one token), float16 or float32.
        Not copied.
    item_tokens : sequence of str
        Shape ``[n_rows]``, the items as the dataset's ``.inter`` file names them, each once.
    token_mask : torch.Tensor or numpy.ndarray, optional
        Shape ``[n_rows, n_tokens]``, bool or integer, nonzero where a token is real.
    info, name, **of_file
        The other attributes of :class:`FeatureSource`.

    Raises
    ------
    UserError
        If a shape or dtype is wrong, or an item token occurs twice.
    """
    values, tokens = as_tensor(name, values), as_item_tokens(name, item_tokens)
    shape = list(values.shape)
    if len(shape) != 3 or 0 in shape:
        raise UserError(
            f"The values of {name} have shape {shape}, but must have shape "
            "[n_items, n_tokens, dim] with no axis of length 0.",
            "Store one vector of length dim for each token of each item.",
        )
    if shape[0] != len(tokens):
        raise UserError(
            f"{name} has values for {shape[0]} items, but {len(tokens)} item tokens.",
            "Give one item token for each row of the values, in the same order.",
        )
    mask = None if token_mask is None else torch.as_tensor(token_mask)
    if mask is not None and (mask.is_floating_point() or mask.is_complex()):
        raise UserError(
            f"The token_mask of {name} has dtype {mask.dtype}, but must be bool or an integer.",
            "Store 1 where a token is real and 0 where it is padding.",
        )
    if mask is not None and list(mask.shape) != shape[:2]:
        raise UserError(
            f"The token_mask of {name} has shape {list(mask.shape)}, but the values have "
            f"{shape[1]} tokens for each of {shape[0]} items.",
            f"Give a mask of shape {shape[:2]}.",
        )
    check_unique(name, tokens)
    mask = None if mask is None else mask.bool()
    return FeatureSource(values, mask, tokens, info, name, **of_file)


def as_tensor(name: str, values: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Give values as a tensor with three axes, without a copy."""
    dtype = str(values.dtype).removeprefix("torch.")
    if dtype not in FLOAT_DTYPES:
        raise UserError(
            f"The values of {name} have dtype {dtype}, but must be float16 or float32.",
            "Convert them, for example with values.astype('float32').",
        )
    with warnings.catch_warnings():
        # An array mapped for reading only is welcome: nothing here writes to features.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        tensor = torch.as_tensor(values)
    return tensor.unsqueeze(1) if tensor.ndim == 2 else tensor


def as_item_tokens(name: str, item_tokens: Sequence[str] | np.ndarray) -> np.ndarray:
    """Give item tokens as an object array of str: fixed-width arrays lose trailing NULs."""
    listed = item_tokens.tolist() if isinstance(item_tokens, np.ndarray) else list(item_tokens)
    tokens = np.array([*listed, None], dtype=object)[:-1]
    kind = pd.api.types.infer_dtype(tokens, skipna=False)
    if len(tokens) and kind != "string":
        raise UserError(
            f"The item tokens of {name} are of type {kind}, but must be strings.", _AS_IN_DATASET
        )
    for row, token in enumerate(tokens):
        if "\0" in token:  # where tables of strings end, so that two such tokens may seem the same
            raise UserError(
                f"The item token {token!r} of {name} (row {row}) holds a NUL.", _AS_IN_DATASET
            )
    return tokens


def check_unique(name: str, item_tokens: np.ndarray) -> None:
    """Raise a UserError that names the first item token that stands in two rows."""
    repeated = pd.Index(item_tokens, dtype=object).duplicated()
    if repeated.any():
        token = item_tokens[repeated][0]
        rows = np.flatnonzero(item_tokens == token)
        raise UserError(
            f"{repeated.sum()} rows of {name} repeat an item that has a row already: first item "
            f"{token!r}, in rows {rows[0]} and {rows[1]}.",
            "Keep one row for each item.",
        )
