"""The rows of interactions in DuckDB: checked, filtered, counted and written.

``raw`` has the rows as they were read. ``kept`` has those that are left, as numbers: ``n`` (the
place in the source, and so the order), ``u`` and ``i`` (row ids of the tables ``users`` and
``items``, which have the tokens), ``t`` (nanoseconds since 1970), ``rating`` and ``part_label``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from .engine import Engine, literal
from .tally import EXAMPLES, Place, Tally
from .times import Times

# An id stands in one cell of one line, and [PAD] is RecBole's own token for no item.
BAD_ID = r"""
CASE WHEN regexp_full_match(token, '[\s\pZ]*') THEN 'no_{role}'
     WHEN regexp_matches(token, '[\t\n\r\x00]') THEN 'line_break_or_tab_in_{role}'
     WHEN token = '[PAD]' THEN 'reserved_{role}' END
"""
# What is left of an id without spaces around it, zeros before it and .0 behind it, which
# spreadsheets and data frames add and take away.
BARE = (
    r"regexp_replace(regexp_replace(regexp_replace(token, '^[\s\pZ]+|[\s\pZ]+$', '', 'g'), "
    r"'\.0+$', ''), '^0+(.)', '\1')"
)
_NOT_READ = {  # kinds of rows that could not be read; most of a file's rows must be readable
    *("wrong_number_of_columns", "not_json", "nested_value", "not_unicode", "not_in_encoding"),
    *("no_user", "no_item", "no_time", "unreadable_time", "time_of_another_form"),
    *("line_break_or_tab_in_user", "line_break_or_tab_in_item"),
}
SPLITS = ("train", "valid", "test")
_PART = "TRY_CAST(label AS DOUBLE)"  # the place of a row's split among them
_SHIFT = 40  # a line's number takes 40 bits, its part's the rest
N = f"(CAST(part AS BIGINT) << {_SHIFT}) | line"


def place_of(paths: Sequence[Path], n: int) -> str:
    """Name the place of a row by its ``n``."""
    return str(Place(paths[n >> _SHIFT].name, n & ((1 << _SHIFT) - 1)))


def count_kinds(engine: Engine, table: str, paths: Sequence[Path], tally: Tally) -> None:
    """Count the rows of a table as dropped that have a kind of ``problem``."""
    for kind, rows, first in engine.run(
        f"SELECT problem, count(*), min(n, {EXAMPLES}) FROM {table} "
        "WHERE problem IS NOT NULL GROUP BY problem ORDER BY problem"
    ):
        tally.drops(kind, rows, [place_of(paths, n) for n in first])


def check_readable(tally: Tally, path: Path) -> None:
    """Raise a UserError if a file has no rows, or if most of them could not be read."""
    lost = {kind: count for kind, count in tally.dropped.items() if kind in _NOT_READ}
    if tally.read == 0:
        raise UserError(f"{path} holds no rows.", "Give a file with rows.")
    if 2 * sum(count.rows for count in lost.values()) > tally.read:
        kind, count = max(lost.items(), key=lambda pair: pair[1].rows)
        raise UserError(
            f"{count.rows:,} of {tally.read:,} rows cannot be read: "
            f"{kind.replace('_', ' ')} ({', '.join(count.places[:3])}).",
            "Give a row for each user and item, or, for --histories, a list of ids for each user."
            if kind == "nested_value"
            else "Correct them, or say how they are to be read (recbole-mm import --help).",
        )


class Interactions:
    """The interactions of a dataset, from ``raw`` on.

    Parameters
    ----------
    engine : Engine
        Has the table ``raw``: ``part``, ``line``, ``user``, ``item``, and ``time``, ``rating``,
        ``label`` and ``place`` (within a line) if there are such columns.
    paths : sequence of pathlib.Path
        The parts.
    tally : Tally
        Counts what is dropped.
    """

    def __init__(self, engine: Engine, paths: Sequence[Path], tally: Tally) -> None:
        self._engine = engine
        self._paths = paths
        self._tally = tally

    def check(
        self, times: Times, columns: Collection[str], header: tuple[str, str] | None = None
    ) -> None:
        """Keep what has a user, an item and a time, and is no header once more.

        Parameters
        ----------
        times : Times
            How times are read.
        columns : collection of str
            Of ``raw``.
        header : (str, str), optional
            What the header of text has for user and item: files that were joined have it again.
        """
        for role in ("user", "item"):
            self._engine.run(
                f"CREATE TEMP TABLE {role}s AS SELECT token, {BAD_ID.format(role=role)} AS bad "
                f"FROM (SELECT DISTINCT {role} AS token FROM raw)",
                label=f"{role}s",
            )
        absent = "".join(f", '' AS {name}" for name in ("rating", "label") if name not in columns)
        place = ", place" if "place" in columns else ""
        again = ""
        if header is not None:
            user, item = map(literal, header)
            again = f"WHEN trim(\"user\") = {user} AND trim(item) = {item} THEN 'header_again'"
        self._engine.run(
            f"""
            CREATE TEMP TABLE checked AS
            SELECT {N} AS n, users.rowid::INTEGER AS u, items.rowid::INTEGER AS i,
              {times.nanos} AS t, label{place},
              CASE WHEN isfinite(TRY_CAST(rating AS DOUBLE)) THEN CAST(rating AS DOUBLE) END
                AS rating,
              trim(rating) <> '' AND NOT coalesce(isfinite(TRY_CAST(rating AS DOUBLE)), false)
                AS rating_lost,
              CASE {again} WHEN true
                THEN coalesce(users.bad, items.bad, {times.problem}) END AS problem
            FROM (SELECT *, {times.form} AS form {absent} FROM raw)
            JOIN users ON users.token = "user" JOIN items ON items.token = item
            """,
            label="checking",
        )
        self._engine.run("DROP TABLE raw")
        count_kinds(self._engine, "checked", self._paths, self._tally)
        check_readable(self._tally, self._paths[0])
        rows, places = self._seen("checked", "rating_lost AND problem IS NULL")
        if rows:
            self._tally.notes("rating_left_empty", rows, places)
        self._engine.run(
            "CREATE TEMP TABLE kept AS SELECT * EXCLUDE (problem, rating_lost) FROM checked "
            "WHERE problem IS NULL",
            label="checking",
        )
        self._engine.run("DROP TABLE checked")

    def dedupe(self, keep: str) -> None:
        """Keep one row of each user and item: the ``first`` or the ``last`` in time."""
        order = "t, n" if keep == "first" else "t DESC, n DESC"
        self._filter(
            f"row_number() OVER (PARTITION BY u, i ORDER BY {order}) = 1", "dedupe", "duplicates"
        )

    def keep_last(self, rows: int) -> None:
        """Keep the last rows of each user, in time."""
        self._filter(
            f"row_number() OVER (PARTITION BY u ORDER BY t DESC, n DESC) <= {int(rows)}",
            "keep_last",
            "last rows",
        )

    def k_core(self, min_user: int, min_item: int) -> None:
        """Drop users and items with too few rows, until none is left of them.

        Parameters
        ----------
        min_user, min_item : int
            Rows that each must have; up to 1 is no bound.
        """
        bounds = [("u", "min_user", min_user), ("i", "min_item", min_item)]
        bounds = [bound for bound in bounds if bound[2] > 1]
        steady = 0
        while steady < len(bounds):
            column, kind, rows = bounds[0]
            bounds.append(bounds.pop(0))
            enough = f"SELECT {column} FROM kept GROUP BY {column} HAVING count(*) >= {int(rows)}"
            dropped = self._filter(f"{column} IN ({enough})", kind, kind)
            steady = 0 if dropped else steady + 1

    def _filter(self, condition: str, kind: str, label: str) -> int:
        """Drop the rows for which a condition does not hold; their number."""
        self._engine.run(
            f"CREATE TEMP TABLE judged AS SELECT *, ({condition}) AS stays FROM kept", label=label
        )
        rows, places = self._seen("judged", "NOT stays")
        if rows:
            self._tally.drops(kind, rows, places)
            self._engine.run("DROP TABLE kept")
            self._engine.run(
                "CREATE TEMP TABLE kept AS SELECT * EXCLUDE (stays) FROM judged WHERE stays",
                label=label,
            )
        self._engine.run("DROP TABLE judged")
        return rows

    def _seen(self, table: str, condition: str) -> tuple[int, list[str]]:
        ((rows, first),) = self._engine.run(
            f"SELECT count(*), min(n, {EXAMPLES}) FROM {table} WHERE {condition}"
        )
        return rows, [place_of(self._paths, n) for n in first or []]

    def statistics(self) -> dict[str, Any]:
        """Count what is kept, and what is remarkable of it.

        Returns
        -------
        dict
            ``rows``, ``users``, ``items``, ``first_ns`` and ``last_ns`` (of time, since 1970),
            ``rows_with_a_rating``, ``ids_with_outer_spaces``, ``ids_that_are_nearly_another``,
            ``users_with_one_row``, ``items_with_one_row``, ``duplicates`` (rows whose user had the
            item before) and ``ties_in_time`` (rows that share user and time with another).
        """
        ((rows, first, last, rated),) = self._engine.run(
            "SELECT count(*), min(t), max(t), count(rating) FROM kept"
        )
        numbers = {"rows": rows, "first_ns": first, "last_ns": last, "rows_with_a_rating": rated}
        for name, column in (("users", "u"), ("items", "i")):
            ((count, single),) = self._engine.run(
                f"SELECT count(*), count(*) FILTER (rows = 1) FROM "
                f"(SELECT count(*) AS rows FROM kept GROUP BY {column})",
                label="counting",
            )
            numbers |= {name: count, f"{name}_with_one_row": single}
        ((numbers["ids_with_outer_spaces"],),) = self._engine.run(
            "SELECT count(*) FROM (FROM users UNION ALL FROM items) "
            r"WHERE bad IS NULL AND regexp_matches(token, '^[\s\pZ]|[\s\pZ]$')"
        )
        ((numbers["ids_that_are_nearly_another"],),) = self._engine.run(
            " UNION ALL ".join(
                f"SELECT count(*) - count(DISTINCT {BARE}) AS rows FROM {role} WHERE bad IS NULL"
                for role in ("users", "items")
            ).join(("SELECT sum(rows)::BIGINT FROM (", ")")),
            label="counting",
        )
        for name, columns, counted in (
            ("duplicates", "u, i", "rows - 1"),
            ("ties_in_time", "u, t", "rows"),
        ):
            ((count,),) = self._engine.run(
                f"SELECT coalesce(sum({counted}) FILTER (rows > 1), 0)::BIGINT FROM "
                f"(SELECT count(*) AS rows FROM kept GROUP BY {columns})",
                label="counting",
            )
            numbers[name] = count
        return numbers

    def parts(self) -> dict[str, int]:
        """Count the rows of each of :data:`SPLITS`, and note those of none of them."""
        numbers = range(len(SPLITS))
        rows, places = self._seen("kept", f"{_PART} IS NULL OR {_PART} NOT IN {(*numbers,)}")
        if rows:
            self._tally.notes("label_of_no_part", rows, places)
        return {SPLITS[n]: self._seen("kept", f"{_PART} = {n}")[0] for n in numbers}

    def write(self, path: Path, rating: bool, split: str | None = None) -> None:
        """Write an ``.inter`` file in the order of time; ties in the order of the source.

        Parameters
        ----------
        path : pathlib.Path
            Where to.
        rating : bool
            Whether it has that column.
        split : str, optional
            One of :data:`SPLITS`: its rows alone.
        """
        stars = 'rating AS "rating:float",' if rating else ""
        only = f"WHERE {_PART} = {SPLITS.index(split)}" if split else ""
        write_atomic(
            self._engine,
            f"""
            SELECT users.token AS "user_id:token", items.token AS "item_id:token", {stars}
              rtrim(rtrim(CAST(CAST(t AS DECIMAL(29, 0)) * CAST(1e-9 AS DECIMAL(9, 9)) AS VARCHAR),
                '0'), '.') AS "timestamp:float"
            FROM kept JOIN users ON users.rowid = u JOIN items ON items.rowid = i {only}
            ORDER BY t, n
            """,
            path,
        )


def write_atomic(engine: Engine, select: str, path: Path) -> None:
    """Write the rows of a query as an atomic file: no cell is quoted.

    Parameters
    ----------
    engine : Engine
        The database.
    select : str
        The query; its columns are called as the file's, e.g. ``"item_id:token"``.
    path : pathlib.Path
        The file.
    """
    engine.run(
        f"COPY ({select}) TO ? (FORMAT csv, HEADER true, DELIMITER '\t', QUOTE '', ESCAPE '')",
        [str(path.absolute())],
        f"writing {path.name}",
    )
