"""Tables of a report that stand in a Markdown file of one's own, between marks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError, near
from ..files import write_text
from .document import Table, markdown_table

_MARKED = re.compile(r"<!-- table: ([^\n]+?) -->\n.*?<!-- end of table -->", re.DOTALL)


def renew_tables(file: Path, tables: Mapping[str, Table]) -> None:
    """Put tables anew where a Markdown file marks their places.

    Parameters
    ----------
    file : Path
        It has lines ``<!-- table: NAME -->`` and ``<!-- end of table -->``; what stands between
        them is replaced.
    tables : Mapping of str to Table
        By name.

    Raises
    ------
    UserError
        The file does not exist, marks no place, or names a table that there is not.
    """
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if not _MARKED.search(text):
        raise UserError(
            f"{file} has no place for a table.",
            f"Put the lines <!-- table: {next(iter(tables))} --> and <!-- end of table --> there.",
        )

    def renew(place: re.Match[str]) -> str:
        name = place[1]
        if name not in tables:
            raise UserError(
                f"{file} asks for the table {name!r}, which the benchmarks do not have.",
                f"Give all its plans, or another name{near(name, tables)}.",
            )
        table = "\n".join(markdown_table(tables[name])).replace("*)", r"\*)")
        return f"<!-- table: {name} -->\n\n{table}\n\n<!-- end of table -->"

    write_text(file, _MARKED.sub(renew, text))
