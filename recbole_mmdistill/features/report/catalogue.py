"""The items of a dataset: their titles, and how popular they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..atomic import ItemTable, count_interactions, interaction_files
from ..popularity import GROUPS, popularity_groups

TITLE_FIELDS = ("title", "name", "movie_title", "product_title")
COUNTED = ("items", *GROUPS, "interactions")


class Catalogue:
    """The items of the ``.item`` file, then those that only the ``.inter`` files have.

    Either kind of file may be missing. ``title_field`` is by default found by its name. A UserError
    is raised if a file is no table or lacks a column.

    Attributes
    ----------
    item_tokens : pandas.Index
        Shape ``[n_items]``, of str.
    n_interactions, groups : numpy.ndarray
        Shape ``[n_items]``, of each item, and its popularity group.
    """

    def __init__(
        self,
        dataset: str,
        folder: Path,
        item_field: str = "item_id",
        title_field: str | None = None,
    ) -> None:
        counted = count_interactions(interaction_files(folder, dataset), item_field)
        path = folder / f"{dataset}.item"
        listed = []
        self._columns: dict[str, int] = {}
        if title_field or path.is_file():
            self._table = ItemTable(path, item_field)
            listed = self._table.item_tokens.tolist()
            title_field = title_field or find_title(self._table.types, item_field)
            fields = dict.fromkeys([*self._table.types, *([title_field] if title_field else [])])
            self._columns = dict(zip(fields, self._table.columns([*fields])))
        self._title_field = title_field
        self._n_listed = len(listed)
        self.item_tokens = pd.Index([*listed, *counted], dtype=object).unique()
        counts = [counted.get(token, 0) for token in self.item_tokens]
        self.n_interactions = np.array(counts, dtype=np.int64)
        self.groups = popularity_groups(self.n_interactions)

    def __len__(self) -> int:
        return len(self.item_tokens)

    def cell(self, item: int, field: str | None) -> str:
        """Give what a column has of an item, by its place; nothing without such row or column."""
        if item >= self._n_listed or field not in self._columns:
            return ""
        return self._table.read(item)[self._columns[field]].strip()

    def title(self, item: int) -> str:
        """Give the title of an item, by its place; its token if it has none."""
        return self.cell(item, self._title_field) or self.item_tokens[item]

    def count(self, chosen: np.ndarray | slice) -> list[int]:
        """Count some items and their interactions, in the order of :data:`COUNTED`."""
        groups = np.bincount(self.groups[chosen], minlength=len(GROUPS)).tolist()
        return [sum(groups), *groups, int(self.n_interactions[chosen].sum())]


def find_title(
    types: Mapping[str, str], item_field: str, text_fields: Sequence[str] = ()
) -> str | None:
    """Find the column of the titles.

    Parameters
    ----------
    types : Mapping of str to str
        Types of the columns by name, as an ``.item`` file has them.
    item_field : str
        The column of the ids, which is none of titles.
    text_fields : sequence of str
        Those that the text features were made of.

    Returns
    -------
    str or None
        The first there is of: a column of a usual name, in upper or lower case; the first of
        ``text_fields``; a column named like one of titles; a column of texts.
    """
    others = [field for field in types if field != item_field]
    found = [
        *(field for usual in TITLE_FIELDS for field in others if field.lower() == usual),
        *(field for field in text_fields if field in others),
        *(f for f in others if "title" in f.lower() or "name" in f.lower()),
        *(field for field in others if types[field] == "token_seq"),
    ]
    return found[0] if found else None
