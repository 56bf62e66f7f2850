"""The overview as lines for a console, at most 100 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ..popularity import RULE
from . import wording
from .modality import ModalityFeatures
from .overview import FeatureOverview

WIDTH = 88


def as_text(overview: FeatureOverview) -> str:
    """Write an overview as plain text, without control characters, whatever titles hold."""
    parts = overview.modalities
    blocks = [
        [f"Features of {overview.dataset}: {wording.subtitle(overview)}"],
        [line for text in wording.warnings(overview) for line in _wrap(text, "WARNING  ")],
        *(_facts(name, part) for name, part in parts.items()),
        [*_table("Coverage", wording.coverage(overview)), *_wrap(RULE)],
        _table("Items that have", wording.combinations(overview)),
        [line for text in wording.left_out(overview) for line in _wrap(text)],
        _table("Norms of vectors", wording.norms(overview)),
        *(_duplicates(overview, name) for name in parts),
        _table("Mean cosine of neighbours", wording.closeness(overview)),
        *(_example(overview, item) for item in overview.examples),
    ]
    return "\n\n".join("\n".join(map(plain, block)) for block in blocks if block)


def plain(text: str) -> str:
    """Show as dots what would steer the console."""
    return "".join(c if c.isprintable() else "\N{MIDDLE DOT}" for c in text)


def cut(text: str, width: int = 34) -> str:
    """Shorten a text to a number of letters."""
    return text if len(text) <= width else f"{text[: width - 3].rstrip()}..."


def _wrap(text: str, indent: str = "  ") -> list[str]:
    more = " " * len(indent)
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=more, max_lines=8)


def _table(title: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the first column left, the others right."""
    rows = [[title, *rows[0][1:]], *([f"  {label}", *cells] for label, *cells in rows[1:])]
    label_width, *widths = (max(map(len, column)) for column in zip(*rows))
    return [
        "  ".join([label.ljust(label_width), *map(str.rjust, cells, widths)]).rstrip()
        for label, *cells in rows
    ]


def _facts(name: str, part: ModalityFeatures) -> list[str]:
    facts = wording.facts(part)
    file = facts.pop("File")  # in one piece, to be copied
    lines = [line for key, fact in facts.items() for line in _wrap(fact, f"  {key.lower():<14} ")]
    return [f"{name}: {file}", *lines]


def _duplicates(overview: FeatureOverview, name: str) -> list[str]:
    part = overview.modalities[name]
    lines = [f"{name}: {wording.duplicates(part)}"]
    for group in part.duplicates[: wording.N_LARGEST]:
        titles = [cut(overview.catalogue.title(item)) for item in group[:3]]
        more = [f"and {len(group) - 3:,} more"] if len(group) > 3 else []
        lines += _wrap(" / ".join(titles + more), f"  {wording.group(part, group)}: ")
    return lines


def _example(overview: FeatureOverview, item: int) -> list[str]:
    title = overview.catalogue.title
    lines = [f"{cut(title(item), 56)}  ({wording.example(overview, item)})"]
    for name, part in overview.modalities.items():
        near = [f"{cos:.3f} {cut(title(other))}" for other, cos in part.neighbours.get(item, ())]
        lines += _wrap(" / ".join(near) or wording.no_neighbours(part, item), f"  {name}  ")
    return lines
