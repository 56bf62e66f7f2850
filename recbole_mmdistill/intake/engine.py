"""DuckDB, held to what an import needs: bounded memory, no network, and a bar while it works."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import numpy as np
from tqdm import tqdm

from ..errors import UserError

MEMORY = "400MB"  # with Python and its libraries beside it, an import stays below 2 GB
MAX_THREADS = 4  # each needs memory of its own
_VECTORS = 50  # of 2,048 rows, read at once from a query that is streamed


def connect(**config: str) -> duckdb.DuckDBPyConnection:
    """Open a database in memory that fetches nothing: Parquet is part of the wheel."""
    con = duckdb.connect(
        ":memory:",
        config={
            **config,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        },
    )
    con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = true")
    con.execute("SET enable_progress_bar_print = false; SET lock_configuration = true")
    return con


class Engine:
    """One database in memory that goes on to a folder of the disk when memory is short.

    Its statements run in a thread: Ctrl-C and other signals end them at once.

    Parameters
    ----------
    scratch : pathlib.Path
        The folder.
    """

    def __init__(self, scratch: Path) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._scratch = scratch
        threads = min(MAX_THREADS, len(os.sched_getaffinity(0)))
        self._con = connect(memory_limit=MEMORY, temp_directory=str(scratch), threads=str(threads))

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown()
        self._con.close()

    def run(
        self, sql: str, parameters: Sequence[Any] = (), label: str | None = None
    ) -> list[tuple[Any, ...]]:
        """Run a statement.

        Parameters
        ----------
        sql : str
            The statement. Values of a user's come as parameters, names by :func:`quoted`.
        parameters : sequence
            For its question marks.
        label : str, optional
            What it does, for the progress bar; None is no bar.

        Returns
        -------
        list of tuple
            All rows of the result.

        Raises
        ------
        UserError
            Memory or disk ran out.
        duckdb.Error
            Anything else.
        """
        return self._wait(lambda: self._con.execute(sql, list(parameters)).fetchall(), label)

    def stream(self, sql: str, label: str | None = None) -> Iterator[dict[str, np.ndarray]]:
        """Run a query whose rows do not fit into memory; until its end, run nothing else.

        Parameters
        ----------
        sql, label
            As for :meth:`run`.

        Yields
        ------
        dict of str to numpy.ndarray
            The columns of some more rows.
        """
        self._wait(lambda: self._con.execute(sql) and None, label)
        while True:
            rows = self._wait(lambda: self._con.fetch_df_chunk(_VECTORS), None)
            if not len(rows):
                return
            yield {name: rows[name].to_numpy() for name in rows}

    def insert(self, table: str, columns: Mapping[str, np.ndarray]) -> None:
        """Append rows to a table.

        Parameters
        ----------
        table : str
            Its name, one of this package's.
        columns : mapping of str to numpy.ndarray
            Shape ``[n_rows]`` each, in the table's order; texts are of dtype object.
        """

        def work() -> Any:
            batch = dict(columns)  # noqa: F841  (DuckDB finds it by its name)
            return self._con.execute(f"INSERT INTO {table} SELECT * FROM batch").fetchall()

        self._wait(work, None)

    def _wait(self, work: Any, label: str | None) -> Any:
        future = self._thread.submit(work)
        try:
            if label is None:
                return future.result()
            with tqdm(total=100, desc=label, leave=False, disable=None, unit="%") as bar:
                while not future.done():
                    wait([future], 0.2)
                    bar.update(max(0.0, self._con.query_progress() - bar.n))
            return future.result()
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            number = re.search(r'"errno":"(\d+)"', str(error))
            reason = os.strerror(int(number[1])) if number else str(error).splitlines()[0]
            raise UserError(
                f"Memory or disk ran out ({reason}).",
                f"Make room where {self._scratch.parent} lies.",
            ) from None
        finally:
            if not future.done():
                _until_done(self._con, future)


def _until_done(con: duckdb.DuckDBPyConnection, future: Any) -> None:
    """Interrupt a statement; again, if it had not begun the first time."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    while not done.wait(0.1):
        con.interrupt()


def quoted(name: str) -> str:
    """Write a name of a column as SQL has it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Write a text as SQL has it, whatever it holds."""
    return "'" + text.replace("'", "''") + "'"
