"""The one error that a user's mistake raises, and what helps to find and to name a mistake."""

import difflib
from collections.abc import Iterable
from typing import Any


class UserError(ValueError):
    """A mistake in what the user gave: the command line prints it and exits with code 2.

    Parameters
    ----------
    what : str
        One sentence that says what is wrong, with the value seen.
    remedy : str
        One sentence that says what to do.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} {remedy}")
        self.what = what
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["UserError"], tuple[str, str]]:
        return type(self), (self.what, self.remedy)


def near(name: str, names: Iterable[str]) -> str:
    """Give a clause that names what is spelt nearly so, or nothing.

    Parameters
    ----------
    name : str
        What was asked for.
    names : iterable of str
        What there is.

    Returns
    -------
    str
        For example ``"; near it: SASRec"``.
    """
    by_lower = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), by_lower, 3, 0.6)
    return f"; near it: {', '.join(by_lower[c] for c in close)}" if close else ""


def show(value: Any) -> str:
    """Write a value for a message: short, on one line, whatever it is.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str
        Its ``repr``, shortened.
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a list in itself
        return f"a very large {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:60]}...{text[-10:]}"
