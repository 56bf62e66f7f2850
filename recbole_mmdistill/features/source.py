"""What a source of item features is, wherever it comes from, and what makes one well formed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..errors import UserError

FLOAT_DTYPES = ("float16", "float32")
UNTRAINED = "untrained"


@dataclass(frozen=True)
class FeatureInfo:
    """How the features of one modality were made.

    Parameters
    ----------
    modality : str
        Name of the modality, for example ``"text"`` or ``"image"``.
    encoder : str
        Name of the pretrained encoder.
    weights_hash : str
        SHA-256 of the encoder's weights, in hexadecimal, or :data:`UNTRAINED`.
    pooling : str
        How the encoder's last hidden states became the stored vectors.
    preprocessing : str
        What was done to the raw input before, and to the vectors after, the encoder.
    source_fields : tuple of str
        Fields of the ``.item`` file, or the folder, that were read.
    format_version : int
        Version of the file format.
    """

    modality: str
    encoder: str = "unknown"
    weights_hash: str = "unknown"
    pooling: str = "unknown"
    preprocessing: str = "unknown"
    source_fields: tuple[str, ...] = ()
    format_version: int = 1

    @property
    def is_untrained(self) -> bool:
        """Whether the encoder had random weights."""
        return self.weights_hash == UNTRAINED


@dataclass(frozen=True, eq=False)
class FeatureSource:
    """Features of items that are named by their token, before any dataset numbers them.

    Parameters
    ----------
    values : torch.Tensor
        Shape ``[n_rows, n_tokens, dim]``, float16 or float32. Of a file: mapped, not loaded.
    token_mask : torch.Tensor or None
        Shape ``[n_rows, n_tokens]``, bool, True where a token is real. None: all are.
    item_tokens : numpy.ndarray
        Shape ``[n_rows]``, dtype object, the item token (str) of each row.
    info : FeatureInfo
        How the features were made.
    name : str
        What error messages call this source: the path of its file, if it has one.
    path : pathlib.Path or None
        The file that holds the values; None for a source in memory.
    fingerprint : str
        Differs when the content of the file differs; empty for a source in memory.
    reopen : tuple or None
        Function and arguments that open this source again. A pickled source holds these instead
        of the values. None for a source in memory, which is pickled by value.

    Raises
    ------
    UserError
        If the shapes do not fit each other, or an item token occurs twice.
    """

    values: torch.Tensor = field(repr=False)
    token_mask: torch.Tensor | None = field(repr=False)
    item_tokens: np.ndarray = field(repr=False)
    info: FeatureInfo
    name: str
    path: Path | None = None
    fingerprint: str = ""
    reopen: tuple[Callable[..., FeatureSource], tuple[Any, ...]] | None = field(
        default=None, repr=False
    )

    def __post_init__(self) -> None:
        _check_arrays(self.name, self.values, self.token_mask, len(self.item_tokens))
        check_unique(self.name, self.item_tokens)

    def __len__(self) -> int:
        return len(self.item_tokens)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.reopen is not None:
            return self.reopen
        fields = (self.values, self.token_mask, self.item_tokens, self.info, self.name)
        return type(self), fields


def from_array(
    values: torch.Tensor | np.ndarray,
    item_tokens: Sequence[str] | np.ndarray,
    info: FeatureInfo,
    token_mask: torch.Tensor | np.ndarray | None = None,
    name: str = "the given array",
) -> FeatureSource:
    """Wrap features that are already in memory.

    Parameters
    ----------
    values : torch.Tensor or numpy.ndarray
        Shape ``[n_rows, n_tokens, dim]`` or ``[n_rows, dim]`` (one token), float16 or float32.
        Not copied.
    item_tokens : sequence of str
        The item token of each row.
    info : FeatureInfo
        How the features were made.
    token_mask : torch.Tensor or numpy.ndarray, optional
        Shape ``[n_rows, n_tokens]``, bool or integer, nonzero where a token is real.
    name : str
        What error messages call this source.

    Returns
    -------
    FeatureSource
        A source in memory.

    Raises
    ------
    UserError
        If a shape or dtype is wrong, or an item token occurs twice.
    """
    return FeatureSource(
        values=as_tensor(name, values),
        token_mask=None if token_mask is None else as_mask(name, token_mask),
        item_tokens=as_item_tokens(name, item_tokens),
        info=info,
        name=name,
    )


def as_tensor(name: str, values: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Give `values` as a tensor with three axes, without a copy."""
    dtype = str(values.dtype).removeprefix("torch.")
    if dtype not in FLOAT_DTYPES:
        raise UserError(
            f"The values of {name} have dtype {dtype}, but must be float16 or float32.",
            "Convert them, for example with values.astype('float32').",
        )
    if isinstance(values, torch.Tensor):
        tensor = values
    else:
        with warnings.catch_warnings():
            # An array mapped for reading only is welcome: nothing here writes to features.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
            tensor = torch.from_numpy(values)
    return tensor.unsqueeze(1) if tensor.ndim == 2 else tensor


def as_mask(name: str, token_mask: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Give a token mask as a bool tensor, without a copy if it is bool already."""
    mask = torch.as_tensor(token_mask)
    if mask.is_floating_point() or mask.is_complex():
        raise UserError(
            f"The token_mask of {name} has dtype {mask.dtype}, but must be bool or an integer.",
            "Store 1 where a token is real and 0 where it is padding.",
        )
    return mask if mask.dtype == torch.bool else mask != 0


def as_item_tokens(name: str, item_tokens: Sequence[str] | np.ndarray) -> np.ndarray:
    """Give item tokens as an object array of str: fixed-width arrays lose trailing NULs."""
    tokens = np.empty(len(item_tokens), dtype=object)
    tokens[:] = item_tokens.tolist() if isinstance(item_tokens, np.ndarray) else list(item_tokens)
    kind = pd.api.types.infer_dtype(tokens, skipna=False)
    if len(tokens) and kind != "string":
        raise UserError(
            f"The item tokens of {name} are of type {kind}, but must be strings.",
            "Give each as it stands in the dataset's .item or .inter file.",
        )
    for row, token in enumerate(tokens):
        if "\0" in token:  # where tables of strings end, so that two such tokens may seem the same
            raise UserError(
                f"The item token {token!r} of {name} (row {row}) holds a NUL.",
                "Give each as it stands in the dataset's .item or .inter file.",
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


def _check_arrays(
    name: str, values: torch.Tensor, token_mask: torch.Tensor | None, n_rows: int
) -> None:
    """Raise a UserError unless values, mask and number of item tokens fit each other."""
    shape = tuple(values.shape)
    if values.ndim != 3 or 0 in shape:
        raise UserError(
            f"The values of {name} have shape {list(shape)}, but must have shape "
            "[n_items, n_tokens, dim] with no axis of length 0.",
            "Store one vector of length dim for each token of each item.",
        )
    if shape[0] != n_rows:
        raise UserError(
            f"{name} has values for {shape[0]} items, but {n_rows} item tokens.",
            "Give one item token for each row of the values, in the same order.",
        )
    if token_mask is not None and tuple(token_mask.shape) != shape[:2]:
        raise UserError(
            f"The token_mask of {name} has shape {list(token_mask.shape)}, but the values have "
            f"{shape[1]} tokens for each of {shape[0]} items.",
            f"Give a mask of shape [{shape[0]}, {shape[1]}].",
        )
