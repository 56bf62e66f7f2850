"""``recbole-mm import``: a user's own files become a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser, add_dedupe, add_reading, not_negative, positive, reading_of

EPILOG = """\
SOURCE is CSV, TSV, Parquet or JSON lines (packed with gzip, too), or a folder of parts. These are
known by sight and need no options: the folders of MovieLens (100K, 1M, 10M, 20M, latest), of Amazon
Reviews (2018 and 2023, reviews and metadata), of MMRec (.inter with x_label) and of UniSRec.

examples:
  recbole-mm import orders.csv --user=customer --item=sku --time=bought_at --dataset=shop \\
      --items=products.parquet --item_id=sku --text=title,description --image=photo
  recbole-mm import clicks/ --dataset=clicks --dedupe --min_user=5 --min_item=5
  recbole-mm import ml-1m/

It says what it takes the columns for, and stops if it cannot tell. What it read, dropped and wrote
is in DATASET.import.json beside the dataset.
"""


def build_parser() -> Parser:
    """Describe the options."""
    parser = Parser("import", description="Makes a dataset of a user's own files.", epilog=EPILOG)
    parser.add_argument("source", metavar="SOURCE", type=Path, help="file or folder to read")
    parser.add_argument("--dataset", metavar="NAME", help="of the new dataset (the source's)")
    parser.add_argument(
        "--data_path",
        type=Path,
        default=Path("dataset"),
        metavar="FOLDER",
        help="where datasets lie (dataset/)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a dataset of this name")
    columns = parser.add_argument_group("columns of SOURCE, by name, or by number from 1")
    columns.add_argument("--user", metavar="COLUMN", help="the user's id (told by its name)")
    columns.add_argument("--item", metavar="COLUMN", help="the item's id (likewise)")
    columns.add_argument(
        "--time", metavar="COLUMN", help="when it was (likewise; none: the order of the rows)"
    )
    columns.add_argument("--rating", metavar="COLUMN", help="a number, if there is one (likewise)")
    items = parser.add_argument_group("items")
    items.add_argument(
        "--items", type=Path, metavar="FILE", help="their file or folder (SOURCE, if it has texts)"
    )
    items.add_argument("--item_id", metavar="COLUMN", help="the id there (told by its name)")
    items.add_argument("--text", metavar="COLUMNS", help="texts, e.g. title,brand (likewise)")
    items.add_argument("--image", metavar="COLUMN", help="file name of a picture (likewise)")
    items.add_argument(
        "--images", type=Path, metavar="FOLDER", help="of the pictures, to count those that lack"
    )
    items.add_argument(
        "--unused_items",
        choices=("keep", "drop"),
        help="items without interactions (kept; dropped with --min_item and for Amazon's metadata)",
    )
    filters = parser.add_argument_group("filters, in this order")
    add_dedupe(filters)
    filters.add_argument(
        "--keep_last", type=positive, default=0, metavar="N", help="keep the last N rows of a user"
    )
    filters.add_argument(
        "--min_user", type=not_negative, default=0, metavar="N", help="rows that a user must have"
    )
    filters.add_argument(
        "--min_item", type=not_negative, default=0, metavar="N", help="and an item, repeatedly"
    )
    add_reading(parser, "SOURCE", columns, items=True)
    return parser


def main(words: Sequence[str]) -> None:
    """Run the verb."""
    given = vars(build_parser().parse_args(words))
    # DuckDB takes a moment to import: mistakes in the words have been told by now.
    from ..intake import Request, import_dataset

    reading = reading_of(given)
    text = tuple(filter(None, (given.pop("text") or "").split(",")))
    report = import_dataset(Request(**given, text=text, **reading._asdict()), say=print)
    print(report.text())
