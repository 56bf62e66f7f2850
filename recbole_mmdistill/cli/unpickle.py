"""``recbole-mm unpickle``: an old checkpoint of RecBole, which may run code, into a safe one."""

from __future__ import annotations

from collections.abc import Sequence

from .arguments import Parser

ABOUT = """\
Converts a checkpoint that RecBole pickled into one of tensors and plain data.

WARNING: a pickle is a program. This verb runs whatever OLD.pth says, with all your rights. Use it
only on a file that you made yourself, or whose maker you trust as you trust the maker of a program.

An old checkpoint does not say which items and users its rows belong to. So the new one fits only
the very files that it was trained on.
"""


def main(words: Sequence[str]) -> None:
    """Run the verb; see :data:`ABOUT`."""
    parser = Parser("unpickle", description=ABOUT)
    parser.add_argument("old", metavar="OLD.pth", help="a checkpoint that you trust")
    parser.add_argument("new", metavar="NEW.pth", help="where the safe one is written")
    options = parser.parse_args(words)
    from ..integration.resuming import convert_trusted

    convert_trusted(options.old, options.new)
    print(f"{options.new} holds tensors and plain data alone.")
