"""``recbole-mm serve``: an export as an HTTP service."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser, not_negative, positive

EPILOG = """\
A page at / tries it, /openapi.json says what may be asked. A new export in the folder is taken up
while the service runs. Ctrl-C and SIGTERM end it; what runs is finished.

examples:
  recbole-mm serve served/
  recbole-mm serve served/ --host=0.0.0.0 --token_file=token.txt

It needs `pip install "recbole-mmdistill[serve]"`.
"""


def build_parser() -> Parser:
    """Describe the options."""
    parser = Parser("serve", description="Serves an export by HTTP.", epilog=EPILOG)
    parser.add_argument("export", metavar="EXPORT", type=Path, help="a folder of recbole-mm export")
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="to listen at (127.0.0.1)"
    )
    parser.add_argument(
        "--port", type=not_negative, default=8080, metavar="N", help="(8080); 0: any that is free"
    )
    parser.add_argument(
        "--token_file", type=Path, metavar="FILE", help="holds the token that requests must show"
    )
    parser.add_argument(
        "--without_token",
        action="store_true",
        help="let everybody ask who can reach --host",
    )
    parser.add_argument(
        "--threads",
        type=positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="requests computed at the same time (the cores)",
    )
    parser.add_argument(
        "--exact", action="store_true", help="look at every item, although there is an index"
    )
    return parser


def main(words: Sequence[str]) -> None:
    """Run the verb."""
    given = build_parser().parse_args(words)
    from ..service.server import Request, serve

    serve(Request(**vars(given)))
