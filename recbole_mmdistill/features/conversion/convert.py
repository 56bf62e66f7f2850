"""Conversion of a file of item features to another, of the same or another format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...errors import UserError
from ..source import check_unique
from .arrays import NpyFormat, RawFormat
from .feature_file import SafetensorsFormat
from .format import ROWS, Format, Options, Rows
from .itememb import ItemembFormat

FORMATS: dict[str, Format] = {
    format.name: format
    for format in (SafetensorsFormat(), NpyFormat(), ItemembFormat(), RawFormat())
}
FOR_ANY_FORMAT = {"modality", "dtype", "zeros_are_missing"}


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
    rows = reading.read(source, options)
    check_unique(str(source), rows.item_tokens)
    _check_files(rows.files, writing.files_written(destination, options))
    if options.zeros_are_missing:
        rows = _without_zeros(rows)
    info = replace(
        rows.info,
        modality=options.modality or rows.info.modality or _modality_of(destination, source),
        encoder=options.encoder or rows.info.encoder,
    )
    # By its name: the dtype of an array may be of the other byte order.
    own_dtype = rows.dtype.name if rows.dtype.name in writing.dtypes else "float32"
    dtype = np.dtype(options.dtype or own_dtype)
    cast = replace(rows, info=info, dtype=dtype, chunks=lambda: _cast(rows, dtype))
    try:
        n_filled = writing.write(destination, cast, options)
    except OSError as error:
        raise UserError(
            f"{destination} cannot be written: {error}.",
            "Give a path in a folder with enough room.",
        ) from None
    return Conversion(rows.shape, dtype.name, rows.n_left_out, n_filled)


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
    used = FOR_ANY_FORMAT | reading.read_options | writing.write_options
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


def _check_files(read: tuple[Path, ...], written: tuple[Path, ...]) -> None:
    """Raise a UserError if a file to write is read too, or is a folder."""
    for path in written:
        if path.is_dir():
            raise UserError(f"{path} is a folder.", "Give the name of a file in it.")
        if path.exists() and any(path.samefile(other) for other in read):
            raise UserError(f"{path} is to be read and written.", "Give another destination.")


def _modality_of(*paths: Path) -> str:
    """Guess the modality from names like ``<dataset>.<modality>.<suffix>``; empty if none is."""
    for path in paths:
        parts = path.name.split(".")
        if len(parts) > 2 and all(parts):
            return parts[-2]
    return ""


def _without_zeros(rows: Rows) -> Rows:
    """Leave out the items all of whose numbers are 0."""
    kept = np.concatenate([chunk.any(axis=(1, 2)) for chunk in rows.chunks()])
    n_kept = int(kept.sum())
    if n_kept == 0:
        raise UserError(f"{rows.files[0]} holds nothing but zeros.", "Give a file with features.")
    return replace(
        rows,
        item_tokens=rows.item_tokens[kept],
        shape=(n_kept, *rows.shape[1:]),
        chunks=lambda: (chunk[chunk.any(axis=(1, 2))] for chunk in rows.chunks()),
        token_mask=None if rows.token_mask is None else rows.token_mask[kept],
        n_left_out=rows.n_left_out + len(kept) - n_kept,
    )


def _cast(rows: Rows, dtype: np.dtype) -> Iterator[np.ndarray]:
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
                item = f"Item {rows.item_tokens[first + row]!r} of {rows.files[0]}"
                raise UserError(
                    f"{item} holds {value}{too_much}.",
                    "Make these features again, or leave the item out.",
                )
            yield cast
            first += len(chunk)
            progress.update(len(chunk))
