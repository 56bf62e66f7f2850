"""The page of all fixes to RecBole, from their docstrings.

``python -m recbole_mmdistill.integration.document docs/recbole-fixes.md`` writes it anew.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from itertools import groupby
from pathlib import Path

from ..files import write_text
from .fixes import Fix, all_fixes

_INTRODUCTION = """\
# What importing this package changes in RecBole 1.2.1

No file of RecBole is edited. When RecBole is imported, each fix below puts a function in the place
of one of its own, which stands in brackets. No two fixes change the same function, and their order
does not matter. `recbole-mm doctor` says which of them are active: the libraries that are installed
may not need all.

In one process, results differ from plain RecBole's for two reasons: the order of time is exact, and
files are read as they are written. All other fixes let something run that would fail, refuse
something that would be wrong, or change how things are stored.

A place such as `data/utils.py:59` is where RecBole breaks without the fix. The code is in
[integration/](../recbole_mmdistill/integration), in the file named beside each heading.

This page is made from the docstrings there by
`python -m recbole_mmdistill.integration.document docs/recbole-fixes.md`.
"""
_LIMITS = """\
## What stays broken

GRU4RecCPR and SASRecCPR, two of RecBole's own models, do not run in RecBole 1.2.1 with any
libraries: their `predict` cannot be called, and RecBole calls it.
"""


def fixes_page() -> str:
    """Write the page.

    Returns
    -------
    str
        Markdown.
    """
    parts = [_INTRODUCTION]
    for module, fixes in groupby(all_fixes(), lambda fix: fix.module):
        parts.append("\n".join([*_heading(module), *map(_item, fixes)]) + "\n")
    return "\n".join([*parts, _LIMITS])


def _heading(module: str) -> Iterator[str]:
    title, *paragraphs = _paragraphs(inspect.getdoc(import_module(f".{module}", __package__)))
    yield f"## {title.rstrip('.')} (`{module}.py`)\n"
    for paragraph in paragraphs[:1]:
        yield f"{_wrap(paragraph)}\n"


def _item(fix: Fix) -> str:
    summary, why, *_ = _paragraphs(fix.docstring)
    paths = dict.fromkeys(map(_path, fix.names))
    places = ", ".join(f"`{path}`" for path in paths)
    return _wrap(f"- **{summary.rstrip('.')}** ({places}). {why}", "  ")


def _path(name: str) -> str:
    module, _, path = name.partition(":")
    return path if module.startswith("recbole.") else f"{module}.{path}"


def _paragraphs(docstring: str | None) -> list[str]:
    """Give the paragraphs of a docstring as Markdown."""
    text = re.sub(r":\w+:`[~.\w]*?(\w+)`", r"`\1`", docstring or "").replace("``", "`")
    text = re.sub(r"(?<![`\w/])[\w/-]+\.(?:py|yaml):\d+", r"`\g<0>`", text)
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), fixes_page())
