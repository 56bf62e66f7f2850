"""How the words of a command line are read: as data, never evaluated."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Sequence
from typing import Any

from ..errors import UserError, near, show
from .yaml_file import parse_yaml

_KEPT = (str, int, float, list, tuple, dict, bool)


def literal(text: str) -> Any:
    """Read a value as it is typed: a number, list, dict, True, None, or else the text itself.

    Parameters
    ----------
    text : str
        For example ``1e-3``, ``[text, image]``, ``{'LS': 'test_only'}``, ``SASRec``.

    Returns
    -------
    object
        A str, int, float, list, tuple, dict, bool or None.
    """
    stripped = text.strip()
    if stripped.lower() in ("true", "false"):
        return stripped.lower() == "true"
    try:
        value = ast.literal_eval(stripped)
        return value if value is None or isinstance(value, _KEPT) else text
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    if stripped[:1] in ("[", "{") or stripped == "~":
        # Words without quotes in brackets, as YAML has them; Python's literals need the quotes.
        try:
            return parse_yaml(text)
        except UserError:
            pass
    return text


def as_typed(text: str) -> Any:
    """Read the value of an option that can only be a text: ``007`` and ``1e5`` stay as they are.

    Parameters
    ----------
    text : str
        As it is typed; quotes around it, and ``None`` or ``~``, mean what they mean elsewhere.

    Returns
    -------
    str or None
    """
    value = literal(text)
    return value if value is None or isinstance(value, str) else text


def parse_command_line(
    argv: Sequence[str], is_text: Callable[[str], bool] = lambda key: False
) -> tuple[dict[str, Any], list[str]]:
    """Read ``--key=value`` and ``--key value``; the value is all that follows the first ``=``.

    Parameters
    ----------
    argv : sequence of str
        Words without the program's name.
    is_text : callable
        Whether the option of this name can only be a text (:func:`as_typed`).

    Returns
    -------
    settings : dict of str to object
        The values read by :func:`literal`.
    rest : list of str
        Words that are neither a key nor a value.

    Raises
    ------
    UserError
        A key is given twice with different values.
    """
    settings: dict[str, Any] = {}
    rest: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("--") or word == "--":
            rest.append(word)
            continue
        key, equals, value = word[2:].partition("=")
        if not equals:
            if not words or words[0].startswith("--"):
                rest.append(word)
                continue
            value = words.pop(0)
        read = as_typed(value) if is_text(key) else literal(value)
        if key in settings and settings[key] != read:
            raise UserError(
                f"--{key} is given twice, as {show(settings[key])} and as {show(read)}.",
                "Keep one.",
            )
        settings[key] = read
    return settings, rest


def refuse_rest(rest: Sequence[str], known: Collection[str]) -> None:
    """Refuse words of a command line that are no option with a value.

    Parameters
    ----------
    rest : sequence of str
        As :func:`parse_command_line` gives them.
    known : collection of str
        Names of options, for the hint.

    Raises
    ------
    UserError
        There is one; the message names all of them.
    """
    if not rest:
        return
    wrong = []
    for word in rest:
        key = word.lstrip("-").partition("=")[0]
        hint = near(key, [f"--{name}" for name in known])
        if word.startswith("--") and key in known:
            wrong.append(f"{word} has no value")
        else:
            wrong.append(f"{show(word)} is no option with a value{hint}")
    raise UserError("; ".join(wrong) + ".", "Write options as --key=value.")
