"""``recbole-mm explain``: a page that says why a model recommends what it recommends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser, add_people, add_reading, not_negative, positive, reading_of

EPILOG = """\
The page is one file that needs no network. It shows at most 20 people, and what carries the
recommendations for a sample of all users of the dataset, or of the people of --histories. If
nobody is named it shows 5 users of the dataset, with short, usual and long histories, always the
same.

examples:
  recbole-mm explain saved/IDMMDistill-....pth --output=why.html
  recbole-mm explain saved/IDMMDistill-....pth --users=12,47 --output=why.html
  recbole-mm explain saved/IDMMDistill-....pth --histories=visitors.csv --images=photos \\
      --output=why.html --json=why.json
"""


def build_parser() -> Parser:
    """Describe the options."""
    parser = Parser(
        "explain", description="Says why a trained model recommends an item.", epilog=EPILOG
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="as a run saved it")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.html", help="the page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the same numbers as JSON")
    people = parser.add_argument_group(
        "whose recommendations are explained one by one (5 users of the dataset)"
    )
    add_people(people)
    parser.add_argument("--k", type=positive, default=10, metavar="N", help="items for each (10)")
    parser.add_argument(
        "--exclude",
        choices=("seen", "none"),
        default="seen",
        help="whether items of the own history are left out (seen)",
    )
    parser.add_argument(
        "--sample",
        type=not_negative,
        default=1000,
        metavar="N",
        help="people for the whole (1000); 0 leaves it out",
    )
    parser.add_argument(
        "--seed", type=not_negative, default=0, metavar="N", help="to draw them with (0)"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="pictures named <item_id>.jpg (images/ in the dataset's folder)",
    )
    parser.add_argument(
        "--title_field",
        metavar="FIELD",
        help="column of the titles (title, name, or what texts are made of)",
    )
    add_reading(parser, "FILE", people)
    return parser


def main(words: Sequence[str]) -> None:
    """Run the verb."""
    given = vars(build_parser().parse_args(words))
    reading = reading_of(given)
    # torch takes seconds to import: mistakes in the words have been told by now.
    from ..explain.job import Request, write_explanation

    print(write_explanation(Request(**given, reading=reading)).text())
    print(f"Written: {given['output']}")
