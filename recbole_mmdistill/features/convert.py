"""Conversion of a file of item features to another, of the same or another format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..errors import UserError
from .formats import FORMATS, ROWS, Opened, Options, ids_beside
from .source import FLOAT_DTYPES, Rows, check_unique


class Conversion(NamedTuple):
    """What a conversion did."""

    shape: tuple[int, ...]  # n_items, n_tokens, dim of what was written
    dtype: str
    n_left_out: int  # items of the source that have no vector
    n_filled: int  # rows of the destination that are zeros, of items without features


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
    source, destination : str or pathlib.Path
        The file to read, and the one to write; what is there stays until the new one is whole.
    options : Options, optional
        What the paths do not say.
    source_format, destination_format : str, optional
        Names of formats in :data:`FORMATS`, by default what the suffixes say.

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
    opened = FORMATS[reading].read(source, options)
    check_unique(str(source), opened.rows.item_tokens)
    has_ids = "ids" in FORMATS[writing].options_written and options.ids != ROWS
    for path in (destination, ids_beside(destination)) if has_ids else (destination,):
        if path.is_dir():
            raise UserError(f"{path} is a folder.", "Give the name of a file in it.")
        if path.exists() and any(path.samefile(other) for other in opened.files):
            raise UserError(f"{path} is to be read and written.", "Give another destination.")
    if options.zeros_are_missing:
        opened = _without_zeros(opened)
    rows = _as_written(source, destination, opened.rows, writing, options)
    try:
        n_filled = FORMATS[writing].write(destination, rows, options)
    except OSError as error:
        raise UserError(
            f"{destination} cannot be written: {error}.",
            "Give a path in a folder with enough room.",
        ) from None
    return Conversion(rows.shape, rows.dtype.name, opened.n_left_out, n_filled)


def _format_of(path: Path, name: str | None) -> str:
    """Give the format of a name, or if there is none, of a path's suffix."""
    if name in FORMATS:
        return name
    if name is not None:
        raise UserError(f"There is no format {name!r}.", f"There are {', '.join(FORMATS)}.")
    for format, (suffixes, *_) in FORMATS.items():
        if any(fnmatchcase(path.suffix, suffix) for suffix in suffixes):
            return format
    raise UserError(
        f"The name of {path} does not say its format.",
        f"Say with --from or --to which it is: {', '.join(FORMATS)}.",
    )


def _check_options(options: Options, reading: str, writing: str) -> None:
    """Raise a UserError if an option is given that has no meaning for either format."""
    written = set(FORMATS[writing].options_written)
    if options.ids != ROWS:
        written -= {"ids"}  # where a file of ids is written says the destination
    for option in ("dim", "encoder", "field", "ids"):
        value = getattr(options, option)
        if value is not None and option not in written.union(FORMATS[reading].options_read):
            raise UserError(
                f"--{option}={value} has no meaning from {reading} to {writing}.", "Leave it out."
            )
    dtypes = FLOAT_DTYPES if FORMATS[writing].holds_half else ("float32",)
    if options.dtype not in (None, *dtypes):
        raise UserError(
            f"The dtype of {writing} cannot be {options.dtype!r}.", f"Give {' or '.join(dtypes)}."
        )


def _as_written(
    source: Path, destination: Path, rows: Rows, writing: str, options: Options
) -> Rows:
    """Give rows as a format can hold them; a UserError if it cannot."""
    modality = options.modality or rows.info.modality or _modality_of(destination, source)
    if writing == "safetensors" and not modality:
        raise UserError(
            f"Neither {source} nor the name {destination.name} says of which modality it is.",
            "Say it with --modality, or call the file <dataset>.<modality>.safetensors.",
        )
    mask = None if rows.token_mask is None or rows.token_mask.all() else rows.token_mask
    n_tokens = rows.shape[1]
    holds_tokens, is_padded = FORMATS[writing].holds_tokens, mask is not None
    if (n_tokens > 1 and not holds_tokens) or (is_padded and writing != "safetensors"):
        raise UserError(
            f"{source} has {n_tokens} token{'s' * (n_tokens > 1)} for each item"
            f"{', some of them padding' * is_padded}, but {writing} holds "
            f"{'the same number' if holds_tokens else 'one vector'} for each.",
            "Write a .safetensors file, which holds them as they are, or pool them first.",
        )
    # By its name: the dtype of an array may be of the other byte order.
    is_half = rows.dtype.name == "float16" and FORMATS[writing].holds_half
    dtype = np.dtype(options.dtype or ("float16" if is_half else "float32"))
    info = replace(rows.info, modality=modality, encoder=options.encoder or rows.info.encoder)
    chunks = partial(_cast, source, rows, dtype)
    return replace(rows, info=info, dtype=dtype, token_mask=mask, chunks=chunks)


def _modality_of(*paths: Path) -> str:
    """Guess the modality from names like ``<dataset>.<modality>.<suffix>``; empty if none is."""
    parts = (path.name.split(".") for path in paths)
    return next((part[-2] for part in parts if len(part) > 2 and all(part)), "")


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
