"""The formats of arrays: one row an item, named by a file beside or by its number."""

from __future__ import annotations

import io
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...errors import UserError
from ...files import replacing
from ..source import FeatureInfo
from ..store import CHUNK_BYTES
from .format import ROWS, Format, Options, Rows, check_file, check_lines, check_tokens
from .npy import map_features, read_ids

DEFAULT_DIM = 768  # of BERT, and so of UniSRec's files


class NpyFormat(Format):
    """An array of numpy; MMRec's files are such, and their row is the item."""

    name = "npy"
    suffix = r"\.npy"
    read_options = write_options = frozenset({"ids"})
    one_vector: ClassVar[bool] = False

    def read(self, path: Path, options: Options) -> Rows:
        """Open an array, and the file of its items if it has one."""
        values = self._map(path, options)
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
            ids_path = _ids_beside(path) if options.ids is None else Path(options.ids)
            if options.ids is None and not ids_path.is_file():
                raise UserError(
                    f"Nothing says which item each row of {path} is of: there is no {ids_path}.",
                    "Say --ids=FILE, or --ids=rows if the items' tokens are the rows' numbers.",
                )
            files = (path, ids_path)
            item_tokens = read_ids(ids_path, path, n_items)

        def chunks() -> Iterator[np.ndarray]:
            step = max(1, CHUNK_BYTES // values[:1].nbytes)
            for first in range(0, n_items, step):
                # Mapped anew: what is touched counts as memory of the process until unmapped.
                yield np.array(self._map(path, options)[first : first + step])

        return Rows(
            files=files,
            item_tokens=item_tokens,
            shape=values.shape,
            dtype=values.dtype,
            info=FeatureInfo("", source_fields=tuple(file.name for file in files)),
            chunks=chunks,
        )

    def write(self, path: Path, rows: Rows, options: Options) -> int:
        """Write an array, and an ``.ids`` file beside unless the rows' numbers are the items."""
        check_tokens(rows, self.name, self.one_vector)
        if options.ids == ROWS:
            return self._write_by_number(path, rows)
        check_lines(rows, _ids_beside(path))
        # Opened first, the ids replace the old ones last: after the values are safely written.
        with replacing(_ids_beside(path)) as ids, replacing(path) as file:
            ids.writelines(f"{token}\n".encode() for token in rows.item_tokens)
            ids.flush()
            file.write(self._header(rows.shape, rows.dtype))
            for chunk in rows.chunks():
                file.write(np.ascontiguousarray(chunk).data)
        return 0

    def files_written(self, path: Path, options: Options) -> tuple[Path, ...]:
        """List the array, and the file of its items if it gets one."""
        return (path,) if options.ids == ROWS else (path, _ids_beside(path))

    def _map(self, path: Path, options: Options) -> np.ndarray:
        return map_features(path)

    def _header(self, shape: tuple[int, ...], dtype: np.dtype) -> bytes:
        header = io.BytesIO()
        axes = shape if shape[1] > 1 else (shape[0], shape[2])
        described = {"descr": dtype.str, "fortran_order": False, "shape": axes}
        np.lib.format.write_array_header_1_0(header, described)
        return header.getvalue()

    def _write_by_number(self, path: Path, rows: Rows) -> int:
        """Write each row at the place that its item's token says, zeros where there is none."""
        ids_path = _ids_beside(path)
        for token in rows.item_tokens:
            if not re.fullmatch("0|[1-9][0-9]{0,17}", token):
                raise UserError(
                    f"Item {token!r} of {rows.files[0]} is no row number.",
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
        header = self._header((n_rows, *rows.shape[1:]), rows.dtype)
        size = len(header) + n_rows * row_bytes
        with replacing(path) as file:
            if size > shutil.disk_usage(path.parent).free:
                raise UserError(
                    f"{path} would have {n_rows} rows for {n_items} items ({size} bytes), more "
                    "than the disk has room for.",
                    "Leave --ids=rows out, so that it has one row for each item.",
                )
            file.write(header)
            file.truncate(size)
            values = (row for chunk in rows.chunks() for row in chunk)
            for row, place in zip(values, places):
                file.seek(len(header) + place * row_bytes)
                file.write(row.tobytes())
        return n_rows - n_items


class RawFormat(NpyFormat):
    """Float32 numbers and no header, as ``ndarray.tofile`` writes; UniSRec's files are such."""

    name = "raw"
    suffix = r"\.feat\w*|\.raw"
    read_options = frozenset({"ids", "dim"})
    dtypes = ("float32",)
    one_vector = True

    def _map(self, path: Path, options: Options) -> np.ndarray:
        dim = DEFAULT_DIM if options.dim is None else options.dim
        check_file(path, "Write it with values.tofile(path).")
        if dim < 1:
            raise UserError(f"A vector cannot have {dim} numbers.", "Say how many with --dim.")
        size = path.stat().st_size
        if size == 0 or size % (4 * dim):
            raise UserError(
                f"{path} has {size} bytes, no multiple of the {4 * dim} of {dim} float32 numbers.",
                "Say with --dim how many numbers a vector has.",
            )
        return np.memmap(path, dtype="<f4", mode="r", shape=(size // (4 * dim), 1, dim))

    def _header(self, shape: tuple[int, ...], dtype: np.dtype) -> bytes:
        return b""


def _ids_beside(path: Path) -> Path:
    """Give ``toy.text.ids`` for ``toy.text.npy``, and ``toy.feat1CLS.ids`` for ``toy.feat1CLS``."""
    return path.with_name(f"{path.name.removesuffix('.npy')}.ids")
