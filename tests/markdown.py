"""README.md and docs/, and what stands in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def text_of(page):
    return page.read_text(encoding="utf-8")


def blocks(page, language):
    """The fenced blocks of a language."""
    return [text for kind, text in _FENCE.findall(text_of(page)) if kind == language]


def prose(page):
    """A page without its fenced blocks."""
    return _FENCE.sub("", text_of(page))


def inline_commands(page):
    """Commands that stand in a line of text or in a table."""
    return re.findall(r"`((?:python|pip|recbole-mm) [^`\n]+)`", prose(page))


def links(page):
    """Where the links of a page lead."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(page)))


def anchors(page):
    """What a link may have after its #: the headings, as code hosts and mkdocs name them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", line.lower())) for line in headings}
