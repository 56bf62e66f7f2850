"""Conversion of a file of item features to another, of the same or another format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import UserError
from .formats import FORMATS, ROWS, Format, Opened, Options, ids_beside
from .source import Rows, check_unique

_FOR_ANY_FORMAT = {"modality", "dtype", "zeros_are_missing"}


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Parameters
    ----------
    shape : tuple of int
        ``(n_items, n_tokens, dim)`` of what was written.
    dtype : str
        Its dtype.
    n_left_out : int
        How many items of the source have no vector, and so were left out.
    n_filled : int
        How many rows of the destination are zeros, of items without features.
    """

    shape: tuple[int, ...]
    dtype: str
    n_left_out: int
    n_filled: int


def convert(
    source: str | Path,
    destination: str | Path,
    options: Options | None = None,
    source_format: str | None = None,
    destination_format: str | None = None,
) -> Conversion:
    """Write the features of one file to another, in chunks, however many items there are.

    Parameters
    ----------
    source : str or pathlib.Path
        The file to read.
    destination : str or pathlib.Path
        The file to write; what is there stays until the new one is whole.
    options : Options, optional
        What the paths do not say.
    source_format, destination_format : str, optional
        Names of formats in :data:`FORMATS`, by default what the suffixes say.

    Returns
    -------
    Conversion
        What was done.

    Raises
    ------
    UserError
        If the source is missing or damaged, the destination cannot hold its features or cannot be
        written, or an option has no meaning for either.
    """
    source, destination, options = Path(source), Path(destination), options or Options()
    reading = _format_of(source, source_format)
    writing = _format_of(destination, destination_format)
    _check_options(options, reading, writing)
    opened = reading.read(source, options)
    check_unique(str(source), opened.rows.item_tokens)
    _check_files(opened.files, destination, writing, options)
    if options.zeros_are_missing:
        opened = _without_zeros(opened)
    rows = opened.rows
    info = replace(
        rows.info,
        modality=options.modality or rows.info.modality or _modality_of(destination, source),
        encoder=options.encoder or rows.info.encoder,
    )
    if writing.name == "safetensors" and not info.modality:
        raise UserError(
            f"Neither {source} nor the name {destination.name} says of which modality it is.",
            "Say it with --modality, or call the file <dataset>.<modality>.safetensors.",
        )
    # By its name: the dtype of an array may be of the other byte order.
    own_dtype = rows.dtype.name if rows.dtype.name in writing.dtypes else "float32"
    dtype = np.dtype(options.dtype or own_dtype)
    mask = None if rows.token_mask is None or rows.token_mask.all() else rows.token_mask
    cast = replace(
        rows, info=info, dtype=dtype, token_mask=mask, chunks=lambda: _cast(source, rows, dtype)
    )
    _check_tokens(source, cast, writing)
    try:
        n_filled = writing.write(destination, cast, options)
    except OSError as error:
        raise UserError(
            f"{destination} cannot be written: {error}.",
            "Give a path in a folder with enough room.",
        ) from None
    return Conversion(rows.shape, dtype.name, opened.n_left_out, n_filled)


def _format_of(path: Path, name: str | None) -> Format:
    """Give the format of a name, or if there is none, of a path's suffix."""
    if name is not None:
        if name not in FORMATS:
            raise UserError(f"There is no format {name!r}.", f"There are {', '.join(FORMATS)}.")
        return FORMATS[name]
    for format in FORMATS.values():
        if re.fullmatch(format.suffix, path.suffix):
            return format
    raise UserError(
        f"The name of {path} does not say its format.",
        f"Say with --from or --to which it is: {', '.join(FORMATS)}.",
    )


def _check_options(options: Options, reading: Format, writing: Format) -> None:
    """Raise a UserError if an option is given that has no meaning for either format."""
    used = _FOR_ANY_FORMAT | reading.read_options | writing.write_options
    if options.ids != ROWS and "ids" not in reading.read_options:
        used -= {"ids"}
    given = {field.name for field in fields(options) if getattr(options, field.name) is not None}
    for option in sorted(given - used):
        raise UserError(
            f"--{option}={getattr(options, option)} has no meaning from {reading.name} to "
            f"{writing.name}.",
            "Leave it out.",
        )
    if options.dtype not in (None, *writing.dtypes):
        raise UserError(
            f"The dtype of {writing.name} cannot be {options.dtype!r}.",
            f"Give {' or '.join(writing.dtypes)}.",
        )


def _check_files(read: tuple[Path, ...], path: Path, writing: Format, options: Options) -> None:
    """Raise a UserError if a file to write is read too, or is a folder."""
    has_ids = "ids" in writing.write_options and options.ids != ROWS
    for written in (path, ids_beside(path)) if has_ids else (path,):
        if written.is_dir():
            raise UserError(f"{written} is a folder.", "Give the name of a file in it.")
        if written.exists() and any(written.samefile(other) for other in read):
            raise UserError(f"{written} is to be read and written.", "Give another destination.")


def _check_tokens(source: Path, rows: Rows, writing: Format) -> None:
    """Raise a UserError if the format cannot hold several tokens, or padding."""
    n_tokens, is_padded = rows.shape[1], rows.token_mask is not None
    if (n_tokens > 1 and writing.one_vector) or (is_padded and not writing.has_padding):
        raise UserError(
            f"{source} has {n_tokens} token{'s' * (n_tokens > 1)} for each item"
            f"{', some of them padding' * is_padded}, but {writing.name} holds "
            f"{'one vector' if writing.one_vector else 'the same number'} for each.",
            "Write a .safetensors file, which holds them as they are, or pool them first.",
        )


def _modality_of(*paths: Path) -> str:
    """Guess the modality from names like ``<dataset>.<modality>.<suffix>``; empty if none is."""
    for path in paths:
        parts = path.name.split(".")
        if len(parts) > 2 and all(parts):
            return parts[-2]
    return ""


def _without_zeros(opened: Opened) -> Opened:
    """Leave out the items all of whose numbers are 0."""
    rows = opened.rows
    kept = np.concatenate([chunk.any(axis=(1, 2)) for chunk in rows.chunks()])
    n_kept = int(kept.sum())
    if n_kept == 0:
        raise UserError(f"{opened.files[0]} holds nothing but zeros.", "Give a file with features.")
    fewer = replace(
        rows,
        item_tokens=rows.item_tokens[kept],
        shape=(n_kept, *rows.shape[1:]),
        chunks=lambda: (chunk[chunk.any(axis=(1, 2))] for chunk in rows.chunks()),
        token_mask=None if rows.token_mask is None else rows.token_mask[kept],
    )
    return opened._replace(rows=fewer, n_left_out=opened.n_left_out + len(kept) - n_kept)


def _cast(source: Path, rows: Rows, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Give the values in another dtype, each of them finite, and show how far they are."""
    first = 0
    with tqdm(total=len(rows.item_tokens), desc="items", disable=None) as progress:
        for chunk in rows.chunks():
            with np.errstate(over="ignore"):
                cast = chunk.astype(dtype)
            is_finite = np.isfinite(cast)
            if not is_finite.all():
                row = int(np.argmin(is_finite.all(axis=(1, 2))))
                value = chunk[row][~is_finite[row]][0]
                too_much = f", more than {dtype} can (see --dtype)" if np.isfinite(value) else ""
                raise UserError(
                    f"Item {rows.item_tokens[first + row]!r} of {source} holds {value}{too_much}.",
                    "Make these features again, or leave the item out.",
                )
            yield cast
            first += len(chunk)
            progress.update(len(chunk))
