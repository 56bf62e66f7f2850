"""The overview as lines for a console, at most 100 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from .document import Block, Items, Share, sections, subtitle, warnings
from .overview import FeatureOverview

WIDTH = 88


def as_text(overview: FeatureOverview) -> str:
    """Write an overview as plain text, without control characters, whatever titles hold."""
    blocks = [[f"Features of {overview.dataset}: {subtitle(overview)}"]]
    blocks.append([line for text in warnings(overview) for line in _wrap(text, "WARNING  ")])
    for section in sections(overview):
        blocks.append(_wrap(section.explanation, ""))
        blocks += [_lines(overview, block) for block in section.blocks]
    return "\n\n".join("\n".join(map(_plain, block)) for block in blocks if block)


def _plain(text: str) -> str:
    """Show as dots what would steer the console."""
    return "".join(c if c.isprintable() else "\N{MIDDLE DOT}" for c in text)


def _cut(text: str, width: int = 34) -> str:
    return text if len(text) <= width else f"{text[: width - 3].rstrip()}..."


def _wrap(text: str, indent: str = "  ") -> list[str]:
    more = " " * len(indent)
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=more, max_lines=8)


def _lines(overview: FeatureOverview, block: Block) -> list[str]:
    sentences = [*block.sentences]
    lines = _table(block.title, block.table) if block.table else [block.title]
    if block.example is not None:
        lines = [f"{_cut(block.title, 56)}  ({sentences.pop()})"]
    for name, fact in block.facts.items():
        lines += _wrap(fact, f"  {name.lower():<14} ")
    for sentence in sentences:
        lines += _wrap(sentence)
    for row in block.rows:
        lines += _wrap(" / ".join(_items(overview, row)) or row.lacking, f"  {row.label} ")
    return lines


def _items(overview: FeatureOverview, row: Items) -> list[str]:
    titles = [_cut(overview.catalogue.title(item)) for item in row.items]
    cosines = [f"{cosine:.3f} " for cosine in row.cosines]
    return ["".join(words) for words in zip_longest(cosines, titles, fillvalue="")]


def _table(title: str, rows: Sequence[Sequence[str | Share]]) -> list[str]:
    """Align the first column left, the others right."""
    texts = [[f"  {row[0]}", *map(str, row[1:])] for row in rows]
    texts[0][0] = title
    label_width, *widths = (max(map(len, column)) for column in zip(*texts))
    return [
        "  ".join([label.ljust(label_width), *map(str.rjust, cells, widths)]).rstrip()
        for label, *cells in texts
    ]
