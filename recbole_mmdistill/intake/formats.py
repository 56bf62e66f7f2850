"""The formats that are known by sight, and what every other source is taken for.

Each is told by the names of its files or columns; none by an option.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .dialect import NOTHING, Wanted
from .form import form_of, parts_of
from .interactions import SPLITS
from .reading import open_table
from .table import Convert, Table
from .unisrec import UniSRec, read_index

_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance"),
    *("Sci-Fi", "Thriller", "War", "Western"),
)


@dataclass
class Layout:
    """A source: its tables, and what their columns are.

    Attributes
    ----------
    name : str
        Of the format; empty if it is none that is known.
    interactions : Table
    items : Table or None
    roles : dict of str to str
        Columns of the user, item, time, rating and label (of a given split), as far as known.
    item_id, texts : str or None, tuple of str
        Columns of the items' table, likewise.
    whole_category : bool
        Whether the items' table lists far more than what the interactions are about.
    features : dict of str to Path
        Ready features of each modality, whose rows are the items 0, 1, 2, ...
    beside : pathlib.Path or None
        A file with the items' texts beside the source, which is not read.
    """

    name: str
    interactions: Table
    items: Table | None = None
    roles: dict[str, str] = field(default_factory=dict)
    item_id: str | None = None
    texts: tuple[str, ...] = ()
    whole_category: bool = False
    features: dict[str, Path] = field(default_factory=dict)
    beside: Path | None = None

    def with_items(self, items: Table) -> Layout:
        """Take a table of items in, as far as its columns are known."""
        self.items, self.beside = items, None
        for known in _ITEMS:
            if known.needed <= {*items.names}:
                self.item_id = known.item_id
                self.texts = tuple(name for name in known.texts if name in items.names)
                self.whole_category = known.whole_category
                break
        return self


class _Known(NamedTuple):
    """Interactions that are known by their columns."""

    name: str
    needed: set[str]
    roles: dict[str, str]


class _KnownItems(NamedTuple):
    """Items that are known by their columns."""

    needed: set[str]
    item_id: str
    texts: tuple[str, ...]
    whole_category: bool = False


_INTERACTIONS = (
    _Known(
        "Amazon Reviews 2018",
        {"reviewerID", "asin", "unixReviewTime"},
        {"user": "reviewerID", "item": "asin", "time": "unixReviewTime", "rating": "overall"},
    ),
    _Known(
        "Amazon Reviews 2023",
        {"user_id", "parent_asin", "timestamp", "rating"},
        {"user": "user_id", "item": "parent_asin", "time": "timestamp", "rating": "rating"},
    ),
    _Known(
        "MovieLens",
        {"userId", "movieId", "rating", "timestamp"},
        {"user": "userId", "item": "movieId", "time": "timestamp", "rating": "rating"},
    ),
    _Known(
        "MMRec",
        {"userID", "itemID", "x_label"},
        {
            **{"user": "userID", "item": "itemID", "time": "timestamp", "rating": "rating"},
            "label": "x_label",
        },
    ),
)
_ITEMS = (
    _KnownItems({"movieId", "title", "genres"}, "movieId", ("title", "genres")),
    _KnownItems(
        {"itemID", "asin", "title"}, "itemID", ("title", "brand", "categories", "description")
    ),
    _KnownItems(
        {"parent_asin", "title", "main_category"},
        "parent_asin",
        ("title", "store", "categories", "features", "description"),
        whole_category=True,
    ),
    _KnownItems(
        {"asin", "title", "main_cat"},
        "asin",
        ("title", "brand", "category", "feature", "description"),
        whole_category=True,
    ),
)
_MOVIELENS = (  # files of interactions and items, and how they are written
    ("u.data", "u.item", "\t", "|", ("movieId", "title", "released", "video", "url", *_GENRES)),
    ("ratings.dat", "movies.dat", "::", "::", ("movieId", "title", "genres")),
)


def recognise(source: Path, encoding: str | None = None, wanted: Wanted = NOTHING) -> Layout:
    """Find out what a source is.

    Parameters
    ----------
    source : pathlib.Path
        A file or a folder.
    encoding : str, optional
        Of its text.
    wanted : Wanted
        What the user says of its dialect.

    Raises
    ------
    UserError
        It is nothing that can be read, or several things.
    """
    paths = parts_of(source)
    by_name = {path.name: path for path in paths}
    layout = None
    if encoding is None and wanted._replace(asked=()) == NOTHING:  # else: as the user says
        layout = _movielens(by_name)
        if len(paths) > 1:
            layout = (
                layout
                or _movielens_csv(by_name)
                or _unisrec(by_name)
                or _one_inter(by_name)
                or _amazon(paths)
            )
    return layout or _by_columns(open_table(paths, encoding, wanted), source)


def _by_columns(table: Table, source: Path | None = None) -> Layout:
    """Tell a format by the names of its columns, if it is a known one."""
    if "item_id_list" in table.names:
        raise UserError(
            f"{table.paths[0]} holds lists of items.",
            "Give the folder of a UniSRec dataset, with its files .train.inter and .test.inter.",
        )
    layout = Layout("", table)
    for known in _INTERACTIONS:
        if known.needed <= {*table.names}:
            roles = {role: name for role, name in known.roles.items() if name in table.names}
            layout = Layout(known.name, table, roles=roles)
            break
    if source is not None and source.is_file():
        beside = source.parent / _BESIDE.get(source.name, f"meta_{source.name}")
        layout.beside = beside if layout.name and beside.is_file() else None
    return layout


def _movielens(files: Mapping[str, Path]) -> Layout | None:
    for ratings, films, separator, film_separator, names in _MOVIELENS:
        path = files.get(ratings)
        if path is None and len(files) == 1 and separator == "::":
            (path,) = files.values()
        if path is None or not _FOUR.match(form_of(path).head.replace(separator, "::")):
            continue
        table = open_table(
            [path], wanted=Wanted(separator, quoted=False, names=("user", "item", "rating", "time"))
        )
        roles = {role: role for role in table.names}
        layout = Layout("MovieLens", table, roles=roles)
        if films in files:
            wanted = Wanted(film_separator, quoted=False, names=names)
            items = open_table([files[films]], _latin(files[films]), wanted, _CONVERT[films])
            layout.with_items(items)
        elif (path.parent / films).is_file():
            layout.beside = path.parent / films
        return layout
    return None


def _movielens_csv(files: Mapping[str, Path]) -> Layout | None:
    if not {"ratings.csv", "movies.csv"} <= files.keys():
        return None
    layout = _by_columns(open_table([files["ratings.csv"]]))
    films, convert = [files["movies.csv"]], _CONVERT["movies.csv"]
    if layout.name != "MovieLens" or open_table(films).names != convert.names:
        return None
    return layout.with_items(open_table(films, convert=convert))


def _one_inter(files: Mapping[str, Path]) -> Layout | None:
    """Take a folder of RecBole's or MMRec's, whose other files are no parts of the interactions."""
    inter = [path for name, path in files.items() if name.endswith(".inter")]
    if len(inter) != 1:
        return None
    layout = _by_columns(open_table(inter))
    if layout.name == "MMRec":
        layout.features = {
            modality: files[f"{modality}_feat.npy"]
            for modality in ("text", "image")
            if f"{modality}_feat.npy" in files
        }
        items = [path for name, path in files.items() if re.fullmatch(r"meta.*\.csv", name)]
    else:
        items = [path for name, path in files.items() if name == f"{inter[0].stem}.item"]
    return layout.with_items(open_table(items)) if len(items) == 1 else layout


def _unisrec(files: Mapping[str, Path]) -> Layout | None:
    trained = [name for name in files if name.endswith(".train.inter")]
    if len(trained) != 1:
        return None
    name = trained[0].removesuffix(".train.inter")
    parts = [files[part] for split in SPLITS if (part := f"{name}.{split}.inter") in files]
    if not _LISTS.match(form_of(parts[0]).head):
        return None
    layout = Layout("UniSRec", UniSRec(parts), roles={"user": "user_id", "item": "item_id"})
    if {f"{name}.text", f"{name}.item2index"} <= files.keys():
        index = read_index(files[f"{name}.item2index"])
        layout.items = open_table(
            [files[f"{name}.text"]],
            wanted=Wanted("\t", quoted=False, header=True),
            convert=Convert(
                2, ("item_id", "text"), lambda row: [index.get(row[0], row[0]), row[1]]
            ),
        )
        layout.item_id, layout.texts = "item_id", ("text",)
    if (features := f"{name}.feat1CLS") in files:
        layout.features["text"] = files[features]
    return layout


def _amazon(paths: Sequence[Path]) -> Layout | None:
    """Find reviews and metadata in a folder of JSON lines."""
    if any(form_of(path).kind != "json" for path in paths):
        return None
    names = {path: {*open_table([path]).names} for path in paths}
    reviews = [p for p in paths if any(known.needed <= names[p] for known in _INTERACTIONS)]
    meta = [p for p in paths if p not in reviews and any(k.needed <= names[p] for k in _ITEMS)]
    if not reviews or not meta or len(reviews) + len(meta) < len(paths):
        return None
    return _by_columns(open_table(reviews)).with_items(open_table(meta))


def _latin(path: Path) -> str:
    """Tell the encoding of a file of films: the newer are UTF-8, the older Latin-1."""
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _flags(row: list[str]) -> list[str]:
    """Write MovieLens 100K's columns of 0 and 1 as the genres' names."""
    first = len(row) - len(_GENRES)
    genres = (genre for genre, flag in zip(_GENRES, row[first:]) if flag == "1")
    return [row[0], row[1], " ".join(genres)]


def _bars(row: list[str]) -> list[str]:
    return [*row[:-1], row[-1].replace("|", " ")]


_CONVERT = {
    "u.item": Convert(5 + len(_GENRES), ("movieId", "title", "genres"), _flags),
    "movies.dat": Convert(3, ("movieId", "title", "genres"), _bars),
    "movies.csv": Convert(3, ("movieId", "title", "genres"), _bars),
}
_BESIDE = {"ratings.csv": "movies.csv"}
_FOUR = re.compile(r"\d+::\d+::\d(\.5)?::\d{6,}\s")
_LISTS = re.compile(r"user_id:token\titem_id_list:token_seq\titem_id:token\s")
