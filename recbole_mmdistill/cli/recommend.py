"""``recbole-mm recommend``: a file of recommendations from a checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser, add_people, add_reading, positive, reading_of

EPILOG = """\
FILEs are CSV, TSV, Parquet or JSON lines; a file of ids may also have one a line. The output has a
row for each recommendation: user, rank, item, score, and by: model, or popularity where nothing of
the history is known. With --shares it has a column for what each source adds to the score.

examples:
  recbole-mm recommend saved/IDMMDistill-....pth --output=recs.parquet
  recbole-mm recommend saved/IDMMDistill-....pth --histories=visitors.csv --k=20 --output=recs.csv
  recbole-mm recommend saved/IDMMDistill-....pth --users=vips.txt --only=in_stock.txt \\
      --weights=text:2 --shares --output=recs.jsonl
"""


def build_parser() -> Parser:
    """Describe the options."""
    parser = Parser("recommend", description="Recommends items by a trained model.", epilog=EPILOG)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="as a run saved it")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help=".parquet, .csv or .jsonl"
    )
    people = parser.add_argument_group("whom to recommend to (all users of the dataset)")
    add_people(people)
    parser.add_argument("--k", type=positive, default=10, metavar="N", help="items for each (10)")
    parser.add_argument(
        "--exclude",
        default="seen",
        metavar="seen|none|FILE",
        help="what is left out: items of the own history (seen); and those of a file",
    )
    parser.add_argument("--only", type=Path, metavar="FILE", help="items to choose from (all)")
    parser.add_argument(
        "--sources", type=names, default=(), metavar="A,B", help="branches that score (all)"
    )
    parser.add_argument(
        "--weights",
        type=_weights,
        default={},
        metavar="A:2,B:0.5",
        help="factors of what branches add to a score (1)",
    )
    parser.add_argument(
        "--shares", action="store_true", help="write what each branch adds to a score"
    )
    add_reading(parser, "FILE", people)
    return parser


def names(text: str) -> tuple[str, ...]:
    """Read names with commas between them."""
    return tuple(filter(None, (name.strip() for name in text.strip("[]").split(","))))


def _weights(text: str) -> dict[str, float]:
    weights = {}
    for part in names(text):
        name, _, number = part.rpartition(":")
        try:
            weights[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise argparse.ArgumentTypeError(f"{part!r} is no NAME:NUMBER")
    return weights


def main(words: Sequence[str]) -> None:
    """Run the verb."""
    given = vars(build_parser().parse_args(words))
    reading = reading_of(given)
    # torch takes seconds to import: mistakes in the words have been told by now.
    from ..serving.job import Request, write_recommendations

    print(write_recommendations(Request(**given, reading=reading)).text())
    print(f"Written: {given['output']}")
