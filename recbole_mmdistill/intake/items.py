"""The items' texts and pictures in DuckDB: checked, counted and written."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from .engine import Engine
from .interactions import BAD_ID, BARE, N, check_readable, count_kinds, write_atomic
from .tally import EXAMPLES, Tally

# Fields of .inter, and those that RecBole and this package make of them.
_TAKEN = {"user_id", "item_id", "rating", "timestamp", "label", "item_length", "item_id_list"}


def field_name(column: str, taken: Sequence[str]) -> str:
    """Make a field's name of a column's: letters, digits and ``_``, as RecBole can read it.

    Parameters
    ----------
    column : str
        For example ``Product title``.
    taken : sequence of str
        Names of other fields.

    Returns
    -------
    str
        For example ``Product_title``.
    """
    name = re.sub(r"\W+", "_", column).strip("_") or "field"
    if name in _TAKEN or name.isdecimal():  # a number is no name in YAML
        name = f"item_{name}"
    while name.lower() in {other.lower() for other in taken}:
        name += "_"
    return name


class Items:
    """The items of a dataset, from the table ``raw_items`` on.

    Parameters
    ----------
    engine : Engine
        Has ``raw_items`` (``part``, ``line``, ``id``, and the columns of ``fields``), and the
        tables of :class:`~recbole_mmdistill.intake.interactions.Interactions`.
    paths : sequence of pathlib.Path
        The parts.
    tally : Tally
        Counts what is dropped.
    fields : mapping of str to str
        Columns of ``raw_items``, and the names of their fields: ``image`` is a file's name, the
        others are texts.
    """

    def __init__(
        self, engine: Engine, paths: Sequence[Path], tally: Tally, fields: Mapping[str, str]
    ) -> None:
        self._engine = engine
        self._paths = paths
        self._tally = tally
        self._fields = fields
        self._texts = [column for column in fields if column != "image"]

    def check(self, drop_unused: bool) -> None:
        """Keep the first row of each item that has an id.

        Parameters
        ----------
        drop_unused : bool
            Whether items without interactions are dropped, too.
        """
        clean = "".join(
            rf", trim(regexp_replace({column}, '[\t\n\r\x00]+', ' ', 'g')) AS {column}"
            for column in self._fields
        )
        unused = "WHEN used.token IS NULL THEN 'no_interactions'" if drop_unused else ""
        self._engine.run(
            "CREATE TEMP TABLE used AS "
            "SELECT DISTINCT token FROM kept JOIN items ON i = items.rowid"
        )
        self._engine.run(
            f"""
            CREATE TEMP TABLE item_rows AS
            SELECT n, token, coalesce(bad, CASE
                WHEN row_number() OVER (PARTITION BY token ORDER BY n) > 1
                  THEN 'item_again' {unused} END) AS problem,
              used.token IS NOT NULL AS used {clean}
            FROM (SELECT *, {N} AS n, id AS token, {BAD_ID.format(role="item")} AS bad
              FROM raw_items)
            LEFT JOIN used USING (token)
            """,
            label="items",
        )
        self._engine.run("DROP TABLE raw_items")
        count_kinds(self._engine, "item_rows", self._paths, self._tally)
        check_readable(self._tally, self._paths[0])

    def statistics(self, images: Path | None) -> dict[str, Any]:
        """Count the items that are kept, and those that lack something.

        Parameters
        ----------
        images : pathlib.Path, optional
            The folder of the pictures: whether they are there is looked up.

        Returns
        -------
        dict
            ``rows``, ``without_interactions``, ``without_text`` (if there are texts),
            ``without_picture`` (if pictures are named), ``pictures_that_are_web_addresses``, and
            ``without_row``: items of the interactions, and of these ``nearly_known``: an item is,
            if spaces around, zeros before and ``.0`` behind both ids are left out. Of those that
            lack something, examples too.
        """
        numbers: dict[str, Any] = {"rows": self._number("true")["rows"]}
        numbers["without_interactions"] = self._number("NOT used")
        if self._texts:
            empty = " AND ".join(f"{column} = ''" for column in self._texts)
            numbers["without_text"] = self._number(empty)
        if "image" in self._fields:
            numbers["without_picture"] = self._number("image = ''")
            numbers["pictures_that_are_web_addresses"] = self._number("contains(image, '://')")
        if images is not None:
            numbers["without_picture"] = self._without_file(images)
        absent = "token NOT IN (SELECT token FROM item_rows WHERE problem IS NULL)"
        numbers["without_row"] = self._number(absent, "used")
        numbers["nearly_known"] = self._number(
            f"{absent} AND {BARE} IN (SELECT {BARE} FROM item_rows WHERE problem IS NULL "
            "OR problem = 'no_interactions')",
            "used",
        )
        return numbers

    def _number(
        self, condition: str, table: str = "(FROM item_rows WHERE problem IS NULL)"
    ) -> dict[str, Any]:
        ((rows, first),) = self._engine.run(
            f"SELECT count(*), min(token, {EXAMPLES}) FROM {table} WHERE {condition}"
        )
        return {"rows": rows, "examples": first or []}

    def _without_file(self, images: Path) -> dict[str, Any]:
        from ..features.pictures import PictureFolder  # beside torch, which takes seconds

        named = "image" in self._fields
        if not images.is_dir():
            raise UserError(f"There is no folder {images}.", "Give the pictures' with --images.")
        folder = () if named else PictureFolder(images)
        wanted = self._engine.run(
            f"SELECT token, {'image' if named else 'NULL'} FROM item_rows WHERE problem IS NULL "
            "ORDER BY n"
        )
        lost = [
            token
            for token, file in wanted
            if not (file and os.path.isfile(images / file) if named else token in folder)
        ]
        return {"rows": len(lost), "examples": lost[:EXAMPLES]}

    def write(self, path: Path) -> None:
        """Write the ``.item`` file, in the order of the source."""
        columns = "".join(
            f', {column} AS "{name}:{"token" if column == "image" else "token_seq"}"'
            for column, name in self._fields.items()
        )
        write_atomic(
            self._engine,
            f'SELECT token AS "item_id:token"{columns} FROM item_rows WHERE problem IS NULL '
            "ORDER BY n",
            path,
        )
