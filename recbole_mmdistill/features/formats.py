"""The formats of item features: what each reads and writes."""

from __future__ import annotations

import io
import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..atomic import AtomicFile, wrong_line
from ..errors import UserError
from ..files import replacing
from .atomic import ItemTable
from .npy import check_file, map_features, read_ids
from .source import FeatureInfo, Rows, as_item_tokens, rows_at_once
from .store import open_features, write_rows

DEFAULT_DIM = 768  # of BERT, and so of UniSRec's files
ROWS = "rows"  # the value of the option ids that says: row i is of item i
_NO_LINE = re.compile("^$|^\ufeff|[\t\n\r]|[\ud800-\udfff]")
_FLOAT32 = "%.9g"  # nine digits tell any two float32 apart


@dataclass(frozen=True)
class Options:
    """What the paths of a conversion do not say."""

    # Of .npy and raw files: the one that names the item of each row, by default the one beside;
    # "rows": row i is of item "i", read and written.
    ids: str | None = None
    dim: int | None = None  # of a raw source: how many numbers a vector has, by default 768
    # Of .itememb: the column of the vectors, by default the first float_seq of a source and
    # <modality>_emb of a destination.
    field: str | None = None
    modality: str | None = None  # to record, by default what the source or a file name says
    encoder: str | None = None
    dtype: str | None = None  # float16 or float32, by default that of the source
    zeros_are_missing: bool = False  # leave out items all of whose numbers are 0


class Opened(NamedTuple):
    """What is read of a file: features, the files they are in, and how many items have none."""

    rows: Rows
    files: tuple[Path, ...]
    n_left_out: int = 0


class Format(NamedTuple):
    """A format of features.

    ``read`` opens a file; a UserError is raised if it is missing, damaged or of another format.
    ``write`` writes one, whole or not at all, and gives how many rows of it are of no item; a
    UserError is raised if the format cannot hold an item, an OSError if the disk cannot.
    """

    suffixes: tuple[str, ...]  # of its files, as patterns
    read: Callable[[Path, Options], Opened]
    write: Callable[[Path, Rows, Options], int]
    options_read: tuple[str, ...] = ()  # that have a meaning for a source
    options_written: tuple[str, ...] = ()  # and for a destination
    holds_tokens: bool = True  # several for each item
    holds_half: bool = True  # float16


def ids_beside(path: Path) -> Path:
    """Give ``toy.text.ids`` for ``toy.text.npy``, and ``toy.feat1CLS.ids`` for ``toy.feat1CLS``."""
    return path.with_name(f"{path.name.removesuffix('.npy')}.ids")


def _read_safetensors(path: Path, _: Options) -> Opened:
    return Opened(open_features(path).rows(), (path,))


def _write_safetensors(path: Path, rows: Rows, _: Options) -> int:
    write_rows(path, rows)
    return 0


def _read_npy(path: Path, options: Options) -> Opened:
    return _read_array(path, options, lambda: map_features(path))


