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
from .source import FLOAT_DTYPES, FeatureInfo, Rows, as_item_tokens, rows_at_once
from .store import open_features, write_rows

DEFAULT_DIM = 768  # of BERT, and so of UniSRec's files
ROWS = "rows"  # the value of the option ids that says: row i is of item i
_NO_LINE = re.compile("^$|^\ufeff|[\t\n\r]|[\ud800-\udfff]")
_FLOAT32 = "%.9g"  # nine digits tell any two float32 apart


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


class Opened(NamedTuple):
    """What a format reads: features, the files they are in, and how many items have no vector."""

    rows: Rows
    files: tuple[Path, ...]
    n_left_out: int = 0


class Format(NamedTuple):
    """A format of item features."""

    name: str
    suffix: str  # a regular expression
    read: Callable[[Path, Options], Opened]  # a UserError if there is no such file
    write: Callable[[Path, Rows, Options], int]  # whole or not at all; gives the rows of no item
    read_options: frozenset[str] = frozenset()
    write_options: frozenset[str] = frozenset()
    dtypes: tuple[str, ...] = FLOAT_DTYPES
    one_vector: bool = False  # an item has one, and none of its tokens is padding
    has_padding: bool = False


def _read_safetensors(path: Path, options: Options) -> Opened:
    return Opened(open_features(path).rows(), (path,))


def _write_safetensors(path: Path, rows: Rows, options: Options) -> int:
    write_rows(path, rows)
    return 0


def ids_beside(path: Path) -> Path:
    """Give ``toy.text.ids`` for ``toy.text.npy``, and ``toy.feat1CLS.ids`` for ``toy.feat1CLS``."""
    return path.with_name(f"{path.name.removesuffix('.npy')}.ids")


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
    n_items = len(values)
    if values.dtype.kind != "f":
        raise UserError(
            f"{path} holds {values.dtype}, but features are floating-point numbers.",
            "Save them with numpy.save(path, values.astype('float32')).",
        )
    files: tuple[Path, ...] = (path,)
    if options.ids == ROWS:
        item_tokens = np.array([str(row) for row in range(n_items)], dtype=object)
    else:
        ids_path = ids_beside(path) if options.ids is None else Path(options.ids)
        if options.ids is None and not ids_path.is_file():
            raise UserError(
                f"Nothing says which item each row of {path} is of: there is no {ids_path}.",
                "Say --ids=FILE, or --ids=rows if the items' tokens are the rows' numbers.",
            )
        files = (path, ids_path)
        item_tokens = read_ids(ids_path, path, n_items)

    def chunks() -> Iterator[np.ndarray]:
        step = rows_at_once(values[:1].nbytes)
        # Mapped anew: what is touched counts as memory of the process until unmapped.
        return (np.array(map_values()[first : first + step]) for first in range(0, n_items, step))

    info = FeatureInfo("", source_fields=tuple(file.name for file in files))
    return Opened(Rows(item_tokens, values.shape, values.dtype, info, chunks), files)


def _write_npy(path: Path, rows: Rows, options: Options) -> int:
    def header(n_rows: int) -> bytes:
        file = io.BytesIO()
        axes = rows.shape[1:] if rows.shape[1] > 1 else rows.shape[2:]
        described = {"descr": rows.dtype.str, "fortran_order": False, "shape": (n_rows, *axes)}
        np.lib.format.write_array_header_1_0(file, described)
        return file.getvalue()

    return _write_array(path, rows, options, header)


def _write_raw(path: Path, rows: Rows, options: Options) -> int:
    return _write_array(path, rows, options, lambda n_rows: b"")


def _write_array(path: Path, rows: Rows, options: Options, header: Callable[[int], bytes]) -> int:
    if options.ids == ROWS:
        return _write_by_number(path, rows, header)
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
    n_items, n_rows = len(places), max(places) + 1
    row_bytes = math.prod(rows.shape[1:]) * rows.dtype.itemsize
    head = header(n_rows)
    size = len(head) + n_rows * row_bytes
    with replacing(path) as file:
        if size > shutil.disk_usage(path.parent).free:
            raise UserError(
                f"{path} would have {n_rows} rows for {n_items} items ({size} bytes), more "
                "than the disk has room for.",
                "Leave --ids=rows out, so that it has one row for each item.",
            )
        file.write(head)
        file.truncate(size)
        for row, place in zip((row for chunk in rows.chunks() for row in chunk), places):
            file.seek(len(head) + place * row_bytes)
            file.write(row.tobytes())
    return n_rows - n_items


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

    rows = Rows(
        item_tokens=as_item_tokens(str(path), tokens),
        shape=(len(tokens), 1, dim),
        dtype=np.dtype(np.float32),
        info=FeatureInfo("", source_fields=(path.name, field)),
        chunks=chunks,
    )
    return Opened(rows, (path,), n_left_out=len(line_of) - len(tokens))


_AS_WRITTEN = (
    "Write one line for each item, the numbers of a vector separated by spaces, none where an item "
    "has none."
)


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
    wrong = ""
    if len(words) != dim:
        wrong = f"has {len(words)} numbers in {field}, the first vector {dim}"
    else:
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


_IDS, _FIELD = frozenset({"ids"}), frozenset({"field"})
FORMATS = {
    format.name: format
    for format in (
        Format(
            "safetensors",
            r"\.safetensors",
            _read_safetensors,
            _write_safetensors,
            write_options=frozenset({"encoder"}),
            has_padding=True,
        ),
        Format("npy", r"\.npy", _read_npy, _write_npy, _IDS, _IDS),
        Format(
            "itememb", r"\.itememb", _read_itememb, _write_itememb, _FIELD, _FIELD, one_vector=True
        ),
        Format(
            "raw",
            r"\.feat\w*|\.raw",
            _read_raw,
            _write_raw,
            _IDS | {"dim"},
            _IDS,
            dtypes=("float32",),
            one_vector=True,
        ),
    )
}
