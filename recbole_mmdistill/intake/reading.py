"""Files of any kind as one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .delimited import Delimited
from .dialect import NOTHING, Wanted
from .form import check_encoding, form_of
from .json_lines import JsonLines
from .parquet import Parquet
from .table import Convert, Table


class Reading(NamedTuple):
    """What a user says of how text files are read; None is to be found out.

    Attributes
    ----------
    wanted : Wanted
        Separator, header and quotes of the file.
    encoding, items_encoding : str or None
        Of it, and of a file of items beside it.
    items_header : bool or None
        Whether the file of items has a header.
    time_format : str or None
        ``s``, ``ms``, ``us``, ``ns`` or a format of ``strptime``.
    """

    wanted: Wanted = NOTHING
    encoding: str | None = None
    items_encoding: str | None = None
    items_header: bool | None = None
    time_format: str | None = None

    def open(self, paths: Sequence[Path], *asked: str | None) -> Table:
        """Find out what files are, as :func:`open_table`; a header would have the names asked."""
        wanted = self.wanted._replace(asked=tuple(name for name in asked if name is not None))
        return open_table(paths, check_encoding(self.encoding), wanted)


AS_FOUND = Reading()


def open_table(
    paths: Sequence[Path],
    encoding: str | None = None,
    wanted: Wanted = NOTHING,
    convert: Convert | None = None,
    encoding_option: str = "--encoding",
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
    encoding_option : str
        What says the encoding on the command line, for messages.

    Raises
    ------
    UserError
        They are no tables, or not alike.
    """
    forms = {path: form_of(path, encoding, encoding_option) for path in paths}
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
                "Give parts of one kind, or one file, and that of items by --items.",
            )
    table: Table
    if kind == "parquet":
        table = Parquet([*filled])
    elif kind == "json":
        table = JsonLines(filled)
    else:
        table = Delimited(filled, wanted, convert)
    table.empty = [path.name for path in paths if path not in filled]
    return table
