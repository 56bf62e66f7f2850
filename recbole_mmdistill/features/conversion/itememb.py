"""RecBole's additional feature file: a token and a vector on each line, as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from ...atomic import AtomicFile, wrong_line
from ...errors import UserError
from ...files import replacing
from ..source import FeatureInfo, as_item_tokens
from ..store import CHUNK_BYTES
from .format import Format, Options, Rows, check_file, check_lines, check_tokens

_FLOAT32 = "%.9g"  # nine digits tell any two float32 apart


class ItemembFormat(Format):
    """RecBole's additional feature file."""

    name = "itememb"
    suffix = r"\.itememb"
    read_options = write_options = frozenset({"field"})

    def read(self, path: Path, options: Options) -> Rows:
        """Open an atomic file."""
        table = _Table(path, options.field)
        return Rows(
            files=(path,),
            item_tokens=table.item_tokens,
            shape=(len(table.item_tokens), 1, table.dim),
            dtype=np.dtype(np.float32),
            info=FeatureInfo("", source_fields=(path.name, table.field)),
            chunks=table.chunks,
            n_left_out=table.n_missing,
        )

    def write(self, path: Path, rows: Rows, options: Options) -> int:
        """Write an atomic file."""
        check_tokens(rows, self.name, one_vector=True)
        check_lines(rows, path)
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


class _Table:
    """The lines of an atomic file, read anew when asked for: its text never is in memory."""

    def __init__(self, path: Path, field: str | None) -> None:
        check_file(path, "Give an atomic file of RecBole.")
        self.path = path
        self._file = AtomicFile(path)
        self._item_column, _ = self._column("token")
        self._vector_column, self.field = self._column("float_seq", field)
        self.dim = 0  # of the first vector, and so of all
        tokens: list[str] = []
        line_of: dict[str, int] = {}
        for number, token, words in self._items():
            if token in line_of:
                raise UserError(
                    f"Lines {line_of[token]} and {number} of {path} are both of item {token!r}.",
                    "Keep one line for each item.",
                )
            line_of[token] = number
            if words:
                self.dim = self.dim or len(words)
                tokens.append(token)
        if not tokens:
            raise UserError(
                f"{path} has no item with a vector in {self.field}.",
                "Give another file, or name the column of the vectors with --field.",
            )
        self.n_missing = len(line_of) - len(tokens)
        self.item_tokens = as_item_tokens(str(path), tokens)  # [n_items], those with a vector

    def chunks(self) -> Iterator[np.ndarray]:
        """Read all vectors in their order, ``[any number, 1, dim]`` float32 at a time."""
        vectors = (self._vector(number, words) for number, _, words in self._items() if words)
        while chunk := list(islice(vectors, max(1, CHUNK_BYTES // (4 * self.dim)))):
            yield np.stack(chunk)[:, None]

    def _column(self, kind: str, field: str | None = None) -> tuple[int, str]:
        """Give number and name of the first column of a type, or of the one with a name."""
        for number, (name, ftype) in enumerate(self._file.types.items()):
            if ftype == kind and field in (None, name):
                return number, name
        called = "" if field is None else f" called {field!r}"
        columns = " ".join(f"{name}:{ftype}" for name, ftype in self._file.types.items())
        raise UserError(
            f"{self.path} has no column{called} of type {kind}: its columns are {columns[:200]}.",
            "Head the columns as RecBole does: itemid:token, a tab, item_emb:float_seq.",
        )

    def _items(self) -> Iterator[tuple[int, str, list[str]]]:
        """Give the number of each line, its item and the words of its vector."""
        for line, cells in self._file.rows():
            if not cells[self._item_column]:
                raise self._wrong(line, "names no item")
            yield line, cells[self._item_column], cells[self._vector_column].split()

    def _vector(self, number: int, words: list[str]) -> np.ndarray:
        if len(words) != self.dim:
            found = f"has {len(words)} numbers in {self.field}, the first vector {self.dim}"
            raise self._wrong(number, found)
        try:
            with np.errstate(over="ignore"):
                vector = np.array([float(word) for word in words], dtype=np.float32)
        except ValueError as error:
            found = f"has something in {self.field} that is no number ({error})"
            raise self._wrong(number, found) from None
        if not np.isfinite(vector).all():
            word = words[int(np.argmin(np.isfinite(vector)))]
            raise self._wrong(number, f"holds {word} in {self.field}, no finite float32")
        return vector

    def _wrong(self, line: int, what: str) -> UserError:
        return wrong_line(
            self.path,
            line,
            what,
            "Write one line for each item, the numbers of a vector separated by spaces, none where "
            "an item has none.",
        )
