"""Lists of ids in the cells of a table: each entry becomes a row, in the order of its list."""

from __future__ import annotations

from ..errors import UserError
from . import columns
from .engine import Engine
from .table import Table
from .tally import Tally


def find_items(table: Table, given: str | None, of: str) -> tuple[int, bool]:
    """Find the column of items: one item a row, or a list of them.

    Parameters
    ----------
    table : Table
        The rows.
    given : str or None
        The option: a column's name, or its number from 1. By default a column is found by its name
        (of a list, by the plural, too), or because it is the only one that holds lists.
    of : str
        The file, for messages.

    Returns
    -------
    tuple of (int, bool)
        Its place, from 0; whether it holds lists.

    Raises
    ------
    UserError
        There is none, or more than one.
    """
    lists = [place for place in range(len(table.names)) if table.holds_lists(place)]
    if given is None and not columns.candidates("item", table.names):
        singular = [table.names[place].removesuffix("s") for place in lists]
        found = [lists[n] for n in columns.candidates("item", singular)] or lists
        if len(found) == 1:
            return found[0], True
    place = columns.choose("item", "item", given, table.names, of)
    assert place is not None  # a column is needed
    return place, place in lists


def unfold(engine: Engine, tally: Tally) -> list[str]:
    """Give each entry of a list in the table ``raw`` a row, and its ``place`` in the list.

    Parameters
    ----------
    engine : Engine
        Has the table ``raw`` with the columns ``user`` and ``item``, whose cells are JSON.
    tally : Tally
        Counts the new rows in place of the lists.

    Returns
    -------
    list of str
        Users, one of whose lists is empty; in the order of the rows.
    """
    engine.run(
        "CREATE TEMP TABLE lists AS "
        """SELECT * EXCLUDE (item), from_json(item, '["VARCHAR"]') AS entries FROM raw"""
    )
    engine.run("DROP TABLE raw")
    engine.run(
        "CREATE TEMP TABLE raw AS SELECT * EXCLUDE (entries), generate_subscripts(entries, 1) AS "
        "place, coalesce(unnest(entries), '') AS item FROM lists"
    )
    ((n_rows, n_lists),) = engine.run(
        "SELECT (SELECT count(*) FROM raw), (SELECT count(*) FROM lists)"
    )
    tally.row(n_rows - n_lists)
    empty = engine.run(
        'SELECT "user" FROM lists WHERE coalesce(len(entries), 0) = 0 AND "user" <> \'\' '
        "ORDER BY part, line"
    )
    engine.run("DROP TABLE lists")
    return [user for (user,) in empty]


def check_times(table: Table, time: int | None, of: str) -> None:
    """Refuse times that are lists.

    Raises
    ------
    UserError
        The column holds lists.
    """
    if time is not None and table.holds_lists(time):
        raise UserError(
            f"The column {table.names[time]!r} of {of} holds lists of times.",
            "The order of the items counts: sort them by time, and leave the times out; "
            "or give a row for each user and item.",
        )
