"""A table of rows, whatever its files are: what its columns are called, and its rows in DuckDB."""

from __future__ import annotations

import gc
import glob
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
from tqdm import tqdm

from ..errors import UserError
from .delimited import NOTHING, Dialect, Row, Wanted, read_rows, sniff
from .engine import Engine, connect, quoted
from .source import Form, form_of, read_blocks
from .tally import Tally

_SAMPLE = 1000  # JSON records by which the columns are told
# A user's path is one file, and folders like `year=2020` are no columns.
_READ_PARQUET = "read_parquet(?, hive_partitioning = false, binary_as_string = true)"


class Pick(NamedTuple):
    """A column that is wanted.

    Attributes
    ----------
    column : int
        Its place.
    text : bool
        Whether it is for reading: lists become texts, and line breaks spaces.
    """

    column: int
    text: bool = False


class Convert(NamedTuple):
    """Other columns, made of those of a file; of known formats.

    Attributes
    ----------
    names : tuple of str
        Of the new columns.
    row : callable
        Makes the new cells of a row's.
    """

    names: tuple[str, ...]
    row: Callable[[list[str]], list[str]]


class Table(ABC):
    """Files of one kind with the same columns.

    Attributes
    ----------
    paths : list of pathlib.Path
        The files, without those that are empty.
    names : tuple of str
        Of the columns.
    description : str
        How the files are written, in a few words.
    """

    paths: list[Path]
    names: tuple[str, ...]
    description: str

    @abstractmethod
    def load(self, engine: Engine, name: str, picks: Mapping[str, Pick], tally: Tally) -> None:
        """Make a table in DuckDB: ``part``, ``line``, then each pick as text, empty if missing.

        Parameters
        ----------
        engine : Engine
            The database.
        name : str
            Of the table there.
        picks : mapping of str to Pick
            Names there, and the columns.
        tally : Tally
            Counts the rows, and what is dropped of them.
        """


def open_table(
    paths: Sequence[Path],
    encoding: str | None = None,
    wanted: Wanted = NOTHING,
    convert: Convert | None = None,
) -> Table:
    """Find out what files are.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        The parts, at least one.
    encoding : str, optional
        Of text files.
    wanted : Wanted
        What is known of their dialect.
    convert : Convert, optional
        For known formats, whose file is one.

    Raises
    ------
    UserError
        They are no tables, or not alike.
    """
    forms = {path: form_of(path, encoding) for path in paths}
    filled = {path: form for path, form in forms.items() if form.kind != "empty"}
    if not filled:
        only = paths[0] if len(paths) == 1 else paths[0].parent
        raise UserError(f"{only} is empty.", "Give files with rows.")
    first, *others = filled
    kind = filled[first].kind
    for other in others:
        if filled[other].kind != kind:
            raise UserError(
                f"{first.parent} holds files of different kinds ({first.name}, {other.name}).",
                "Give one file, or a folder of parts of one kind.",
            )
    if kind == "parquet":
        return _Parquet([*filled])
    if kind == "json":
        return _JsonLines(filled)
    return _Delimited(filled, wanted, convert)


class TextTable(Table):
    """Rows that Python reads, and hands on in batches."""

    def __init__(self, forms: Mapping[Path, Form]) -> None:
        self._forms = forms
        self.paths = [*forms]

    @abstractmethod
    def _rows(
        self, path: Path, picks: Sequence[Pick], tally: Tally, advance: Callable[[int], None]
    ) -> Iterator[tuple[Sequence[int], Sequence[Sequence[str]]]]:
        """Give batches of line numbers and of the picked columns."""

    def load(self, engine: Engine, name: str, picks: Mapping[str, Pick], tally: Tally) -> None:
        """See :meth:`Table.load`."""
        columns = "".join(f", {pick} VARCHAR" for pick in picks)
        engine.run(f"CREATE TEMP TABLE {name} (part INTEGER, line BIGINT{columns})")
        total = sum(path.stat().st_size for path in self.paths)
        with (
            _no_garbage_collection(),
            tqdm(total=total, desc="reading", unit="B", unit_scale=True, disable=None) as bar,
        ):
            for part, path in enumerate(self.paths):
                for lines, cells in self._rows(path, [*picks.values()], tally, bar.update):
                    if not len(lines):
                        continue
                    batch = {"part": np.full(len(lines), part), "line": np.array(lines)}
                    for pick, column in zip(picks, cells):
                        batch[pick] = np.array(column, dtype=object)
                    engine.insert(name, batch)


class _Delimited(TextTable):
    def __init__(
        self,
        forms: Mapping[Path, Form],
        wanted: Wanted,
        convert: Convert | None,
    ) -> None:
        super().__init__(forms)
        self._convert = convert
        self._dialects: dict[Path, Dialect] = {}
        first = self.paths[0]
        for path, form in forms.items():
            dialect = sniff(path, form, wanted)
            self._dialects[path] = dialect
            if sorted(dialect.names) != sorted(self._dialects[first].names):
                raise UserError(
                    f"{path} has other columns ({', '.join(dialect.names)[:80]}) than "
                    f"{first.name} ({', '.join(self._dialects[first].names)[:80]}).",
                    "Give files with the same columns.",
                )
        self.names = convert.names if convert else self._dialects[first].names
        self.description = f"{self._dialects[first]}, {forms[first].encoding.upper()}"

    def _rows(
        self, path: Path, picks: Sequence[Pick], tally: Tally, advance: Callable[[int], None]
    ) -> Iterator[tuple[Sequence[int], Sequence[Sequence[str]]]]:
        dialect = self._dialects[path]
        places = [pick.column for pick in picks]
        if not self._convert and dialect.names != self.names:  # in another order
            places = [dialect.names.index(self.names[place]) for place in places]
        blocks = read_blocks(path, self._forms[path], tally, advance)
        rows: list[Row]
        for rows in read_rows(path, dialect, blocks, tally):
            if not rows:
                continue
            lines, cells = zip(*rows)
            if self._convert is not None:
                cells = tuple(map(self._convert.row, cells))
            columns = list(zip(*cells))
            yield lines, [columns[place] for place in places]


