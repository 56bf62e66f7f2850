"""Registries: the classes that an option chooses from, by the names that the option gives them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

from torch import nn

from ..errors import UserError
from ..settings import extensions

T = TypeVar("T")


class Registry(dict[str, type[T]]):
    """Classes of one kind by name.

    A class in any file takes part once it is registered, which must happen before the model is
    built::

        @SEQUENCE_ENCODERS.register("mine")
        class MyEncoder(SequenceEncoder): ...

    The names of its constructor's keyword arguments are the names of its options, see
    :func:`~recbole_mmdistill.model.build.keyword_arguments`.

    Parameters
    ----------
    kind : str
        What the classes are, for messages.
    option : str
        The option that chooses from them.
    """

    def __init__(self, kind: str, option: str) -> None:
        super().__init__()
        self.kind = kind
        self.option = option

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Give a decorator that registers a class.

        Parameters
        ----------
        name : str
            What the option calls it.

        Returns
        -------
        callable
            Returns the class as it is.

        Raises
        ------
        UserError
            Another class has the name.
        """

        def decorate(added: type[T]) -> type[T]:
            known = self.get(name)
            if known is not None and _path(known) != _path(added):  # a notebook's cell runs again
                raise UserError(
                    f"The {self.kind} {name!r} is registered already, as {_path(known)}.",
                    "Register the class under another name.",
                )
            self[name] = added
            extensions.add(self.option, name, constructor_parameters(added))
            return added

        return decorate


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def constructor_parameters(component: type) -> dict[str, inspect.Parameter]:
    """Keyword arguments of a constructor; with ``**options``, those of its base class too."""
    found: dict[str, inspect.Parameter] = {}
    for cls in component.__mro__:
        if "__init__" not in vars(cls) or cls in (object, nn.Module):
            continue
        _, *parameters = inspect.signature(vars(cls)["__init__"]).parameters.values()
        for parameter in parameters:
            if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                found.setdefault(parameter.name, parameter)
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found
