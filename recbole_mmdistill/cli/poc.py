"""``recbole-mm poc``: from a sample of one's own files to a decision."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser, add_dedupe, add_reading, reading_of

EPILOG = """\
examples:
  recbole-mm poc orders.csv --user=customer --item=sku --time=bought_at --items=products.csv \\
      --item_id=sku --text=title,description --images=photos/ --output=poc/
  recbole-mm poc --dataset=shop --budget=2h --language=ja --output=poc/

Killed and started again with the same words, it goes on where it was.
"""
_UNITS = {"s": 1, "m": 60, "h": 3600}


def build_parser() -> Parser:
    """Describe the options."""
    parser = Parser(
        "poc",
        description="Says whether texts and pictures are worth it, from a sample of orders.",
        epilog=EPILOG,
    )
    parser.add_argument("source", metavar="ORDERS", type=Path, nargs="?", help="file of orders")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="the report's")
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="atomic files in place of ORDERS, or the new dataset's name",
    )
    parser.add_argument(
        "--data_path", type=Path, default=Path("dataset"), metavar="FOLDER", help="of --dataset"
    )
    columns = parser.add_argument_group("columns of ORDERS (told by their names)")
    for role in ("user", "item", "time"):
        columns.add_argument(f"--{role}", metavar="COLUMN")
    add_dedupe(parser)
    items = parser.add_argument_group("products")
    items.add_argument("--items", type=Path, metavar="FILE", help="their file or folder")
    items.add_argument("--item_id", metavar="COLUMN", help="the id there (told by its name)")
    items.add_argument("--text", metavar="COLUMNS", help="texts, e.g. title,description (likewise)")
    items.add_argument("--image", metavar="COLUMN", help="file name of a picture (the item's id)")
    items.add_argument("--images", type=Path, metavar="FOLDER", help="of the pictures")
    add_reading(parser, "ORDERS", columns, items=True)
    encoders = parser.add_argument_group("encoders (what this machine has)")
    encoders.add_argument("--text_encoder", metavar="NAME_OR_FOLDER", help="as of `extract`")
    encoders.add_argument("--image_encoder", metavar="NAME_OR_FOLDER", help="as of `extract`")
    encoders.add_argument("--image_weights", type=Path, metavar="FILE", help="of a timm model")
    parser.add_argument(
        "--budget", type=duration, default="30m", metavar="TIME", help="e.g. 90s, 30m, 2h (30m)"
    )
    parser.add_argument("--language", choices=("en", "ja"), default="en", help="of the report (en)")
    return parser


def duration(text: str) -> float:
    """Read a time such as ``30m``: seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 90s, 30m or 2h")
    return float(found[1]) * _UNITS[found[2]]


def main(words: Sequence[str]) -> None:
    """Run the verb."""
    given = vars(build_parser().parse_args(words))
    text = tuple(filter(None, (given.pop("text") or "").split(",")))
    # torch takes seconds to import: mistakes in the words have been told by now.
    from ..poc import Request, prove

    reading = reading_of(given)
    page = prove(Request(**given, text=text, reading=reading, words=tuple(words)))
    print(f"Written: {page}")