class _JsonLines(TextTable):
    description = "JSON lines"

    def __init__(self, forms: Mapping[Path, Form]) -> None:
        super().__init__(forms)
        # Numbers stay as they are written: 1.0, and whole numbers of any length.
        self._decode = json.JSONDecoder(
            parse_int=str, parse_float=str, parse_constant=lambda _: None
        ).decode
        names: dict[str, None] = {}
        for path, form in forms.items():
            lines = [line for line in form.head.split("\n") if line.strip()][:_SAMPLE]
            records = [record for line in lines if (record := self._record(line)) is not None]
            if not records:
                raise UserError(
                    f"{path} begins like JSON lines, but no line is a JSON object "
                    f"(line: {lines[0][:60]!r}).",
                    "Write one object a line.",
                )
            for record in records:
                names.update(dict.fromkeys(record))
        self.names = tuple(names)

    def _record(self, line: str) -> dict[str, Any] | None:
        try:
            record = self._decode(line.strip())
        except (ValueError, RecursionError):
            return None
        return record if isinstance(record, dict) else None

    def _rows(
        self, path: Path, picks: Sequence[Pick], tally: Tally, advance: Callable[[int], None]
    ) -> Iterator[tuple[Sequence[int], Sequence[Sequence[str]]]]:
        wanted = [(self.names[pick.column], _flat if pick.text else _plain) for pick in picks]
        for block in read_blocks(path, self._forms[path], tally, advance):
            lines: list[int] = []
            rows: list[list[str]] = []
            for number, line in enumerate(block.lines, block.first):
                if not line.strip():
                    continue
                tally.row()
                record = self._record(line)
                if record is None:
                    tally.drop("not_json", path, number)
                    continue
                try:
                    row = [read(record.get(key)) for key, read in wanted]
                except _NoText as error:
                    tally.drop(str(error), path, number)
                    continue
                lines.append(number)
                rows.append(row)
            yield lines, list(zip(*rows))


class _Parquet(Table):
    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.description = "Parquet"
        schemas = [_schema(path) for path in paths]
        self._types = schemas[0]
        self.names = tuple(schemas[0])
        for path, schema in zip(paths, schemas):
            if schema.keys() != schemas[0].keys():
                raise UserError(
                    f"{path} has other columns ({', '.join(schema)[:80]}) than "
                    f"{paths[0].name} ({', '.join(self.names)[:80]}).",
                    "Give files with the same columns.",
                )

    def load(self, engine: Engine, name: str, picks: Mapping[str, Pick], tally: Tally) -> None:
        """See :meth:`Table.load`."""
        columns = "".join(f", {pick} VARCHAR" for pick in picks)
        engine.run(f"CREATE TEMP TABLE {name} (part INTEGER, line BIGINT{columns})")
        for part, path in enumerate(self.paths):
            types = _schema(path)
            cells = []
            for pick in picks.values():
                column = self.names[pick.column]
                cells.append(_as_text(path, column, types[column], pick.text))
            try:
                engine.run(
                    f"INSERT INTO {name} SELECT {part}, file_row_number + 1, {', '.join(cells)} "
                    f"FROM {_READ_PARQUET}",
                    [_address(path)],
                    f"reading {path.name}",
                )
            except duckdb.Error as error:
                raise _no_parquet(path, error) from None
        ((rows,),) = engine.run(f"SELECT count(*) FROM {name}")
        tally.row(rows)


class _NoText(Exception):
    """Why a JSON value is no id, time or number."""


def _plain(value: Any) -> str:
    """Write an id, a time or a number as the text that it is."""
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise _NoText("not_unicode")
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    raise _NoText("nested_value")


def _flat(value: Any) -> str:
    """Write texts within lists and objects as one text."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        return ", ".join(filter(None, map(_flat, value)))
    return _plain(value)


def _schema(path: Path) -> dict[str, str]:
    """Give the columns of a Parquet file, and their types as DuckDB names them."""
    try:
        with connect() as con:
            found = con.execute(
                f"DESCRIBE SELECT * FROM {_READ_PARQUET}",
                [_address(path)],
            ).fetchall()
    except duckdb.Error as error:
        raise _no_parquet(path, error) from None
    return {name: kind for name, kind, *_ in found}


def _as_text(path: Path, column: str, kind: str, text: bool) -> str:
    name = quoted(column)
    if kind in ("FLOAT", "DOUBLE"):  # how pandas writes a number that is missing
        return f"CASE WHEN isnan({name}) THEN '' ELSE coalesce(CAST({name} AS VARCHAR), '') END"
    nested = kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))
    if nested and not text:
        raise UserError(
            f"The column {column!r} of {path} holds lists or objects, no single values.",
            "Give another column.",
        )
    if kind == "VARCHAR[]":
        return f"coalesce(array_to_string({name}, ', '), '')"
    return f"coalesce(CAST({name} AS VARCHAR), '')"


def _address(path: Path) -> str:
    """Write a path so that DuckDB takes it for no pattern and no address."""
    return glob.escape(str(path.absolute()))


def _no_parquet(path: Path, error: duckdb.Error) -> UserError:
    reason = str(error).splitlines()[0].replace(str(path.absolute()), path.name)
    return UserError(f"{path} cannot be read as Parquet ({reason}).", "Write it again.")


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Spare the collector millions of lists of cells, none of which is in a cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
