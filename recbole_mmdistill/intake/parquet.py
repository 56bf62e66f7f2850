"""Parquet files, read by DuckDB alone."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from ..errors import UserError
from .engine import Engine, connect, quoted
from .table import HEAD, Pick, Table
from .tally import Tally

_ROW = "file_row_number"  # a column that DuckDB adds
# A user's path is one file, and folders like `year=2020` are no columns.
_READ_PARQUET = "read_parquet(?, hive_partitioning = false, binary_as_string = true)"


class Parquet(Table):
    """Parquet files with the same columns.

    Parameters
    ----------
    paths : list of pathlib.Path
        The parts.

    Raises
    ------
    UserError
        They cannot be read, or their columns are not alike.
    """

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.description = "Parquet"
        self._types = [_schema(path) for path in paths]
        self.names = tuple(self._types[0])
        for path, schema in zip(paths, self._types):
            if schema.keys() != self._types[0].keys():
                raise UserError(
                    f"{path} has other columns ({', '.join(schema)[:80]}) than "
                    f"{paths[0].name} ({', '.join(self.names)[:80]}).",
                    "Give parts with the same columns, or one file, and that of items by --items.",
                )

    def head(self) -> Sequence[Sequence[str]]:
        """See :meth:`Table.head`."""
        types = self._types[0].items()
        cells = [_as_text(self.paths[0], name, kind, text=True) for name, kind in types]
        try:
            with connect() as con:
                query = f"SELECT {', '.join(cells)} FROM {_READ_PARQUET} LIMIT {HEAD}"
                return [*zip(*con.execute(query, [_address(self.paths[0])]).fetchall())]
        except duckdb.Error as error:
            raise _no_parquet(self.paths[0], error) from None

    def holds_lists(self, column: int) -> bool:
        """See :meth:`.table.Table.holds_lists`."""
        return self._types[0][self.names[column]].endswith("]")

    def load(self, engine: Engine, name: str, picks: Mapping[str, Pick], tally: Tally) -> None:
        """See :meth:`Table.load`."""
        columns = "".join(f", {pick} VARCHAR" for pick in picks)
        engine.run(f"CREATE TEMP TABLE {name} (part INTEGER, line BIGINT{columns})")
        for part, (path, types) in enumerate(zip(self.paths, self._types)):
            cells = []
            for pick in picks.values():
                column = self.names[pick.column]
                kind = types[column]
                cells.append(
                    _as_json(column) if pick.each else _as_text(path, column, kind, pick.text)
                )
            try:
                engine.run(
                    f"INSERT INTO {name} SELECT {part}, {_ROW} + 1, {', '.join(cells)} "
                    f"FROM {_READ_PARQUET}",
                    [_address(path)],
                    f"reading {path.name}",
                )
            except duckdb.Error as error:
                raise _no_parquet(path, error) from None
        ((rows,),) = engine.run(f"SELECT count(*) FROM {name}")
        tally.row(rows)


def _schema(path: Path) -> dict[str, str]:
    """Give the columns of a Parquet file, and their types as DuckDB names them."""
    try:
        with connect() as con:
            found = con.execute(
                f"DESCRIBE SELECT * FROM {_READ_PARQUET}",
                [_address(path)],
            ).fetchall()
            stored = con.execute("SELECT name FROM parquet_schema(?)", [_address(path)]).fetchall()
    except duckdb.Error as error:
        raise _no_parquet(path, error) from None
    # Names have no case in SQL: DuckDB calls the second of two that are alike something else.
    for name, *_ in found:
        if (name,) not in stored or name.lower() == _ROW:
            raise UserError(
                f"Two columns of {path} are called the same, upper and lower case aside, or as "
                f"DuckDB's own {_ROW} (see {name!r}).",
                "Rename one.",
            )
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


def _as_json(column: str) -> str:
    """Write a list of ids as JSON."""
    return f"CAST(to_json(CAST({quoted(column)} AS VARCHAR[])) AS VARCHAR)"


def _address(path: Path) -> str:
    """Write a path so that DuckDB takes it for no pattern and no address."""
    return glob.escape(str(path.absolute()))


def _no_parquet(path: Path, error: duckdb.Error) -> UserError:
    reason = str(error).splitlines()[0].replace(str(path.absolute()), path.name)
    return UserError(f"{path} cannot be read as Parquet ({reason}).", "Write it again.")
