"""The file of new items: read as an import reads it, and written as RecBole's ``.item`` file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from ..features import AlignedFeatures
from ..features.atomic import ItemTable
from ..features.report.catalogue import find_title
from ..intake import columns
from ..intake.engine import Engine
from ..intake.form import parts_of
from ..intake.items import Items, field_name
from ..intake.report import dropped_lines
from ..intake.table import Pick
from ..intake.tally import Tally
from ..integration.trained import Unfilled

if TYPE_CHECKING:
    from .new_items import Request

TEXT, IMAGE = "text", "image"


@dataclass(frozen=True)
class ItemFile:
    """New items, as they were read.

    Attributes
    ----------
    path : Path
        A ``.item`` file of them alone.
    tokens : numpy.ndarray
        Dtype object ``[n_new]``.
    image_field : str or None
        The field that names a picture's file.
    title_field : str or None
        The field of the titles.
    has_text : bool
        Whether it has the fields that the training's texts were made of.
    tally : Tally
        Rows that were read, and dropped.
    n_known : int
        Items that the model knows already, which stay as they are.
    """

    path: Path
    tokens: np.ndarray
    image_field: str | None
    title_field: str | None
    has_text: bool
    tally: Tally
    n_known: int

    def lines(self) -> list[str]:
        """Say what was read, and what was not taken."""
        known = [f"Items that the model knows already, left as they are: {self.n_known:,}."]
        read = f"Rows read: {self.tally.read:,}."
        return [read, *dropped_lines(self.tally), *known * bool(self.n_known)]


def read_items(
    request: Request, engine: Engine, known: np.ndarray, model: Unfilled, scratch: Path
) -> ItemFile:
    """Read new items.

    Parameters
    ----------
    request : Request
        Names the file and its columns.
    engine : Engine
        A database.
    known : numpy.ndarray
        Tokens of items that the model knows, dtype object.
    model : Unfilled
        Its features say which fields the texts are made of.
    scratch : Path
        Folder for the ``.item`` file.

    Returns
    -------
    ItemFile

    Raises
    ------
    UserError
        The file or a column cannot be used.
    """
    assert request.items is not None
    asked = request.item_id, request.image, *request.text
    table = request.reading.open(parts_of(request.items), *asked)
    names, of = table.names, str(request.items)
    item = columns.choose("item", "item_id", request.item_id, names, of)
    assert item is not None  # a column is needed
    fields: dict[str, str] = {}
    picks = {"id": Pick(item)}
    texts = _text_columns(request, names, of, model.features)
    for number, (name, column) in enumerate(texts.items()):
        fields[f"c{number}"] = name
        picks[f"c{number}"] = Pick(column, text=True)
    title_field = _title_field(names, item, texts)
    if title_field is not None and title_field not in texts:
        picks["title"] = Pick(names.index(title_field), text=True)
        fields["title"] = title_field = field_name(title_field, [*texts])
    image_field = None
    if request.images is not None:
        image = columns.choose("image", "image", request.image, names, of, needed=False)
        if image is not None and image != item:
            image_field = fields["image"] = field_name("image_file", [*fields.values()])
            picks["image"] = Pick(image, text=True)
    elif request.image is not None:
        raise UserError("--image is given without --images.", "Name the folder of the pictures.")
    tally = Tally()
    table.load(engine, "raw_items", picks, tally)
    engine.run("CREATE TEMP TABLE items (token VARCHAR)")
    engine.insert("items", {"token": known})
    # What Items takes for items with interactions are here those that the model knows.
    engine.run("CREATE TEMP TABLE kept AS SELECT rowid AS i FROM items")
    items = Items(engine, table.paths, tally, fields)
    items.check(drop_unused=False)
    ((n_known,),) = engine.run("SELECT count(*) FROM item_rows WHERE problem IS NULL AND used")
    engine.run("UPDATE item_rows SET problem = 'known' WHERE problem IS NULL AND used")
    path = scratch / "new.item"
    items.write(path)
    found = engine.run("SELECT token FROM item_rows WHERE problem IS NULL ORDER BY n")
    tokens = np.array([*(token for (token,) in found), None], dtype=object)[:-1]
    return ItemFile(path, tokens, image_field, title_field, bool(texts), tally, n_known)


def table_of(file: ItemFile) -> ItemTable:
    """Open the ``.item`` file."""
    return ItemTable(file.path)


def cells_of(file: ItemFile, field: str | None, items: Collection[str]) -> dict[str, str]:
    """Read a field of some items, by token; of those that have it."""
    if field is None:
        return {}
    table, wanted = table_of(file), {*items}
    (column,) = table.columns([field])
    rows = ((token, row) for row, token in enumerate(table.item_tokens) if token in wanted)
    cells = ((token, table.read(row)[column].strip()) for token, row in rows)
    return {token: cell for token, cell in cells if cell}


def _title_field(names: Sequence[str], item: int, texts: Mapping[str, int]) -> str | None:
    """The field of the titles, found as that of a dataset is: one of ``texts``, or a column."""
    of_texts = {names[column]: field for field, column in texts.items()}
    name = find_title(dict.fromkeys(names, ""), names[item], [*of_texts])
    return None if name is None else of_texts.get(name, name)


def _text_columns(
    request: Request, names: Sequence[str], of: str, features: Mapping[str, AlignedFeatures]
) -> dict[str, int]:
    """Columns of the fields that texts are made of, by field; none if no texts are encoded."""
    from ..features.extraction import again  # beside torch and its like, which take seconds

    wanted: tuple[str, ...] = ()
    if TEXT in features and TEXT not in request.features:
        info = features[TEXT].info
        if again.is_of_text(info):
            wanted = info.source_fields
        elif request.text:
            raise again.not_by_extract(info)
    if not request.text:
        by_field = {field_name(name, []): n for n, name in reversed([*enumerate(names)])}
        absent = [field for field in wanted if field not in by_field and field not in names]
        if absent:
            raise UserError(
                f"{of} has no column {absent[0]!r}, which the texts of the training are made of.",
                f"Name the columns of {', '.join(wanted)} by --text, some of "
                f"{', '.join(map(repr, names[:30]))}.",
            )
        return {f: names.index(f) if f in names else by_field[f] for f in wanted}
    if len(request.text) != len(wanted):
        needs = ", ".join(wanted) or "no texts"
        raise UserError(
            f"--text names {len(request.text)} columns, but the training's features need {needs}.",
            "Name a column for each of these, in this order." if wanted else "Leave --text out.",
        )
    return {f: columns.find("text", name, names, of) for f, name in zip(wanted, request.text)}
