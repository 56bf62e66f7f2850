"""UniSRec's files: a row for each prefix of a history, made plain interactions again.

``<name>.train.inter`` has ``user_id``, ``item_id_list`` (the last 50 items before) and ``item_id``
(the next), the longest prefix of a user first; ``.valid.inter`` and ``.test.inter`` have the last
but one and the last item of each. So leave-one-out on the plain interactions is the same split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .form import form_of
from .lines import read_blocks
from .table import Batch, Pick, TextTable
from .tally import Tally

_BATCH = 100_000  # interactions


class _Prefix(NamedTuple):
    user: str
    history: list[str]
    item: str
    line: int


class UniSRec(TextTable):
    """The interactions of the files, in the order of each user's history.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        ``.train.inter`` first; then ``.valid.inter`` and ``.test.inter``, as far as they are there.
    """

    names = ("user_id", "item_id")
    description = "histories of UniSRec, as plain interactions"

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__({path: form_of(path) for path in paths})
        self._last: dict[str, str] = {}  # item of each user

    def _rows(
        self, path: Path, picks: Sequence[Pick], tally: Tally, advance: Callable[[int], None]
    ) -> Iterator[Batch]:
        number, batch = 1, []
        prefixes = self._prefixes(path, tally, advance)
        train = path == self.paths[0]
        for user, group in groupby(prefixes, key=lambda prefix: prefix.user):
            rows = [*group]
            if train and user in self._last:
                raise UserError(
                    f"The rows of user {user!r} are not together in {path} (line {rows[0].line}).",
                    "Sort the file by user.",
                )
            items = self._items(user, rows)
            if items is None:
                for row in rows:
                    tally.row()
                    tally.drop("history_does_not_go_on", path, row.line)
                continue
            tally.row(len(items))
            self._last[user] = items[-1]
            batch += [(user, item) for item in items]
            if len(batch) >= _BATCH:
                yield self._numbered(number, batch, picks)
                number, batch = number + len(batch), []
        if batch:
            yield self._numbered(number, batch, picks)

    def _items(self, user: str, rows: list[_Prefix]) -> list[str] | None:
        if user in self._last:
            goes_on = all(row.history[-1:] in ([], [self._last[user]]) for row in rows)
            return [row.item for row in rows] if goes_on else None
        for ordered in (rows[::-1], rows):  # as UniSRec writes them; as others do
            items = [*ordered[0].history]
            for row in ordered:
                if row.history and items[-len(row.history) :] != row.history:
                    break
                items.append(row.item)
            else:
                return items
        return None

    def _numbered(self, first: int, batch: list[tuple[str, str]], picks: Sequence[Pick]) -> Batch:
        columns = list(zip(*batch))
        return range(first, first + len(batch)), [columns[pick.column] for pick in picks]

    def _prefixes(
        self, path: Path, tally: Tally, advance: Callable[[int], None]
    ) -> Iterator[_Prefix]:
        for block in read_blocks(path, self._forms[path], tally, advance):
            for line, text in enumerate(block.lines, block.first):
                if line == 1 or not text:
                    continue
                cells = text.split("\t")
                if len(cells) == 3:
                    yield _Prefix(cells[0], cells[1].split(), cells[2], line)
                else:
                    tally.row()
                    tally.drop("wrong_number_of_columns", path, line)


def read_index(path: Path) -> dict[str, str]:
    """Read ``.item2index``: an id, a tab, and the number that stands for it."""
    pairs: dict[str, str] = {}
    for block in read_blocks(path, form_of(path), Tally(), lambda _: None):
        for line in block.lines:
            raw, _, number = line.rpartition("\t")
            pairs[raw] = number
    return pairs