def _read_raw(path: Path, options: Options) -> Opened:
    dim = DEFAULT_DIM if options.dim is None else options.dim
    check_file(path, "Write it with values.tofile(path).")
    size = path.stat().st_size
    if dim < 1 or size == 0 or size % (4 * dim):
        raise UserError(
            f"{path} has {size} bytes, which are no vectors of {dim} float32 numbers.",
            "Say with --dim how many numbers a vector has.",
        )
    shape = (size // (4 * dim), 1, dim)
    return _read_array(path, options, lambda: np.memmap(path, "<f4", "r", shape=shape))


def _read_array(path: Path, options: Options, map_values: Callable[[], np.ndarray]) -> Opened:
    values = map_values()
    if values.dtype.kind != "f":
        raise UserError(
            f"{path} holds {values.dtype}, but features are floating-point numbers.",
            "Save them with numpy.save(path, values.astype('float32')).",
        )
    files: tuple[Path, ...] = (path,)
    if options.ids == ROWS:
        item_tokens = np.array([str(row) for row in range(len(values))], dtype=object)
    else:
        ids_path = ids_beside(path) if options.ids is None else Path(options.ids)
        if options.ids is None and not ids_path.is_file():
            raise UserError(
                f"Nothing says which item each row of {path} is of: there is no {ids_path}.",
                "Say --ids=FILE, or --ids=rows if the items' tokens are the rows' numbers.",
            )
        files = (path, ids_path)
        item_tokens = read_ids(ids_path, path, len(values))

    def chunks() -> Iterator[np.ndarray]:
        step = rows_at_once(values[:1].nbytes)
        # Mapped anew: what is touched counts as memory of the process until unmapped.
        return (np.array(map_values()[at : at + step]) for at in range(0, len(values), step))

    info = FeatureInfo("", source_fields=tuple(file.name for file in files))
    return Opened(Rows(item_tokens, values.shape, values.dtype, info, chunks), files)


def _write_array(path: Path, rows: Rows, options: Options, has_header: bool) -> int:
    """Write an array beside a file of ids, or each row at the place that its item's token says."""
    ids_path = ids_beside(path)
    by_number = options.ids == ROWS
    if not by_number:
        _check_lines(rows, ids_path)
    places = _row_numbers(rows, path) if by_number else range(len(rows.item_tokens))
    head = io.BytesIO()
    n_rows = max(places) + 1
    if has_header:
        axes = rows.shape[1:] if rows.shape[1] > 1 else rows.shape[2:]
        described = {"descr": rows.dtype.str, "fortran_order": False, "shape": (n_rows, *axes)}
        np.lib.format.write_array_header_1_0(head, described)
    row_bytes = math.prod(rows.shape[1:]) * rows.dtype.itemsize
    size = head.tell() + n_rows * row_bytes
    with ExitStack() as stack:
        if not by_number:
            # Opened first, the ids replace the old ones last: after the values are safely written.
            ids = stack.enter_context(replacing(ids_path))
            ids.writelines(f"{token}\n".encode() for token in rows.item_tokens)
            ids.flush()
        file = stack.enter_context(replacing(path))
        if by_number and size > shutil.disk_usage(path.parent).free:
            raise UserError(
                f"{path} would have {n_rows} rows for {len(places)} items ({size} bytes), more "
                "than the disk has room for.",
                "Leave --ids=rows out, so that it has one row for each item.",
            )
        file.write(head.getvalue())
        file.truncate(size)
        for row, place in zip((row for chunk in rows.chunks() for row in chunk), places):
            file.seek(head.tell() + place * row_bytes)
            file.write(row.tobytes())
    return n_rows - len(places)


def _row_numbers(rows: Rows, path: Path) -> list[int]:
    ids_path = ids_beside(path)
    for token in rows.item_tokens:
        if not re.fullmatch("0|[1-9][0-9]{0,17}", token):
            raise UserError(
                f"Item {token!r} of {path} is no row number.",
                f"Leave --ids=rows out, so that {ids_path.name} names the rows.",
            )
    if ids_path.exists():
        raise UserError(
            f"{ids_path} would name the rows of {path}, but --ids=rows numbers them.",
            "Remove it, or give another destination.",
        )
    return [int(token) for token in rows.item_tokens]


def _check_lines(rows: Rows, path: Path) -> None:
    for token in rows.item_tokens:
        if _NO_LINE.search(token):
            raise UserError(
                f"Item {token!r} cannot stand in a line of {path}.",
                "Use tokens of one character or more, without tabs and line ends.",
            )


def _read_itememb(path: Path, options: Options) -> Opened:
    check_file(path, "Give an atomic file of RecBole.")
    file = AtomicFile(path)
    table = ItemTable(path, _column(file, "token"))
    field = _column(file, "float_seq", options.field)
    (column,) = table.columns([field])
    kept = [row for row, cells in enumerate(table) if cells[column].strip()]
    if not kept:
        raise UserError(
            f"{path} has no item with a vector in {field}.",
            "Give another file, or name the column of the vectors with --field.",
        )
    dim = len(table.read(kept[0])[column].split())

    def vector(row: int) -> np.ndarray:
        words = table.read(row)[column].split()
        wrong = f"has {len(words)} numbers in {field}, the first vector {dim}"
        try:
            if len(words) == dim:
                return np.array([float(word) for word in words])
        except ValueError as error:
            wrong = f"has something in {field} that is no number ({error})"
        how = "Write the numbers of a vector separated by spaces, and none where an item has none."
        raise wrong_line(path, table.line_of(row), wrong, how)

    def chunks() -> Iterator[np.ndarray]:
        step = rows_at_once(8 * dim)
        for at in range(0, len(kept), step):
            yield np.stack([vector(row) for row in kept[at : at + step]])[:, None]

    info = FeatureInfo("", source_fields=(path.name, field))
    tokens = as_item_tokens(str(path), table.item_tokens[kept])
    rows = Rows(tokens, (len(kept), 1, dim), np.dtype(np.float64), info, chunks)
    return Opened(rows, (path,), n_left_out=len(table) - len(kept))


def _column(file: AtomicFile, kind: str, field: str | None = None) -> str:
    """Give the name of the first column of a type, or check that the one of a name is of it."""
    for name, ftype in file.types.items():
        if ftype == kind and field in (None, name):
            return name
    called = "" if field is None else f" called {field!r}"
    columns = " ".join(f"{name}:{ftype}" for name, ftype in file.types.items())
    raise UserError(
        f"{file.path} has no column{called} of type {kind}: its columns are {columns[:200]}.",
        "Head the columns as RecBole does: itemid:token, a tab, item_emb:float_seq.",
    )


def _write_itememb(path: Path, rows: Rows, options: Options) -> int:
    _check_lines(rows, path)
    modality = rows.info.modality
    field = options.field or f"{modality or 'item'}_emb"
    # RecBole keeps one preloaded weight for each id field: those of two modalities must differ.
    item_field = f"{modality}_itemid" if modality else "itemid"
    for name in (item_field, field):
        if re.search(r"[\s:]", name):
            raise UserError(
                f"The name {name!r} cannot head a column of {path}.",
                "Say --modality and --field without spaces and colons.",
            )
    line = " ".join([_FLOAT32] * rows.shape[2])
    tokens = iter(rows.item_tokens)
    with replacing(path) as file:
        file.write(f"{item_field}:token\t{field}:float_seq\n".encode())
        for chunk in rows.chunks():
            for vector, token in zip(chunk[:, 0], tokens):
                file.write(f"{token}\t{line % tuple(vector.tolist())}\n".encode())
    return 0


FORMATS = {
    "safetensors": Format(
        (".safetensors",), _read_safetensors, _write_safetensors, (), ("encoder",)
    ),
    "npy": Format((".npy",), _read_npy, partial(_write_array, has_header=True), ("ids",), ("ids",)),
    "itememb": Format(
        (".itememb",), _read_itememb, _write_itememb, ("field",), ("field",), holds_tokens=False
    ),
    "raw": Format(
        (".feat*", ".raw*"),
        _read_raw,
        partial(_write_array, has_header=False),
        ("ids", "dim"),
        ("ids",),
        holds_tokens=False,
        holds_half=False,
    ),
}
