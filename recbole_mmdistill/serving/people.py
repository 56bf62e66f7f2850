"""Whom to recommend to: users of the dataset, or histories of a file; some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from ..errors import UserError
from ..intake import columns
from ..intake.engine import Engine
from ..intake.form import parts_of
from ..intake.ids import read_ids
from ..intake.interactions import Interactions
from ..intake.lists import check_times, find_items, unfold
from ..intake.reading import AS_FOUND, Reading
from ..intake.table import Pick
from ..intake.tally import Tally
from ..intake.times import order_of_rows, read_times
from .histories import Histories
from .recommender import Recommender

AT_ONCE = 8192
_EXAMPLES = 1000  # unknown items that are looked at


class People(NamedTuple):
    """Some people.

    Attributes
    ----------
    users : numpy.ndarray
        Their ids, dtype object ``[n]``.
    histories : Histories
        What they chose.
    """

    users: np.ndarray
    histories: Histories


class Asked(Protocol):
    """Whom a request names.

    Attributes
    ----------
    users : str or None
        Users of the dataset: their ids with commas between them, or a file of ids.
    histories : Path or None
        Rows of user, item and time.
    user, item, time : str or None
        Columns of ``histories``.
    reading : Reading
        How the files are read.
    """

    users: str | None
    histories: Path | None
    user: str | None
    item: str | None
    time: str | None
    reading: Reading


def check_asked(asked: Asked) -> None:
    """Refuse what names people in two ways.

    Raises
    ------
    UserError
        Both users and histories are given.
    """
    if asked.users is not None and asked.histories is not None:
        raise UserError("Both --users and --histories are given.", "Give one of them.")


def people_of(asked: Asked, recommender: Recommender, engine: Engine) -> KnownUsers | PeopleOfFile:
    """Find the people whom a request names; all users of the dataset if it names nobody.

    Parameters
    ----------
    asked : Asked
        The request.
    recommender : Recommender
        Of the checkpoint.
    engine : Engine
        An empty database; it is busy while people are read.

    Raises
    ------
    UserError
        A file cannot be read, or the dataset is not there or has none of the users.
    """
    if asked.histories is not None:
        columns = asked.user, asked.item, asked.time
        return PeopleOfFile(engine, asked.histories, recommender, *columns, asked.reading)
    if asked.users is None:
        return KnownUsers(recommender)
    if Path(asked.users).is_file():
        return KnownUsers(recommender, read_ids(engine, Path(asked.users), "user", asked.reading))
    ids = list(dict.fromkeys(user.strip() for user in asked.users.split(",") if user.strip()))
    if not ids:
        raise UserError(
            f"--users is {asked.users!r}.", "Give ids with commas between them, or a file of ids."
        )
    return KnownUsers(recommender, ids)


class KnownUsers:
    """Users of a checkpoint's dataset, with all that it holds of them now.

    Parameters
    ----------
    recommender : Recommender
        Of the checkpoint.
    users : sequence of str, optional
        Those wanted; one that the dataset does not have gets an empty history. By default all.

    Raises
    ------
    UserError
        The dataset is not there, or has none of the users.
    """

    def __init__(self, recommender: Recommender, users: Sequence[str] | None = None) -> None:
        found = recommender.interactions
        self._unknown = found.items[len(recommender.items) :]
        self._item = np.where(found.item < len(recommender.items), found.item, 0)
        n_rows = np.bincount(found.user, minlength=len(found.users))
        self._end = np.cumsum(n_rows)
        self._n_rows = n_rows
        if users is None:
            self._numbers = np.flatnonzero(n_rows)
            self._tokens = found.users[self._numbers]
        else:
            number_of = {token: n for n, token in enumerate(found.users) if n}
            self._numbers = np.array([number_of.get(user, 0) for user in users], dtype=np.int64)
            self._tokens = np.array(users, dtype=object)
            if not self._numbers.any():
                raise UserError(
                    f"None of the {len(users)} users is in the dataset (the first is "
                    f"{users[0]!r}).",
                    "Give their ids as the dataset has them, a file of ids, or histories by "
                    "--histories.",
                )

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def n_rows(self) -> np.ndarray:
        """Interactions of each, int64 ``[n]``."""
        return self._n_rows[self._numbers]

    def unknown_items(self) -> list[str]:
        """Give some items of the dataset that the checkpoint does not know."""
        return self._unknown[:_EXAMPLES].tolist()

    def __iter__(self) -> Iterator[People]:
        for first in range(0, len(self), AT_ONCE):
            number = self._numbers[first : first + AT_ONCE]
            n_rows, end = self._n_rows[number], np.cumsum(self._n_rows[number])
            owner = np.repeat(np.arange(len(number)), n_rows)
            place = np.arange(len(owner)) + np.repeat(self._end[number] - end, n_rows)
            histories = Histories.of_rows(owner, self._item[place], len(number))
            yield People(self._tokens[first : first + AT_ONCE], histories)


class PeopleOfFile:
    """Histories of a file of rows: a user, an item or a list of them, and a time if there is one.

    Parameters
    ----------
    engine : Engine
        An empty database; it is busy while people are read.
    path : Path
        CSV, TSV, Parquet or JSON lines, or a folder of parts.
    recommender : Recommender
        Knows the items.
    user, item, time : str, optional
        Columns, by name or by number from 1; by default by their names.
    reading : Reading
        How it is read.

    Attributes
    ----------
    tally : recbole_mmdistill.intake.tally.Tally
        Rows that were read, and those dropped.

    Raises
    ------
    UserError
        It cannot be read, or holds nothing.
    """

    def __init__(
        self,
        engine: Engine,
        path: Path,
        recommender: Recommender,
        user: str | None = None,
        item: str | None = None,
        time: str | None = None,
        reading: Reading = AS_FOUND,
    ) -> None:
        self._engine = engine
        self.tally = Tally()
        table = reading.open(parts_of(path), user, item, time)
        user_at = columns.choose("user", "user", user, table.names, str(path))
        assert user_at is not None  # a column is needed
        item_at, lists = find_items(table, item, str(path))
        time_at = columns.choose("time", "time", time, table.names, str(path), needed=False)
        check_times(table, time_at, str(path))
        picks = {"user": Pick(user_at), "item": Pick(item_at, each=lists)}
        if time_at is not None:
            picks["time"] = Pick(time_at)
        table.load(engine, "raw", picks, self.tally)
        nothing = unfold(engine, self.tally) if lists else []
        within = ["place"] if lists else []
        times = order_of_rows(", ".join(["part", "line", *within]))
        if "time" in picks and self.tally.left:
            times = read_times(engine, table.names[picks["time"].column], reading.time_format)
        self._order = ", ".join(["p", "t", "n", *within])
        Interactions(engine, table.paths, self.tally).check(times, [*picks, *within])
        engine.run("CREATE TEMP TABLE known (token VARCHAR, number INTEGER)")
        tokens = recommender.items[1:]
        engine.insert("known", {"token": tokens, "number": np.arange(1, len(tokens) + 1)})
        engine.run(
            "CREATE TEMP TABLE numbered AS SELECT items.rowid::INTEGER AS i, "
            "coalesce(number, 0) AS number FROM items LEFT JOIN known USING (token)"
        )
        engine.run(
            "CREATE TEMP TABLE people AS SELECT u, row_number() OVER (ORDER BY min(n)) - 1 AS p "
            "FROM kept GROUP BY u"
        )
        found = engine.run("SELECT token FROM people JOIN users ON users.rowid = u ORDER BY p")
        ids = dict.fromkeys([token for (token,) in found] + nothing)
        self._tokens = np.array([*ids], dtype=object)

    def __len__(self) -> int:
        return len(self._tokens)

    def unknown_items(self) -> list[str]:
        """Give some items of the file that the checkpoint does not know."""
        found = self._engine.run(
            "SELECT token FROM numbered JOIN items ON items.rowid = i WHERE number = 0 "
            f"ORDER BY token LIMIT {_EXAMPLES}"
        )
        return [token for (token,) in found]

    def __iter__(self) -> Iterator[People]:
        rows = self._engine.stream(
            "SELECT p::BIGINT AS p, number FROM kept JOIN people USING (u) JOIN numbered USING (i) "
            f"ORDER BY {self._order}",
            "sorting histories",
        )
        person, number = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        first = 0
        for chunk in rows:
            person = np.concatenate([person, chunk["p"]])
            number = np.concatenate([number, chunk["number"]])
            while person[-1] - first >= AT_ONCE:  # the last one's rows may go on
                cut = np.searchsorted(person, first + AT_ONCE)
                yield self._people(first, person[:cut], number[:cut], AT_ONCE)
                person, number, first = person[cut:], number[cut:], first + AT_ONCE
        while first < len(self):
            n = min(AT_ONCE, len(self) - first)  # the last ones may have nothing
            cut = np.searchsorted(person, first + n)
            yield self._people(first, person[:cut], number[:cut], n)
            person, number, first = person[cut:], number[cut:], first + n

    def _people(self, first: int, person: np.ndarray, number: np.ndarray, n: int) -> People:
        return People(self._tokens[first : first + n], Histories.of_rows(person - first, number, n))


def say_unknown(
    people: KnownUsers | PeopleOfFile, items: np.ndarray, n_unknown: int, n_known: int
) -> str:
    """Say how many items of histories are unknown.

    Parameters
    ----------
    people : KnownUsers or PeopleOfFile
        Whose histories.
    items : numpy.ndarray
        Tokens that the checkpoint knows, dtype object; number 0 is the padding.
    n_unknown, n_known : int
        Items of the histories.

    Returns
    -------
    str
        A sentence; empty if all are known.

    Raises
    ------
    UserError
        None of them is known.
    """
    if not n_unknown:
        return ""
    about = _about_unknown(people, items) if n_unknown > n_known else ""
    if not n_known:
        raise UserError(
            f"The checkpoint knows none of the {n_unknown:,} items of the histories{about}.",
            "Do they belong to this checkpoint? Give those of the data that it was trained on.",
        )
    return f"Unknown items of histories, skipped: {n_unknown:,}{about}."


def _about_unknown(people: KnownUsers | PeopleOfFile, items: np.ndarray) -> str:
    """Say which items of histories are unknown, and whether zeros in front would help."""
    unknown = people.unknown_items()
    if not unknown:
        return ""
    known = {token.lstrip("0"): token for token in items[1:]}
    meant = [(token, known[token.lstrip("0")]) for token in unknown if token.lstrip("0") in known]
    if 2 * len(meant) < len(unknown):
        return f", such as {unknown[0]!r} (the checkpoint knows {items[-1]!r})"
    ours, theirs = meant[0]
    return f", such as {ours!r}, which the checkpoint knows as {theirs!r} (leading zeros were lost)"
