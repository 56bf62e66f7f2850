"""The items of a dataset: what they are called, how popular they are, what stands for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..atomic import ItemTable, count_interactions, interaction_files
from ..source import FeatureSource
from .popularity import popularity_groups

TITLE_FIELDS = ("title", "name", "movie_title", "product_title")


@dataclass(frozen=True)
class Item:
    """An item as people know it.

    Parameters
    ----------
    token : str
        Its name in the dataset.
    title : str
        Its title, or the token where there is none.
    n_interactions : int
        How often it was interacted with.
    """

    token: str
    title: str
    n_interactions: int


class Catalogue:
    """The items of the ``.item`` file, then those that only the ``.inter`` files have.

    Parameters
    ----------
    dataset : str
        Its name.
    folder : pathlib.Path
        Where its atomic files lie; either kind may be missing.
    item_field : str
        The column of the item tokens.
    title_field : str, optional
        The column of the titles; by default found by its name.

    Attributes
    ----------
    item_tokens : numpy.ndarray
        Shape ``[n_items]``, dtype object.
    n_interactions : numpy.ndarray
        Shape ``[n_items]``, int64.
    groups : numpy.ndarray
        Shape ``[n_items]``, the popularity group of each.

    Raises
    ------
    UserError
        If a file is no table or lacks a column.
    """

    def __init__(
        self,
        dataset: str,
        folder: Path,
        item_field: str = "item_id",
        title_field: str | None = None,
    ) -> None:
        counts = count_interactions(interaction_files(folder, dataset), item_field)
        path = folder / f"{dataset}.item"
        self._table = ItemTable(path, item_field) if title_field or path.is_file() else None
        self._title_column: int | None = None
        listed: list[str] = []
        if self._table is not None:
            listed = self._table.item_tokens.tolist()
            title_field = title_field or find_title(self._table.fields, item_field)
            if title_field is not None:
                (self._title_column,) = self._table.columns([title_field])
        tokens = list(dict.fromkeys([*listed, *counts]))
        self.item_tokens = np.empty(len(tokens), dtype=object)
        self.item_tokens[:] = tokens
        self.n_interactions = np.array([counts.get(token, 0) for token in tokens], dtype=np.int64)
        self.groups = popularity_groups(self.n_interactions)

    def __len__(self) -> int:
        return len(self.item_tokens)

    def item(self, index: int) -> Item:
        """Give an item by its place in the catalogue."""
        token = self.item_tokens[index]
        title = ""
        if self._table is not None and self._title_column is not None and index < len(self._table):
            title = self._table.read(index)[self._title_column].strip()
        return Item(token, title or token, int(self.n_interactions[index]))

    def item_of_row(self, source: FeatureSource) -> np.ndarray:
        """Find the item of each row of features.

        Parameters
        ----------
        source : FeatureSource
            The features.

        Returns
        -------
        numpy.ndarray
            Shape ``[n_rows]``, int64, -1 where the dataset has no such item.
        """
        index = pd.Index(self.item_tokens, dtype=object)
        return index.get_indexer(pd.Index(source.item_tokens, dtype=object)).astype(np.int64)


def find_title(fields: Sequence[str], item_field: str) -> str | None:
    """Guess which column holds the titles.

    Parameters
    ----------
    fields : sequence of str
        Names of the columns.
    item_field : str
        The column that certainly holds none.

    Returns
    -------
    str or None
        The first of :data:`TITLE_FIELDS` there is, else the first column named like one.
    """
    others = [field for field in fields if field != item_field]
    exact = [field for field in TITLE_FIELDS if field in others]
    alike = [field for field in others if "title" in field.lower() or "name" in field.lower()]
    return next(iter([*exact, *alike]), None)
