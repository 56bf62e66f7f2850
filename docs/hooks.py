"""Links out of docs/, which work on a code host, are plain text in the built site."""

import re
from typing import Any


def on_page_markdown(markdown: str, **given: Any) -> str:
    """Take such links out of a page before it is built (called by mkdocs)."""
    return re.sub(r"\[([^\]]*)\]\(\.\./[^)]*\)", r"\1", markdown)
