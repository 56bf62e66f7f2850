"""JSON lines: one object on each, whose keys are the columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from .form import Form
from .lines import read_blocks
from .table import Batch, Pick, TextTable
from .tally import Tally

_SAMPLE = 1000  # records by which the columns are told


class JsonLines(TextTable):
    """Files of one JSON object a line.

    Parameters
    ----------
    forms : mapping of pathlib.Path to Form
        The parts.

    Raises
    ------
    UserError
        None of the first lines of a file is an object.
    """

    description = "JSON lines"

    def __init__(self, forms: Mapping[Path, Form]) -> None:
        super().__init__(forms)
        # Numbers stay as they are written: 1.0, and whole numbers of any length.
        self._decode = json.JSONDecoder(
            parse_int=str, parse_float=str, parse_constant=lambda _: None
        ).decode
        names: dict[str, None] = {}
        self._lists: set[str] = set()
        for path, form in forms.items():
            lines = [line for line in form.head.split(form.newline) if line.strip()][:_SAMPLE]
            records = [record for line in lines if (record := self._record(line)) is not None]
            if not records:
                raise UserError(
                    f"{path} begins like JSON lines, but no line is a JSON object "
                    f"(line: {lines[0][:60]!r}).",
                    "Write one object a line.",
                )
            for record in records:
                names.update(dict.fromkeys(record))
                self._lists.update(key for key, cell in record.items() if isinstance(cell, list))
        self.names = tuple(names)
        self._known = {*names}

    def holds_lists(self, column: int) -> bool:
        """See :meth:`.table.Table.holds_lists`; by the first lines."""
        return self.names[column] in self._lists

    def _record(self, line: str) -> dict[str, Any] | None:
        try:
            record = self._decode(line.strip())
        except (ValueError, RecursionError):
            return None
        return record if isinstance(record, dict) else None

    def _rows(
        self, path: Path, picks: Sequence[Pick], tally: Tally, advance: Callable[[int], None]
    ) -> Iterator[Batch]:
        wanted = [
            (self.names[pick.column], _flat if pick.text else _listed if pick.each else _plain)
            for pick in picks
        ]
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
                if not self._known.issuperset(record):
                    tally.note("unknown_keys", path, number)
                try:
                    row = [read(record.get(key)) for key, read in wanted]
                except _NoText as error:
                    tally.drop(str(error), path, number)
                    continue
                lines.append(number)
                rows.append(row)
            yield lines, list(zip(*rows))


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


def _listed(value: Any) -> str:
    """Write a list of ids as JSON; one id, or none, is a list, too."""
    if not isinstance(value, list):
        value = [] if value is None else [value]
    return json.dumps([*map(_plain, value)])


def _flat(value: Any) -> str:
    """Write texts within lists and objects as one text."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        return ", ".join(filter(None, map(_flat, value)))
    return _plain(value)
