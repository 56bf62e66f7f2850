"""The command line: verbs, and how a user's mistake ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from .. import __version__
from ..errors import UserError, near

VERBS = {
    "import": "make a dataset of your own files: CSV, TSV, Parquet, JSON lines",
    "run": "train a model of RecBole or of this package, and print its test metrics",
    "extract": "make a feature file from a dataset's texts or images",
    "features": "look at a dataset's features: coverage, duplicates, neighbours",
    "benchmark": "run models side by side, and report",
    "convert": "turn features of other tools into feature files, and back",
}
_MODULES = {"import": "import_"}  # a word of Python's own is no module's name
USAGE = "\n".join(
    [
        "usage: recbole-mm <verb> [options]",
        "",
        *(f"  {verb:<10} {purpose}" for verb, purpose in VERBS.items()),
        "",
        "`recbole-mm <verb> --help` lists the options of a verb.",
    ]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Words after the program's name, by default those of ``sys.argv``.

    Returns
    -------
    int
        0; 2 after a mistake of the user's, which is told in a line on stderr; 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if words == ["--version"]:
        print(f"recbole-mm {__version__}")
        return 0
    try:
        if words[0] not in VERBS:
            raise UserError(
                f"There is no verb {words[0]!r}.",
                f"Say `recbole-mm --help`{near(words[0], VERBS)}.",
            )
        import_module(f".{_MODULES.get(words[0], words[0])}", __name__).main(words[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except SystemExit as done:  # how argparse ends after --help
        return int(done.code or 0)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0
