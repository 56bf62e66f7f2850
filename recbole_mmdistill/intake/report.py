"""What an import read, dropped and wrote: as lines for a reader, and as JSON."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .columns import like_times
from .formats import Layout
from .interactions import SPLITS
from .table import Pick, Table
from .tally import Tally
from .times import span

_DROPPED = {
    "header_again": "the names of the columns once more",
    "wrong_number_of_columns": "too many or too few columns",
    "not_json": "no JSON object",
    "nested_value": "a list or an object for an id, a time or a number",
    "not_unicode": "an id that is no Unicode",
    "not_in_encoding": "not in the encoding",
    "history_does_not_go_on": "a history that does not go on from the user's other rows",
    "no_user": "no user",
    "no_item": "no item",
    "no_time": "no time",
    "unreadable_time": "a time that cannot be read",
    "time_of_another_form": "a time of another form or unit than most",
    "line_break_or_tab_in_user": "a tab, line break or zero byte in the user's id",
    "line_break_or_tab_in_item": "a tab, line break or zero byte in the item's id",
    "reserved_user": "the user [PAD], a word of RecBole's own",
    "reserved_item": "the item [PAD], a word of RecBole's own",
    "dedupe": "user and item of another row (--dedupe)",
    "keep_last": "before the last rows of the user (--keep_last)",
    "min_user": "a user with too few rows (--min_user)",
    "min_item": "an item with too few rows (--min_item)",
    "item_again": "an item that had a row before",
    "no_interactions": "an item without interactions",
}
_NOTED = {
    "quotes_as_text": "rows kept with a quotation mark that is not closed, taken for text",
    "quotes_understood": "lines of the file with quotation marks, read as in CSV "
    "(--no_quotes takes them for text)",
    "unknown_keys": "rows with keys that the first rows lack, which are no columns",
    "label_of_no_part": "rows with an x_label other than 0, 1 and 2, in none of the parts",
    "rating_left_empty": "rows kept with a rating that is no number, left empty",
}
_REMARKS = {
    "ties_in_time": "rows that share user and time, in the order of the source",
    "duplicates": "rows of a user and an item of an earlier row",
    "ids_with_outer_spaces": "ids that begin or end with a space, kept so",
    "ids_that_are_nearly_another": "ids that are another but for zeros before it, .0 behind it or "
    "outer spaces, kept apart",
    "users_with_one_row": "users with one row",
    "items_with_one_row": "items with one row",
}
_LACKING = {
    "without_interactions": "items without interactions",
    "without_text": "items without any text",
    "without_picture": "items without picture",
    "pictures_that_are_web_addresses": "pictures that are web addresses, and are not fetched",
    "without_row": "items of the interactions that are not among them",
    "nearly_known": "of these, known if zeros before an id, .0 behind it and outer spaces did not "
    "count",
}


_AMOUNT = re.compile(r"(?i)\b(qty|quantity|amount|count|units?|menge|anzahl|stück)\b|数量|個数")


class Report:
    """The account of one import.

    Parameters
    ----------
    dataset : str
        Its name.
    data_path : pathlib.Path
        The folder of the datasets' folders.
    layout : Layout
        The source.
    picks, item_picks : mapping of str to Pick
        Its columns that are read.
    fields : mapping of str to str
        Fields of ``.item``, by the names in ``item_picks``.
    images : pathlib.Path, optional
        The folder of the pictures.

    Attributes
    ----------
    tally, item_tally : Tally
        What was read and dropped.
    times : str
        What the times were taken for.
    statistics, item_statistics : dict
        Of what was written.
    """

    def __init__(
        self,
        dataset: str,
        data_path: Path,
        layout: Layout,
        picks: Mapping[str, Pick],
        item_picks: Mapping[str, Pick],
        fields: Mapping[str, str],
        images: Path | None = None,
    ) -> None:
        self._dataset = dataset
        self._data_path = data_path
        self._folder = data_path / dataset
        self._layout = layout
        self._picks = picks
        self._item_picks = item_picks
        self._fields = fields
        self._images = images
        self.tally = Tally()
        self.item_tally = Tally()
        self.times = ""
        self.statistics: dict[str, Any] = {}
        self.item_statistics: dict[str, Any] = {}

    def column(self, role: str) -> str:
        """Give the name of a column of the source."""
        return self._layout.interactions.names[self._picks[role].column]

    def reasons(self) -> str:
        """Say in a line what was dropped."""
        parts = [f"{c.rows:,}: {_DROPPED.get(k, k)}" for k, c in self.tally.dropped.items()]
        return "; ".join(parts)

    def check(self) -> None:
        """Make sure that each row that was read is written or counted as dropped."""
        rows = self.statistics["rows"]
        items = self.item_statistics.get("rows", self.item_tally.left)
        if (rows, items) != (self.tally.left, self.item_tally.left):
            raise RuntimeError(
                f"{self.tally.left} interactions and {self.item_tally.left} items should be left, "
                f"but {rows} and {items} are: please report this"
            )

    def heading(self) -> str:
        """Say what the files and columns are taken for."""
        layout = self._layout
        lines = [f"{_files(layout.interactions)}: {layout.name or layout.interactions.description}"]
        roles = [f"{role} = {self.column(role)!r}" for role in self._picks]
        roles += [f"no {role}" for role in ("time", "rating") if role not in self._picks]
        lines.append(f"  columns: {', '.join(roles)}")
        if "time" not in self._picks and not layout.name:
            table = layout.interactions
            lines += [
                f"  {name!r} looks like times: --time={shlex.quote(name)} takes it"
                for name in like_times(table.names, table.head())
            ]
        if layout.items is not None:
            lines.append(f"{_files(layout.items)}: items, {layout.items.description}")
            lines.append(f"  columns: {', '.join(self._item_columns())}")
        return "\n".join(lines)

    def _item_columns(self) -> list[str]:
        assert self._layout.items is not None
        names = self._layout.items.names
        said: dict[str, list[str]] = {}
        for key, pick in self._item_picks.items():
            role = {"id": "item", "image": "image"}.get(key, "text")
            name = names[pick.column]
            field = self._fields.get(key, name)
            renamed = f" as {field}" if field != name else ""
            said.setdefault(role, []).append(f"{name!r}{renamed}")
        return [f"{role} = {' and '.join(columns)}" for role, columns in said.items()]

    def text(self) -> str:
        """Give the closing lines: what was dropped, what was written, and what comes next."""
        return "\n".join([*self.account(), *self._next()])

    def account(self) -> list[str]:
        """Say what was dropped and what was written."""
        numbers = self.statistics
        lines = [
            f"times: {self.times}",
            f"  {span(numbers['first_ns'], numbers['last_ns'])}" if "time" in self._picks else "",
            f"read {self.tally.read:,} rows",
            *dropped_lines(self.tally),
            f"wrote {self._folder / self._dataset}.inter: {numbers['rows']:,} rows, "
            f"{numbers['users']:,} users, {numbers['items']:,} items",
            *(f"  {said}: {numbers[key]:,}" for key, said in _REMARKS.items() if numbers[key]),
            *self._repeats(),
        ]
        if "label" in self._picks:
            parts = ", ".join(f"{part} {rows:,}" for part, rows in numbers["parts"].items())
            lines.append(
                f"  and its parts as given, {parts}: "
                f"--benchmark_filename=[{','.join(SPLITS)}] takes them"
            )
        if self._layout.items is not None:
            rows = self.item_statistics["rows"]
            lines += [
                f"read {self.item_tally.read:,} rows of items",
                *dropped_lines(self.item_tally),
                f"wrote {self._folder / self._dataset}.item: {rows:,} items",
            ]
            lines += self._lacking()
        for file in sorted(self._folder.glob(f"{self._dataset}.*.safetensors")):
            lines.append(f"{file} is there already: make it anew if items or texts have changed")
        lines.append(f"report: {self._folder / self._dataset}.import.json")
        return [line for line in lines if line]

    def _repeats(self) -> list[str]:
        """Say what rows that look like one another may be."""
        lines = []
        if self.statistics["duplicates"]:
            lines.append("  --dedupe keeps one row of each user and item")
        read = {pick.column for pick in self._picks.values()}
        amounts = [
            name
            for number, name in enumerate(self._layout.interactions.names)
            if number not in read and _AMOUNT.search(name)
        ]
        if amounts:
            lines.append(f"  the column {amounts[0]} is not read: a row counts once")
        if not self._layout.name and (lines or self.statistics["ties_in_time"]):
            lines.append("  returns count as purchases, unless you leave them out of the file")
        return lines

    def _lacking(self) -> list[str]:
        """Say which items lack what, and why that may be."""
        found = self.item_statistics
        all_of = dict.fromkeys(_LACKING, found["rows"]) | {
            "without_row": self.statistics["items"],
            "nearly_known": found["without_row"]["rows"],
        }
        web = found.get("pictures_that_are_web_addresses", {"rows": 0})["rows"]
        lines = []
        for key, said in _LACKING.items():
            count, of = found.get(key, {"rows": 0}), all_of[key]
            if count["rows"]:
                shown = ", ".join(map(repr, count["examples"][:3]))
                lines.append(f"  {said}: {count['rows']:,} of {of:,} ({shown})")
            if key == "without_picture" and self._images and web < of == count["rows"]:
                lines.append(
                    f"  these are all: do the names in {self._item_column('image')!r} match the "
                    f"files in {self._images}?"
                    if "image" in self._item_picks
                    else f"  these are all: are the files in {self._images} called by the items' "
                    f"ids, e.g. {count['examples'][0]}.jpg?"
                )
        if 2 * found["without_row"]["rows"] > self.statistics["items"]:
            lines.append("  these are most: do both files write the items' ids alike?")
        return lines

    def _item_column(self, pick: str) -> str:
        assert self._layout.items is not None
        return self._layout.items.names[self._item_picks[pick].column]

    def _next(self) -> list[str]:
        """Say which commands come next."""
        home = f"--dataset={self._dataset}"
        if self._data_path != Path("dataset"):
            home += f" --data_path={_word(self._data_path)}"
        lines = []
        modalities = []
        texts = [name for pick, name in self._fields.items() if pick != "image"]
        ready = self._layout.features
        for modality, file in ready.items():
            modalities.append(modality)
            out = self._folder / f"{self._dataset}.{modality}.safetensors"
            lines.append(f"  recbole-mm convert {_word(file)} {_word(out)} --ids=rows")
        if texts and "text" not in ready:
            modalities.append("text")
            lines.append(
                f"  recbole-mm extract {home} --modality=text --fields={','.join(texts)} "
                "--encoder=sentence-transformers/all-MiniLM-L6-v2"
            )
        if "image" in self._fields or "without_picture" in self.item_statistics:
            modalities.append("image")
            folder = _word(self._images) if self._images else "FOLDER"
            field = f"--image_field={self._fields['image']} " if "image" in self._fields else ""
            lines.append(
                f"  recbole-mm extract {home} --modality=image --images={folder} {field}"
                "--encoder=vit_tiny_patch16_224"
            )
        lines.append(f"  recbole-mm run {home} --modalities=[{','.join(modalities)}]")
        if self._layout.beside is not None:
            lines.append(
                f"{self._layout.beside.name} lies beside the source and was not read: give the "
                "folder, or --items, to take the items' texts, too"
            )
        return ["next:", *lines]

    @property
    def image_field(self) -> str | None:
        """The field that names the items' pictures, if there is one."""
        return self._fields.get("image")

    def plain(self) -> dict[str, Any]:
        """Give the whole account as JSON has it."""
        layout = self._layout
        account: dict[str, Any] = {
            "dataset": self._dataset,
            "format": layout.name or None,
            "interactions": {
                **_source(layout.interactions, self.tally),
                "columns": {role: self.column(role) for role in self._picks},
                "times": self.times,
                "written": self.statistics["rows"],
                **self.statistics,
            },
        }
        if layout.items is not None:
            names = layout.items.names
            account["items"] = {
                **_source(layout.items, self.item_tally),
                "columns": {
                    self._fields.get(key, "item_id"): names[pick.column]
                    for key, pick in self._item_picks.items()
                },
                "written": self.item_statistics["rows"],
                **self.item_statistics,
            }
        return account


def _files(table: Table) -> str:
    first, *others = table.paths
    where = f"{first.parent} ({len(table.paths)} files)" if others else str(first)
    return f"{where}, without {len(table.empty)} that are empty" if table.empty else where


def _source(table: Table, tally: Tally) -> dict[str, Any]:
    return {
        "files": [str(path) for path in table.paths],
        "empty_files": [*table.empty],
        "written_as": table.description,
        "read": tally.read,
        "dropped": {kind: count.plain() for kind, count in tally.dropped.items()},
        "noted": {kind: count.plain() for kind, count in tally.noted.items()},
    }


def dropped_lines(tally: Tally) -> list[str]:
    """Say in a line for each kind what was dropped, and what was kept with a remark."""
    lines = [
        f"  dropped {count.rows:,}: {_DROPPED.get(kind, kind)} ({', '.join(count.places[:3])})"
        for kind, count in tally.dropped.items()
    ]
    return lines + [
        f"  {count.rows:,} {_NOTED.get(kind, kind)} ({', '.join(count.places[:3])})"
        for kind, count in tally.noted.items()
    ]


def _word(path: Path) -> str:
    """Write a path as a shell takes it for one word."""
    return shlex.quote(str(path))
