"""What a value may be: the kinds that the comments of the property files name.

A comment reads ``# (type, interval) text``, for example ``(int, [1, inf))``, ``(list of float)`` or
``(str or dict)``; the interval is this package's addition to the way RecBole writes them. Choices
are read from the text: ``in ['BPR', 'CE']``; ``in any case`` after them says that capitals do not
matter.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

_SPEC = re.compile(
    r"\((?P<types>[A-Za-z_ ]+)(?:,\s*(?P<interval>[\[(][^\])]*[\])])|,[^)]*)?\)\s*(?P<text>.*)"
)
_CHOICES = re.compile(r"(?:\bin|:|matrix)\s*`{0,2}\[([^\]]+)\]")
_TYPES = ("int", "float", "bool", "str", "list", "dict", "None")
_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
    "str": "a text",
    "list": "a list",
    "dict": "a mapping",
    "None": "~",
}
_LARGEST = 2**63 - 1
_DEEPEST, _MOST = 20, 100_000


@dataclass(frozen=True)
class Interval:
    """Numbers from one end to another, as ``[0, 1)`` writes them."""

    low: float
    high: float
    low_is_in: bool
    high_is_in: bool

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Read ``[0, inf)``; raises ValueError for what is none."""
        low, high = (float(end) for end in text[1:-1].split(","))
        if text[0] not in "[(" or text[-1] not in "])" or not low <= high:
            raise ValueError(f"{text!r} is no interval")
        return cls(low, high, text[0] == "[", text[-1] == "]")

    def __contains__(self, number: float) -> bool:
        above = self.low <= number if self.low_is_in else self.low < number
        return above and (number <= self.high if self.high_is_in else number < self.high)

    def __str__(self) -> str:
        low = f"{self.low:g} or more" if self.low_is_in else f"above {self.low:g}"
        if math.isinf(self.high):
            return low
        if self.high > 10**6:  # ``%g`` would round it
            return f"from {int(self.low)} to {int(self.high)}"
        last = "to" if self.high_is_in else "to below"
        return f"{'from' if self.low_is_in else 'above'} {self.low:g} {last} {self.high:g}"


@dataclass(frozen=True)
class Kind:
    """What the value of an option may be.

    Attributes
    ----------
    types : tuple of str
        Of ``int``, ``float``, ``bool``, ``str``, ``list``, ``dict``, ``None``; empty for any.
    items : str
        The type of a list's items; empty for any.
    interval : Interval or None
        Where a number, or each number of a list, must lie.
    choices : tuple of str
        The only texts that are allowed; empty for all.
    any_case : bool
        Whether the choices, which are in lower case, may be written in capitals.
    """

    types: tuple[str, ...] = ()
    items: str = ""
    interval: Interval | None = None
    choices: tuple[str, ...] = ()
    any_case: bool = False

    def __str__(self) -> str:
        if not self.types:
            return "any value"
        parts = []
        for name in self.types:
            if name == "str" and self.choices:
                parts.append("one of " + ", ".join(self.choices))
            elif name == "list" and self.items:
                parts.append("a list of " + _NAMES[self.items].split(" ", 1)[1] + "s")
            else:
                parts.append(_NAMES[name])
        return " or ".join(parts) + (f", {self.interval}" if self.interval else "")

    def accepts(self, value: Any) -> bool:
        """Whether a value of plain data (:func:`not_plain`) is of this kind."""
        if not self.types:
            return True
        if value is None:
            return "None" in self.types
        if isinstance(value, str):
            word = value.lower() if self.any_case else value
            return "str" in self.types and (not self.choices or word in self.choices)
        if isinstance(value, (list, tuple)):
            return "list" in self.types and all(self._accepts_item(item) for item in value)
        if isinstance(value, Mapping):
            return "dict" in self.types
        if isinstance(value, bool):
            return "bool" in self.types
        return self._accepts_number(value, self.types)

    def _accepts_item(self, item: Any) -> bool:
        if not self.items:
            return True
        if isinstance(item, str):
            return self.items == "str"
        if isinstance(item, bool) or not isinstance(item, Real):
            return False
        return self._accepts_number(item, (self.items,))

    def _accepts_number(self, number: Any, types: tuple[str, ...]) -> bool:
        whole = isinstance(number, Integral)
        if not ("float" in types or ("int" in types and whole)):
            return False
        return self.interval is None or number in self.interval


def parse_comment(comment: str) -> tuple[Kind | None, str]:
    """Read the comment of an option.

    Parameters
    ----------
    comment : str
        What follows the ``#``.

    Returns
    -------
    kind : Kind or None
        None where the comment names no type.
    text : str
        The rest, for people.
    """
    found = _SPEC.match(comment.strip())
    if not found:
        return None, comment.strip()
    text = found["text"]
    words = [word.strip().replace("string", "str") for word in found["types"].split(" or ")]
    types = tuple(word.split(" of ")[0] for word in words)
    if not set(types) <= set(_TYPES):
        return None, text
    items = next((word.split(" of ")[1] for word in words if " of " in word), "")
    interval = Interval.parse(found["interval"]) if found["interval"] else None
    choices: tuple[str, ...] = ()
    if listed := _CHOICES.search(text):
        words = [word.strip(" '\"`") for word in listed[1].split(",")]
        if "str" in types and "list" not in types:
            choices = tuple(words)
        elif "float" in types and len(words) == 2:
            interval = Interval.parse(f"[{listed[1]}]")
    return Kind(types, items, interval, choices, "in any case" in text), text


def not_plain(value: Any) -> str:
    """Say why a value is not plain data that every part of a run can take; empty if it is.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str
        For example ``holds a number that is not finite``.
    """
    return next(_not_plain(value, _DEEPEST, [_MOST]), "")


def _not_plain(value: Any, depth: int, left: list[int]) -> Iterator[str]:
    left[0] -= 1
    if depth < 0 or left[0] < 0:
        yield "is nested too deeply or too large"
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _not_plain(item, depth - 1, left)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _not_plain(key, 0, left)
            yield from _not_plain(item, depth - 1, left)
    elif isinstance(value, (str, os.PathLike)):
        text = os.fspath(value)
        if not isinstance(text, str) or "\0" in text or (not text.isascii() and _is_broken(text)):
            yield "holds characters that no text can have"
    elif isinstance(value, bool) or value is None:
        pass
    elif isinstance(value, Integral):
        if abs(int(value)) > _LARGEST:
            yield "holds a whole number of more than 64 bits"
    elif isinstance(value, Real):
        if not math.isfinite(value):
            yield "holds a number that is not finite"
    else:
        yield f"holds a {type(value).__name__}, which is no setting"


def _is_broken(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
