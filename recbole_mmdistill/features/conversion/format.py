"""What a format of item features is, and what passes from one to another."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...errors import UserError
from ..source import FLOAT_DTYPES, FeatureInfo

ROWS = "rows"

_NO_LINE = re.compile("^$|^\ufeff|[\t\n\r]|[\ud800-\udfff]")


@dataclass(frozen=True)
class Options:
    """What the paths of a conversion do not say.

    Parameters
    ----------
    ids : str, optional
        Of ``.npy`` and raw files: the file that names the item of each row, by default the one
        beside; ``"rows"``: row i is of item ``"i"``, read and written.
    dim : int, optional
        Of a raw source: how many numbers a vector has, by default 768.
    field : str, optional
        Of ``.itememb``: the column of the vectors, by default the first ``float_seq`` of a source
        and ``<modality>_emb`` of a destination.
    modality, encoder : str, optional
        To record in a feature file, by default what the source or a file name says.
    dtype : str, optional
        ``"float16"`` or ``"float32"``, by default that of the source.
    zeros_are_missing : bool
        Whether to leave out items all of whose numbers are 0.
    """

    ids: str | None = None
    dim: int | None = None
    field: str | None = None
    modality: str | None = None
    encoder: str | None = None
    dtype: str | None = None
    zeros_are_missing: bool = False


@dataclass(frozen=True, eq=False)
class Rows:
    """Features on their way from one file to another; memory holds their tokens and one chunk."""

    files: tuple[Path, ...]  # what they are read from, first the file of the values
    item_tokens: np.ndarray  # [n_items], dtype object, each a str
    shape: tuple[int, ...]  # n_items, n_tokens, dim
    dtype: np.dtype  # of the chunks
    info: FeatureInfo  # its modality is empty if the source does not say
    chunks: Callable[[], Iterator[np.ndarray]]  # from the beginning, [any number, n_tokens, dim]
    token_mask: np.ndarray | None = None  # [n_items, n_tokens], bool, False: padding; None: none is
    n_left_out: int = 0  # how many items of the source have no vector


class Format(ABC):
    """A format of item features: its files' `suffix`, the `dtypes` they hold and its options."""

    name: ClassVar[str]
    suffix: ClassVar[str]  # a regular expression
    read_options: ClassVar[frozenset[str]] = frozenset()
    write_options: ClassVar[frozenset[str]] = frozenset()
    dtypes: ClassVar[tuple[str, ...]] = FLOAT_DTYPES

    @abstractmethod
    def read(self, path: Path, options: Options) -> Rows:
        """Open a file; raise a UserError if it is missing, damaged or of another format."""

    @abstractmethod
    def write(self, path: Path, rows: Rows, options: Options) -> int:
        """Write a file, whole or not at all, and give how many rows of it are of no item.

        It raises a UserError if the format cannot hold the rows, an OSError if the disk cannot.
        """

    def files_written(self, path: Path, options: Options) -> tuple[Path, ...]:
        """List the files that :meth:`write` replaces."""
        return (path,)


def check_file(path: Path, advice: str) -> None:
    """Raise a UserError with `advice` if there is no such file, or it may not be read."""
    if not os.path.isfile(path):
        raise UserError(f"There is no file {path}.", advice)
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", advice) from None


def check_tokens(rows: Rows, format: str, one_vector: bool) -> None:
    """Raise a UserError if some tokens are padding, or too many for a format of `one_vector`."""
    n_tokens = rows.shape[1]
    if rows.token_mask is None and not (one_vector and n_tokens > 1):
        return
    padding = "" if rows.token_mask is None else ", some of them padding"
    raise UserError(
        f"{rows.files[0]} has {n_tokens} token{'s' * (n_tokens > 1)} for each item{padding}, but "
        f"{format} holds {'one vector' if one_vector else 'the same number'} for each.",
        "Write a .safetensors file, which holds them as they are, or pool them first.",
    )


def check_lines(rows: Rows, path: Path) -> None:
    """Raise a UserError if an item's token cannot stand in a line of the text file `path`."""
    for token in rows.item_tokens:
        if _NO_LINE.search(token):
            raise UserError(
                f"Item {token!r} of {rows.files[0]} cannot stand in a line of {path}.",
                "Use tokens of one character or more, without tabs and line ends.",
            )
