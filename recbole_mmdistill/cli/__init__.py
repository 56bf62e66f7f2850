"""The command line: verbs, and how a command ends that cannot go on."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from .. import __version__, signals
from ..errors import UserError, near

VERBS = {
    "import": "make a dataset of your own files: CSV, TSV, Parquet, JSON lines",
    "poc": "say from a sample of orders whether texts and pictures are worth it",
    "run": "train a model of RecBole or of this package, and print its test metrics",
    "extract": "make a feature file from a dataset's texts or images",
    "features": "look at a dataset's features: coverage, duplicates, neighbours",
    "benchmark": "run models side by side, and report",
    "convert": "turn features of other tools into feature files, and back",
    "add-items": "add items to a trained model without training, or take some away",
    "explain": "say on a page why a trained model recommends what it recommends",
    "export": "make a folder that recommends without torch and RecBole",
    "serve": "answer by HTTP from such a folder, with a page to try it",
    "recommend": "recommend items to users by a trained model",
    "doctor": "try what of the installation works, and say what to do about the rest",
    "unpickle": "make a safe checkpoint of an old one of RecBole that you trust",
}
_MODULES = {"import": "import_", "add-items": "add_items"}  # no names of modules
USAGE = "\n".join(
    [
        "usage: recbole-mm <verb> [options]",
        "",
        *(f"  {verb:<10} {purpose}" for verb, purpose in VERBS.items()),
        "",
        "`recbole-mm <verb> --help` lists the options of a verb. All verbs know these, too:",
        "",
        "  --verbose  print the whole log, not only warnings",
        "  --debug    print where in the code an error comes from",
    ]
)

verbose = False  # whether the verb that runs was given --verbose


def program(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command line as a program of its own, which handles signals and ends the process.

    Parameters
    ----------
    argv : sequence of str, optional
        As :func:`main` has it.
    """
    # Threads that wait for one another hold their core for milliseconds, which a machine that has
    # other work has not. It must be said before torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        signals.install()
        from ..failures import print_no_traceback

        print_no_traceback()
        if not _is_first():
            logging.disable(logging.WARNING)
        signals.finish(main(argv))
    except KeyboardInterrupt:  # in the moments before and after main
        if _is_first():
            _complain(signals.message())
        signals.finish(signals.exit_code())


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Words after the program's name, by default those of ``sys.argv``.

    Returns
    -------
    int
        0; 2 if it cannot go on, with what is wrong and what to do in a line on stderr; 130 after
        Ctrl-C; 143 after SIGTERM; 141 if nobody reads the output any more.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = _take(words, "--debug")
    try:
        code = _run(words)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        if _is_first():
            _complain(signals.message())
        return signals.exit_code()
    except Exception as error:
        from ..failures import explain, is_nobody_reading

        if is_nobody_reading(error):
            return 141  # as a shell tells SIGPIPE
        if not _is_first():
            time.sleep(1)  # torchrun ends this process if the first has failed, which says why
        if debug:
            import traceback

            _complain("".join(traceback.format_exception(error)))
        _complain(f"error: {explain(error)}")
        return 2


def _run(words: list[str]) -> int:
    global verbose
    verbose = _take(words, "--verbose")
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if words == ["--version"]:
        print(f"recbole-mm {__version__}")
        return 0
    if words[0] not in VERBS:
        raise UserError(
            f"There is no verb {words[0]!r}.", f"Say `recbole-mm --help`{near(words[0], VERBS)}."
        )
    from importlib import import_module

    try:
        import_module(f".{_MODULES.get(words[0], words[0])}", __name__).main(words[1:])
    except SystemExit as done:  # how argparse ends after --help
        if isinstance(done.code, str):
            raise UserError(done.code, "") from None
        return int(done.code or 0)
    return 0


def _is_first() -> bool:
    """Whether this is the first of several processes that torchrun has started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def _complain(text: str) -> None:
    with suppress(OSError):  # where nobody reads stderr there is nobody to tell
        print(text, file=sys.stderr)


def _take(words: list[str], flag: str) -> bool:
    """Take a flag out of the words; whether it was there."""
    found = flag in words
    words[:] = [word for word in words if word != flag]
    return found
