"""The overview as lines for a console, at most 100 columns wide."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence

from .catalogue import Item
from .overview import Example, FeatureOverview, ModalityOverview
from .popularity import GROUPS, RULE
from .wording import combination, count, number, percent, shape, size, verdict, warnings

WIDTH = 88
TITLE_WIDTH = 34


def as_text(overview: FeatureOverview) -> str:
    """Write an overview as plain text.

    Parameters
    ----------
    overview : FeatureOverview
        What was found.

    Returns
    -------
    str
        Lines without control characters, whatever titles and file names hold.
    """
    items, interactions = overview.n_items, overview.n_interactions
    blocks = [
        [
            f"Features of {overview.dataset}: {count(items, 'item')}, "
            f"{count(interactions, 'interaction')}"
        ],
        *([_warnings(overview)] if warnings(overview) else []),
        *(_files(part) for part in overview.modalities),
        _coverage(overview),
        _combinations(overview),
        _norms(overview),
        *(_duplicates(part) for part in overview.modalities),
        _closeness(overview),
        *(_example(example, overview) for example in overview.examples),
    ]
    return "\n\n".join("\n".join(map(plain, block)) for block in blocks)


def plain(text: str) -> str:
    """Show as dots what would steer the console."""
    return "".join(c if c.isprintable() else "\N{MIDDLE DOT}" for c in text)


def cut(text: str, width: int) -> str:
    """Shorten a text to a number of columns."""
    text = plain(text[: 4 * width])
    if columns(text) <= width:
        return text
    while columns(text) > width - 3:
        text = text[:-1]
    return text.rstrip() + "..."


def columns(text: str) -> int:
    """Count the columns that a text takes: two for a wide letter, none for an accent."""
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me")
        else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _pad(text: str, width: int, right: bool = False) -> str:
    space = " " * (width - columns(text))
    return space + text if right else text + space


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the first column left, the others right."""
    widths = [max(columns(cell) for cell in column) for column in zip(*rows)]
    return [
        "  ".join(_pad(cell, width, at > 0) for at, (cell, width) in enumerate(zip(row, widths)))
        for row in rows
    ]


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _warnings(overview: FeatureOverview) -> list[str]:
    lines = []
    for sentence in warnings(overview):
        lines += textwrap.wrap(
            sentence, WIDTH, initial_indent="WARNING  ", subsequent_indent=" " * 9
        )
    return lines


def _files(part: ModalityOverview) -> list[str]:
    info = part.info
    rows = [
        ("encoder", f"{info.encoder}, pooling: {info.pooling}"),
        ("values", f"{shape(part)}; {size(part.n_bytes)} on disk"),
        ("made from", ", ".join(info.source_fields) or "unknown"),
        ("file", str(part.path)),
    ]
    return [part.modality, *(f"  {key:<10} {value}" for key, value in rows)]


def _coverage(overview: FeatureOverview) -> list[str]:
    parts = overview.modalities
    rows = [["Coverage", "in all", *(part.modality for part in parts)]]
    rows.append(["  items", number(overview.n_items), *(percent(part.items) for part in parts)])
    for at, group in enumerate(GROUPS):
        shares = [percent(part.groups[at]) for part in parts]
        rows.append([f"    {group}", number(overview.group_sizes[at]), *shares])
    of_interactions = [percent(part.interactions) for part in parts]
    rows.append(["  interactions", number(overview.n_interactions), *of_interactions])
    return [*_table(rows), *_indented(RULE)]


def _combinations(overview: FeatureOverview) -> list[str]:
    names = tuple(part.modality for part in overview.modalities)
    rows = [
        [f"  {combination(which, names)}", number(n_items)]
        for which, n_items in overview.combinations
    ]
    lines = ["Items that have", *_table(rows)]
    for part in overview.modalities:
        if part.n_empty:
            lines.append(
                f"  {part.modality}: {count(part.n_empty, 'item')} of the file without a real token"
            )
        unknown = part.unknown_items
        if unknown.count:
            names_shown = ", ".join(cut(token, 24) for token in unknown.examples)
            more = ", ..." if unknown.count > len(unknown.examples) else ""
            lines += _indented(
                f"{part.modality}: {count(unknown.count, 'item')} of the file not in the dataset: "
                f"{names_shown}{more}"
            )
    return lines


def _norms(overview: FeatureOverview) -> list[str]:
    rows = [["Lengths of the vectors", "min", "median", "max", "zero", "not finite"]]
    for part in overview.modalities:
        norms = part.norms
        lengths = (
            [f"{value:.4g}" for value in (norms.minimum, norms.median, norms.maximum)]
            if norms
            else ["-"] * 3
        )
        counts = [number(part.n_zero), number(part.n_not_finite)]
        rows.append([f"  {part.modality}", *lengths, *counts])
    return _table(rows)


def _duplicates(part: ModalityOverview) -> list[str]:
    if part.n_duplicates == 0:
        return [f"{part.modality}: no two items have the same vector"]
    lines = [
        f"{part.modality}: {count(part.n_duplicates, 'item')} share "
        f"{count(part.n_duplicate_groups, 'vector')}"
    ]
    for group in part.largest_groups:
        titles = [_title(item) for item in group.examples[:3]]
        more = [f"and {number(group.size - len(titles))} more"] if group.size > len(titles) else []
        kind = " (zeros)" if group.is_zero else ""
        lines.append(cut(f"  {number(group.size)}{kind}: {' / '.join(titles + more)}", 100))
    return lines


def _closeness(overview: FeatureOverview) -> list[str]:
    lines = ["Nearest neighbours, by the cosine of their vectors"]
    header = ["  mean cosine", "neighbours", "by chance", "all pairs"]
    rows = [
        [f"  {part.modality}", f"{near.neighbours:.3f}", f"{near.chance:.3f}", f"{near.pairs:.3f}"]
        for part in overview.modalities
        if (near := part.closeness)
    ]
    lines += _table([header, *rows]) if rows else []
    for part in overview.modalities:
        if part.closeness:
            lines += _indented(f"{part.modality}: {verdict(part.closeness)}")
    return lines


def _example(example: Example, overview: FeatureOverview) -> list[str]:
    interactions = count(example.item.n_interactions, "interaction")
    how = "popular" if example.is_popular else "drawn"
    lines = [f"{_title(example.item, 56)}  ({interactions}, {how})"]
    cells = []
    for part in overview.modalities:
        near = example.neighbours.get(part.modality, ())
        column = [f"{n.similarity:6.3f}  {_title(n.item)}" for n in near or ()]
        if part.modality not in example.neighbours:
            column = ["        no features"]
        elif near is None:
            column = ["        its vector has no direction"]
        cells.append([f"        {part.modality}", *(column or ["        no other item"])])
    # Two modalities stand side by side; any more would not fit.
    for first in range(0, len(cells), 2):
        pair = cells[first : first + 2]
        height = max(map(len, pair))
        filled = [column + [""] * (height - len(column)) for column in pair]
        width = 8 + TITLE_WIDTH
        lines += ["  ".join(_pad(cell, width) for cell in row).rstrip() for row in zip(*filled)]
    return lines


def _title(item: Item, width: int = TITLE_WIDTH) -> str:
    return cut(item.title, width)
