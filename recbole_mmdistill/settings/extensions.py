"""What components that a user registers add to the options: names to choose from, and options."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

_choices: dict[str, set[str]] = defaultdict(set)
_options: set[str] = set()


def add(option: str, name: str, parameters: Iterable[str]) -> None:
    """Let an option have one more value, and let there be the options of what it chooses.

    Parameters
    ----------
    option : str
        The option, for example ``sequence_encoder``.
    name : str
        The component's name.
    parameters : iterable of str
        Its constructor's keyword arguments: ``x`` can be given as the option ``NAME_x``.
    """
    _choices[option].add(name)
    _options.update(f"{name}_{parameter}" for parameter in parameters)


def is_choice(option: str, value: Any) -> bool:
    """Whether a component of this name is registered for an option."""
    return isinstance(value, str) and value in _choices[option]


def is_option(name: str) -> bool:
    """Whether a registered component reads an option of this name."""
    return name in _options
