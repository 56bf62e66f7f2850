"""The formats of item features: what each reads and writes."""

from __future__ import annotations

import io
import math
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..atomic import AtomicFile, wrong_line
from ..errors import UserError
from ..files import replacing
from .npy import check_file, map_features, read_ids
from .source import FeatureInfo, Rows, as_item_tokens, rows_at_once
from .store import open_features, write_rows

FORMATS = {  # and how the suffixes of their files begin
    "safetensors": (".safetensors",),
    "npy": (".npy",),
    "itememb": (".itememb",),
    "raw": (".feat", ".raw"),
}
DEFAULT_DIM = 768  # of BERT, and so of UniSRec's files
ROWS = "rows"  # the value of the option ids that says: row i is of item i
_NO_LINE = re.compile("^$|^\ufeff|[\t\n\r]|[\ud800-\udfff]")
_FLOAT32 = "%.9g"  # nine digits tell any two float32 apart
_AS_WRITTEN = (
    "Write one line for each item, the numbers of a vector separated by spaces, none where an item "
    "has none."
)


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


def read(path: Path, format: str, options: Options) -> Opened:
    """Open a file; a UserError is raised if it is missing, damaged or of another format."""
    if format == "safetensors":
        return Opened(open_features(path).rows(), (path,))
    if format == "npy":
        return _read_array(path, options, lambda: map_features(path))
    return _read_itememb(path, options) if format == "itememb" else _read_raw(path, options)


def write(path: Path, format: str, rows: Rows, options: Options) -> int:
    """Write a file, whole or not at all, and give how many rows of it are of no item.

    A UserError is raised if the format cannot hold an item, an OSError if the disk cannot.
    """
    if format == "safetensors":
        write_rows(path, rows)
        return 0
    if format == "itememb":
        return _write_itememb(path, rows, options)

    def header(n_rows: int) -> bytes:
        file = io.BytesIO()
        axes = rows.shape[1:] if rows.shape[1] > 1 else rows.shape[2:]
        described = {"descr": rows.dtype.str, "fortran_order": False, "shape": (n_rows, *axes)}
        np.lib.format.write_array_header_1_0(file, described)
        return b"" if format == "raw" else file.getvalue()

    write_array = _write_by_number if options.ids == ROWS else _write_with_ids
    return write_array(path, rows, header)


def ids_beside(path: Path) -> Path:
    """Give ``toy.text.ids`` for ``toy.text.npy``, and ``toy.feat1CLS.ids`` for ``toy.feat1CLS``."""
    return path.with_name(f"{path.name.removesuffix('.npy')}.ids")


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


def _write_with_ids(path: Path, rows: Rows, header: Callable[[int], bytes]) -> int:
    _check_lines(rows, ids_beside(path))
    # Opened first, the ids replace the old ones last: after the values are safely written.
    with replacing(ids_beside(path)) as ids, replacing(path) as file:
        ids.writelines(f"{token}\n".encode() for token in rows.item_tokens)
        ids.flush()
        file.write(header(len(rows.item_tokens)))
        for chunk in rows.chunks():
            file.write(np.ascontiguousarray(chunk).data)
    return 0


def _write_by_number(path: Path, rows: Rows, header: Callable[[int], bytes]) -> int:
    """Write each row at the place that its item's token says, zeros where there is none."""
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
    places = [int(token) for token in rows.item_tokens]
    n_rows = max(places) + 1
    row_bytes = math.prod(rows.shape[1:]) * rows.dtype.itemsize
    head = header(n_rows)
    size = len(head) + n_rows * row_bytes
    with replacing(path) as file:
        if size > shutil.disk_usage(path.parent).free:
            raise UserError(
                f"{path} would have {n_rows} rows for {len(places)} items ({size} bytes), more "
                "than the disk has room for.",
                "Leave --ids=rows out, so that it has one row for each item.",
            )
        file.write(head)
        file.truncate(size)
        for row, place in zip((row for chunk in rows.chunks() for row in chunk), places):
            file.seek(len(head) + place * row_bytes)
            file.write(row.tobytes())
    return n_rows - len(places)


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
    item_column, _ = _column(file, "token")
    column, field = _column(file, "float_seq", options.field)
    line_of: dict[str, int] = {}
    tokens: list[str] = []
    dim = 0  # of the first vector, and so of all
    for line, cells in file.rows():
        token, words = cells[item_column], cells[column].split()
        if not token:
            raise wrong_line(path, line, "names no item", _AS_WRITTEN)
        if token in line_of:
            raise UserError(
                f"Lines {line_of[token]} and {line} of {path} are both of item {token!r}.",
                "Keep one line for each item.",
            )
        line_of[token] = line
        if words:
            dim = dim or len(words)
            tokens.append(token)
    if not tokens:
        raise UserError(
            f"{path} has no item with a vector in {field}.",
            "Give another file, or name the column of the vectors with --field.",
        )

    def chunks() -> Iterator[np.ndarray]:
        cells = ((line, row[column].split()) for line, row in file.rows())
        vectors = (_vector(path, line, field, words, dim) for line, words in cells if words)
        while chunk := list(islice(vectors, rows_at_once(4 * dim))):
            yield np.stack(chunk)[:, None]

    info = FeatureInfo("", source_fields=(path.name, field))
    shape, dtype = (len(tokens), 1, dim), np.dtype(np.float32)
    rows = Rows(as_item_tokens(str(path), tokens), shape, dtype, info, chunks)
    return Opened(rows, (path,), n_left_out=len(line_of) - len(tokens))


def _column(file: AtomicFile, kind: str, field: str | None = None) -> tuple[int, str]:
    """Give number and name of the first column of a type, or of the one with a name."""
    for number, (name, ftype) in enumerate(file.types.items()):
        if ftype == kind and field in (None, name):
            return number, name
    called = "" if field is None else f" called {field!r}"
    columns = " ".join(f"{name}:{ftype}" for name, ftype in file.types.items())
    raise UserError(
        f"{file.path} has no column{called} of type {kind}: its columns are {columns[:200]}.",
        "Head the columns as RecBole does: itemid:token, a tab, item_emb:float_seq.",
    )


def _vector(path: Path, line: int, field: str, words: list[str], dim: int) -> np.ndarray:
    wrong = f"has {len(words)} numbers in {field}, the first vector {dim}"
    if len(words) == dim:
        try:
            with np.errstate(over="ignore"):
                vector = np.array([float(word) for word in words], dtype=np.float32)
            if np.isfinite(vector).all():
                return vector
            word = words[int(np.argmin(np.isfinite(vector)))]
            wrong = f"holds {word} in {field}, no finite float32"
        except ValueError as error:
            wrong = f"has something in {field} that is no number ({error})"
    raise wrong_line(path, line, wrong, _AS_WRITTEN)


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
