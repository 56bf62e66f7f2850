"""From the files that people have to a dataset of atomic files, in one call."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..datasets import SHIPPED_BY_RECBOLE
from ..errors import UserError
from ..files import write_json
from . import columns
from .destination import check_name, destination
from .dialect import NOTHING, Wanted
from .engine import Engine
from .form import check_encoding, parts_of
from .formats import Layout, recognise
from .interactions import SPLITS, Interactions
from .items import Items, field_name
from .reading import open_table
from .report import Report
from .table import Pick
from .times import order_of_rows, read_times

_SUFFIX = re.compile(r"\.(gz|csv|tsv|txt|json|jsonl|ndjson|parquet|pq|inter|dat|data)$", re.I)


@dataclass
class Request:
    """What is to be imported, and how.

    Attributes
    ----------
    source : pathlib.Path
        The interactions: a file, or a folder of parts or of a known format.
    dataset : str or None
        Name of the dataset; by default the source's.
    data_path : pathlib.Path
        The folder of the datasets' folders.
    user, item, time, rating : str or None
        Columns of the source, by name or by number from 1; by default by their names.
    items : pathlib.Path or None
        The items, likewise a file or a folder.
    item_id, image : str or None
        Columns of the items.
    text : tuple of str
        Columns of the items.
    images : pathlib.Path or None
        The folder of the pictures.
    dedupe : str or None
        ``first`` or ``last``: one row of each user and item is kept.
    keep_last, min_user, min_item : int
        Rows of a user to keep, rows that a user and an item must have; 0 is no bound.
    unused_items : str or None
        ``keep`` or ``drop`` items without interactions; by default as the items' table suggests.
    time_format : str or None
        ``s``, ``ms``, ``us``, ``ns`` or a format of ``strptime``.
    wanted : Wanted
        Separator, header and quotes of the source.
    encoding, items_encoding : str or None
        Of their texts.
    items_header : bool or None
        Whether the items' file has a header.
    overwrite : bool
        Whether a dataset of this name is replaced.
    """

    source: Path
    dataset: str | None = None
    data_path: Path = Path("dataset")
    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None
    items: Path | None = None
    item_id: str | None = None
    image: str | None = None
    text: tuple[str, ...] = ()
    images: Path | None = None
    dedupe: str | None = None
    keep_last: int = 0
    min_user: int = 0
    min_item: int = 0
    unused_items: str | None = None
    time_format: str | None = None
    wanted: Wanted = NOTHING
    encoding: str | None = None
    items_encoding: str | None = None
    items_header: bool | None = None
    overwrite: bool = False


def import_dataset(request: Request, say: Callable[[str], None] = lambda _: None) -> Report:
    """Read, check, filter and write a dataset.

    Parameters
    ----------
    request : Request
        What is asked for.
    say : callable
        Told, before the rows are read, what the columns are taken for.

    Returns
    -------
    Report
        What was read, dropped and written; it is also beside the dataset, as JSON.

    Raises
    ------
    UserError
        Something cannot be read or told, or nothing would be left. Then nothing is written.
    """
    dataset = _name_of(request.source) if request.dataset is None else request.dataset
    check_name(dataset)
    layout = _layout(request)
    _check_known(request, layout)
    picks = _interaction_columns(request, layout)
    fields: dict[str, str] = {}
    item_picks = _item_columns(request, layout, picks, fields)
    report = Report(dataset, request.data_path, layout, picks, item_picks, fields, request.images)
    with (
        destination(dataset, request.data_path, request.overwrite) as place,
        Engine(place.scratch) as engine,
    ):
        say(report.heading())
        layout.interactions.load(engine, "raw", picks, report.tally)
        interactions = Interactions(engine, layout.interactions.paths, report.tally)
        times = order_of_rows()
        if "time" in picks and report.tally.left:
            times = read_times(engine, report.column("time"), request.time_format, ask=True)
        report.times = times.said
        header = (report.column("user"), report.column("item"))
        interactions.check(times, picks, header if layout.interactions.header else None)
        _filter(request, interactions)
        report.statistics = interactions.statistics()
        if not report.statistics["rows"]:
            raise UserError(
                f"No row of {request.source} is left ({report.reasons()}).", "Ask for less."
            )
        rated = report.statistics["rows_with_a_rating"] > 0
        interactions.write(place.making / f"{dataset}.inter", rated)
        if "label" in picks:
            report.statistics["parts"] = interactions.parts()
        for split in SPLITS if "label" in picks else ():
            interactions.write(place.making / f"{dataset}.{split}.inter", rated, split)
        if layout.items is not None:
            layout.items.load(engine, "raw_items", item_picks, report.item_tally)
            items = Items(engine, layout.items.paths, report.item_tally, fields)
            items.check(_drops_unused(request, layout))
            report.item_statistics = items.statistics(request.images)
            items.write(place.making / f"{dataset}.item")
        report.check()
        write_json(place.making / place.report.name, report.plain())
        place.publish()
    return report


def _layout(request: Request) -> Layout:
    encoding, items_encoding = map(check_encoding, (request.encoding, request.items_encoding))
    asked = _given(request.user, request.item, request.time, request.rating)
    layout = recognise(request.source, encoding, request.wanted._replace(asked=asked))
    if request.items is not None:
        asked = _given(request.item_id, request.image, *request.text)
        wanted = Wanted(header=request.items_header, asked=asked, of="items_")
        table = open_table(
            parts_of(request.items), items_encoding, wanted, encoding_option="--items_encoding"
        )
        layout.with_items(table)
    elif layout.items is None and (request.text or request.image):
        layout.items = layout.interactions
        layout.item_id = request.item or layout.roles.get("item")
    return layout


def _given(*names: str | None) -> tuple[str, ...]:
    return tuple(name for name in names if name is not None)


def _check_known(request: Request, layout: Layout) -> None:
    """Refuse files whose columns are not known, all that is missing at once."""
    missing = []
    names, of = layout.interactions.names, str(request.source)
    for role in ("user", "item"):
        given = getattr(request, role) or layout.roles.get(role)
        if given is None and not columns.candidates(role, names):
            missing.append(columns.Missing(role, role, names, of))
    if layout.items is not None:
        names, of = layout.items.names, str(request.items or request.source)
        given = request.item_id or layout.item_id
        if layout.items is layout.interactions:
            given = given or request.item or "the same"
        if given is None and not columns.candidates("item", names):
            missing.append(columns.Missing("item", "item_id", names, of))
        shown = request.text or layout.texts or request.image or request.images
        if not (shown or columns.texts(names) or columns.candidates("image", names)):
            missing.append(columns.Missing("text", "text", names, of))
    if missing:
        raise columns.unknown(missing)


def _interaction_columns(request: Request, layout: Layout) -> dict[str, Pick]:
    names, of = layout.interactions.names, str(request.source)
    picks: dict[str, Pick] = {}
    for role in ("user", "item", "time", "rating", "label"):
        given = getattr(request, role, None) or layout.roles.get(role)
        if given is None and (role == "label" or layout.name):
            continue
        found = columns.choose(role, role, given, names, of, needed=role in ("user", "item"))
        if found is not None:
            picks[role] = Pick(found)
    taken = [pick.column for pick in picks.values()]
    for role, pick in picks.items():
        if taken.count(pick.column) > 1:
            raise UserError(
                f"The column {names[pick.column]!r} is taken for the {role} and something else.",
                "Name the columns by --user, --item, --time and --rating.",
            )
    if "time" not in picks and request.time_format is not None:
        raise UserError(f"--time_format is given, but {of} has no times.", "Name them by --time.")
    return picks


def _item_columns(
    request: Request, layout: Layout, picks: Mapping[str, Pick], fields: dict[str, str]
) -> dict[str, Pick]:
    """Choose the columns of the items' table; ``fields`` gets the names of their fields."""
    if layout.items is None:
        for option in ("item_id", "images"):
            if getattr(request, option) is not None:
                raise UserError(f"--{option} is given without --items.", "Name the items' file.")
        return {}
    names, of = layout.items.names, str(request.items or request.source)
    if layout.items is layout.interactions and request.item_id is None:
        item = picks["item"].column
    else:
        given = request.item_id or layout.item_id
        item = columns.choose("item", "item_id", given, names, of) or 0
    chosen = {"id": Pick(item)}
    image = None
    if request.image is not None or not layout.item_id:
        image = columns.choose("image", "image", request.image, names, of, needed=False)
    given_texts = request.text or layout.texts
    texts = [columns.find("text", name, names, of) for name in given_texts]
    if not texts:
        texts = [n for n in columns.texts(names) if n not in (item, image)]
    if not texts and image is None and request.images is None:
        raise columns.unknown([columns.Missing("text", "text", names, of)])
    for number, column in enumerate(dict.fromkeys(texts)):
        chosen[f"c{number}"] = Pick(column, text=True)
    if image is not None:
        chosen["image"] = Pick(image, text=True)
    for role, pick in chosen.items():
        if role != "id":
            fields[role] = field_name(names[pick.column], [*fields.values()])
    return chosen


def _filter(request: Request, interactions: Interactions) -> None:
    if request.dedupe is not None:
        interactions.dedupe(request.dedupe)
    if request.keep_last:
        interactions.keep_last(request.keep_last)
    interactions.k_core(request.min_user, request.min_item)


def _drops_unused(request: Request, layout: Layout) -> bool:
    if request.unused_items is not None:
        return request.unused_items == "drop"
    return layout.whole_category or request.min_item > 1


def _name_of(source: Path) -> str:
    name = source.resolve().name
    while source.is_file() and _SUFFIX.search(name):
        name = _SUFFIX.sub("", name)
    name = re.sub(r"[^\w.-]+", "_", name).strip("_.-")
    # RecBole would take its own example for this name.
    return "movielens-100k" if name == SHIPPED_BY_RECBOLE else name
