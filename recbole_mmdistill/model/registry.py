"""Registries: the classes that an option chooses from, by the names that the option gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import UserError

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
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

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
            return added

        return decorate


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
