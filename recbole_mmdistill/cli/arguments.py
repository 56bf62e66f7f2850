"""Options with a meaning and a type, whose mistakes are those of any user."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import UserError

if TYPE_CHECKING:
    from ..intake.reading import Reading


class Parser(argparse.ArgumentParser):
    """An argument parser that raises a UserError where argparse would print its usage.

    Parameters
    ----------
    verb : str
        The verb of ``recbole-mm``.
    **options
        Of ``argparse.ArgumentParser``.
    """

    def __init__(self, verb: str, **options: Any) -> None:
        super().__init__(
            prog=f"recbole-mm {verb}",
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read words; several checkpoints are a mistake of its own, as a shell's pattern makes it.

        Raises
        ------
        UserError
            An option is unknown, or a checkpoint is given where one was already.
        """
        for word, before in zip(args, ["", *args]):
            name = word.removesuffix("=") if word else before
            if (not word or word.endswith("=")) and name in self._option_string_actions:
                self.error(f"argument {name}: nothing is given for it")
        given, rest = self.parse_known_args(args, namespace)
        places = [action.dest for action in self._actions if not action.option_strings]
        words = [*(str(getattr(given, place)) for place in places), *rest]
        checkpoints = [word for word in words if word.endswith(".pth")]
        if "checkpoint" in places and len(checkpoints) > 1:
            raise UserError(
                f"One checkpoint is wanted, but {len(checkpoints)} are given: "
                f"{', '.join(checkpoints[:5])}{', ...' * (len(checkpoints) > 5)}.",
                "Name one of them.",
            )
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return given

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the words as a UserError."""
        what = message[:1].upper() + message[1:]
        raise UserError(f"{what.rstrip('.')}.", f"Say `{self.prog} --help`.")


def add_dataset(parser: Parser, positional: bool = False) -> None:
    """Add the options that name a dataset, spelt as RecBole's.

    Parameters
    ----------
    parser : Parser
        To add to.
    positional : bool
        Whether the dataset is the word without a key.
    """
    required: dict[str, Any] = {} if positional else {"required": True}
    name = "dataset" if positional else "--dataset"
    parser.add_argument(
        name, metavar="DATASET", help="name of the dataset, e.g. ml-100k", **required
    )
    parser.add_argument(
        "--data_path", default="dataset/", metavar="FOLDER", help="where datasets lie (dataset/)"
    )
    parser.add_argument(
        "--ITEM_ID_FIELD", default="item_id", metavar="FIELD", help="column of the items (item_id)"
    )


def add_people(parser: argparse._ActionsContainer) -> None:
    """Add what names people: users, or a file of histories and its columns."""
    parser.add_argument(
        "--users", metavar="A,B|FILE", help="users of the dataset: ids, or a file of them"
    )
    parser.add_argument(
        "--histories", type=Path, metavar="FILE", help="rows of user, item, time: of anybody"
    )
    for role in ("user", "item", "time"):
        parser.add_argument(f"--{role}", metavar="COLUMN", help="of --histories (by its name)")


_YES = {None: None, "yes": True, "no": False}
_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}


def add_reading(
    parser: argparse.ArgumentParser,
    source: str,
    times: argparse._ActionsContainer | None = None,
    items: bool = False,
) -> None:
    """Add what says how a user's text files are read; :func:`reading_of` takes it.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Gets the options in a group of their own.
    source : str
        How the help calls the file.
    times : argparse group, optional
        Gets the form of times, if the file has times.
    items : bool
        Whether there is a file of items, too.
    """
    if times is not None:
        times.add_argument(
            "--time_format", metavar="FORMAT", help="s, ms, us, ns, or e.g. %%d.%%m.%%Y (found out)"
        )
    text = parser.add_argument_group("text files, where it cannot be told")
    text.add_argument(
        "--separator",
        type=lambda word: _SEPARATORS.get(word, word),
        metavar="CHAR",
        help=f"between the cells of {source}; or tab",
    )
    text.add_argument("--encoding", metavar="NAME", help=f"of {source} (utf-8), e.g. cp1252")
    text.add_argument("--header", choices=("yes", "no"), help=f"whether {source} has one")
    if items:
        text.add_argument("--items_encoding", metavar="NAME", help="of --items (utf-8)")
        text.add_argument("--items_header", choices=("yes", "no"), help="whether --items has one")
    text.add_argument("--no_quotes", action="store_true", help=f'in {source} " is part of a text')


def reading_of(given: dict[str, Any]) -> Reading:
    """Take what :func:`add_reading` has added out of the options."""
    from ..intake.reading import Reading, Wanted

    wanted = Wanted(
        separator=given.pop("separator"),
        header=_YES[given.pop("header")],
        quoted=False if given.pop("no_quotes") else None,
    )
    names = ("encoding", "items_encoding", "time_format")
    named = {name: given.pop(name) for name in names if name in given}
    return Reading(wanted, items_header=_YES[given.pop("items_header", None)], **named)


def add_dedupe(parser: argparse._ActionsContainer) -> None:
    """Add the filter that keeps one row of each user and item."""
    parser.add_argument(
        "--dedupe",
        nargs="?",
        const="first",
        choices=("first", "last"),
        help="keep one row of each user and item: the first in time, or the last",
    )


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def not_negative(text: str) -> int:
    """Read a whole number from 0 on."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return number
