"""What is shown of items: titles and small pictures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from .. import pages
from ..errors import UserError
from ..features import find_features
from ..features.atomic import ItemTable
from ..features.pictures import PictureFolder, UnreadablePicture, decode
from ..features.report.catalogue import find_title
from ..integration.trained import Trained


class Items:
    """Titles and pictures of items, read when they are asked for.

    Parameters
    ----------
    table : ItemTable or None
        A dataset's ``.item`` file.
    title_field : str or None
        Its column of titles; None: there are none.
    folder : PictureFolder or None
        Pictures.
    picture_field : str or None
        Column of the names of their files; None: they are called as the items are.
    added, added_pictures : Mapping of str to str
        Titles of items that came to the checkpoint after training, and the names of the files of
        their pictures.

    Raises
    ------
    UserError
        There is no such column.
    """

    def __init__(
        self,
        table: ItemTable | None = None,
        title_field: str | None = None,
        folder: PictureFolder | None = None,
        picture_field: str | None = None,
        added: Mapping[str, str] | None = None,
        added_pictures: Mapping[str, str] | None = None,
    ) -> None:
        self._added, self._added_pictures = added or {}, added_pictures or {}
        self._table = table
        self._row_of: dict[str, int] = {}
        self._columns: dict[str, int] = {}
        if table is not None:
            fields = {"title": title_field, "picture": picture_field}
            named = {what: field for what, field in fields.items() if field is not None}
            self._columns = dict(zip(named, table.columns([*named.values()])))
            self._row_of = {token: row for row, token in enumerate(table.item_tokens)}
        self._folder = folder
        self.picture = cache(self._picture)

    @classmethod
    def of_dataset(
        cls, trained: Trained, title_field: str | None = None, images: Path | None = None
    ) -> Items:
        """Find titles and pictures in the folder of a checkpoint's dataset, if they are there.

        Parameters
        ----------
        trained : Trained
            The checkpoint.
        title_field : str, optional
            Column of the titles; by default as :func:`find_title` finds it.
        images : Path, optional
            Folder of pictures; by default ``images`` of the dataset.

        Raises
        ------
        UserError
            What is named is not there, or the ``.item`` file is damaged.
        """
        folder, item_field = Path(trained.config["data_path"]), trained.config["ITEM_ID_FIELD"]
        path = folder / f"{trained.config['dataset']}.item"
        table = ItemTable(path, item_field) if title_field or path.is_file() else None
        if table is not None:
            texts = _source_fields(trained, "text")
            title_field = title_field or find_title(table.types, item_field, texts)
        # A folder, and the column that names the files, if there is one.
        named = [] if table is None else _source_fields(trained, "image")[1:]
        picture_field = next((field for field in named if table and field in table.types), None)
        usual = folder / "images"
        pictures = PictureFolder(images or usual) if images or usual.is_dir() else None
        added = trained.config.added_titles, trained.config.added_pictures
        return cls(table, title_field, pictures, picture_field, *added)

    @property
    def has_pictures(self) -> bool:
        """Whether there is a folder of them."""
        return self._folder is not None

    def title(self, token: str) -> str:
        """Give the title of an item; its token if it has none."""
        return self._added.get(token) or self._cell(token, "title") or token

    def _cell(self, token: str, what: str) -> str:
        """Give what the ``.item`` file has of an item; nothing if it has no such row or column."""
        if self._table is None or what not in self._columns or token not in self._row_of:
            return ""
        return self._table.read(self._row_of[token])[self._columns[what]].strip()

    def _picture(self, token: str) -> pages.Picture | None:
        """Give the picture of an item, None if it has none that can be read."""
        if self._folder is None:
            return None
        own = self._added_pictures.get(token) or self._cell(token, "picture")
        name = own or self._folder.name_of(token)
        if name is None:
            return None
        try:
            return pages.thumbnail(decode(self._folder.read(name)), 72, 96)
        except UnreadablePicture:
            return None


def _source_fields(trained: Trained, modality: str) -> tuple[str, ...]:
    """What the features of a checkpoint's dataset were made of, if it has such features."""
    config = trained.config
    place = config["dataset"], modality, Path(config["data_path"]), config["feature_path"]
    try:
        return find_features(*place).info.source_fields
    except UserError:
        return ()
