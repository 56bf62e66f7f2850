"""What the items of a dataset give to an encoder: their texts, or the files of their pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..atomic import ItemTable, count_interactions
from ..pictures import PictureFolder
from .texts import CLEANING, Template, clean


class Inputs(ABC):
    """The raw inputs of items, read one by one when they are asked for."""

    item_tokens: np.ndarray  # [n_items], dtype object
    source_fields: tuple[str, ...]  # where the inputs come from, for the feature file's metadata
    treatment: str  # what is done to an input before the encoder, likewise

    @abstractmethod
    def read(self, row: int) -> bytes | None:
        """Read the input of an item: text in UTF-8, or a whole file; None if it has none.

        An UnreadablePicture is raised if there is one, but of no use.
        """

    @abstractmethod
    def place(self, row: int) -> str:
        """Say where the input of an item stands, or would stand, in a word or two."""

    def unused(self) -> int:
        """Count the inputs that belong to no item."""
        return 0


class Texts(Inputs):
    """Texts made of the columns of an ``.item`` file, as a template joins them."""

    def __init__(self, table: ItemTable, template: Template) -> None:
        self._table = table
        self._template = template
        self._columns = dict(zip(template.fields, table.columns(template.fields)))
        self.item_tokens = table.item_tokens
        self.source_fields = template.fields
        self.treatment = f"{CLEANING}, {template}"

    def read(self, row: int) -> bytes | None:
        """Give the text of an item in UTF-8, None if nothing is left of it."""
        cells = self._table.read(row)
        values = {field: clean(cells[column]) for field, column in self._columns.items()}
        return self._template.fill(values).encode("utf-8") or None

    def place(self, row: int) -> str:
        """Name the columns."""
        return ",".join(self.source_fields)


class Pictures(Inputs):
    """Files of a folder, named by the items' tokens or by a column of the ``.item`` file."""

    treatment = "RGB over white, upright, first frame"

    def __init__(
        self,
        folder: PictureFolder,
        item_tokens: np.ndarray,
        table: ItemTable | None = None,
        field: str = "",
    ) -> None:
        self._folder = folder
        self._table = table
        self._column = table.columns([field])[0] if table is not None else -1
        self.item_tokens = item_tokens
        self.source_fields = (folder.folder.resolve().name, *([field] if field else []))

    def _name(self, row: int) -> str | None:
        if self._table is not None:
            return self._table.read(row)[self._column].strip() or None
        return self._folder.name_of(self.item_tokens[row])

    def read(self, row: int) -> bytes | None:
        """Read the file of an item, None if it has none."""
        name = self._name(row)
        return None if name is None else self._folder.read(name)

    def place(self, row: int) -> str:
        """Name the file."""
        return self._name(row) or f"{self.item_tokens[row]}.*"

    def unused(self) -> int:
        """Count the pictures in the folder that are named after no item."""
        if self._table is not None:
            return 0
        return len(self._folder) - sum(token in self._folder for token in self.item_tokens)


def all_items(
    table: ItemTable | None, inter_files: Sequence[Path], item_field: str = "item_id"
) -> np.ndarray:
    """List the items of a dataset: those of its ``.item`` file, else those of ``.inter``."""
    if table is not None:
        return table.item_tokens
    return np.array([*count_interactions(inter_files, item_field), None], dtype=object)[:-1]
