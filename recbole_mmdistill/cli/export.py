"""``recbole-mm export``: a folder that recommends without torch and RecBole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser
from .recommend import names

EPILOG = """\
examples:
  recbole-mm export saved/IDMMDistill-....pth served/
  recbole-mm export saved/IDMMDistill-....pth served/ --dtype=int8 --branches=id,text
  recbole-mm export saved/IDMMDistill-....pth served/ --index=ivf --recall=0.99

It needs `pip install "recbole-mmdistill[export]"`; an index needs "recbole-mmdistill[index]".
"""


def build_parser() -> Parser:
    """Describe the options."""
    parser = Parser(
        "export",
        description="Makes a folder that recommends by numpy and onnxruntime alone.",
        epilog=EPILOG,
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="as a run saved it")
    parser.add_argument(
        "output", metavar="OUT", type=Path, help="the folder; an export is replaced"
    )
    parser.add_argument(
        "--dtype", default="float32", metavar="float32|float16|int8", help="of the item table"
    )
    parser.add_argument(
        "--branches", type=names, default=(), metavar="A,B", help="branches that score (all)"
    )
    parser.add_argument("--index", choices=("ivf",), help="an approximate index, too")
    parser.add_argument(
        "--recall", type=float, default=0.99, metavar="R", help="at 10, of the index (0.99)"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="pictures to show, named <item_id>.jpg (images/ in the dataset's folder)",
    )
    parser.add_argument(
        "--title_field",
        metavar="FIELD",
        help="column of the titles to show (title, name, or what texts are made of)",
    )
    return parser


def main(words: Sequence[str]) -> None:
    """Run the verb."""
    given = build_parser().parse_args(words)
    from ..serving.export import Request, export

    print(export(Request(**vars(given))).text())
    print(f"Written: {given.output}")
