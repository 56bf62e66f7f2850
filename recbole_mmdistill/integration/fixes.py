"""The registry of fixes: one function a fix, one fix a name of RecBole, in any order.

A name is written as ``module:path``, such as ``recbole.data.dataset.dataset:Dataset.build``. The
first line of a fix's docstring says what it does; the rest says where RecBole 1.2.1 breaks
(file:line) and why. ``recbole-mm doctor`` and docs/recbole-fixes.md are made from these docstrings.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

# Modules with fixes, in the order in which the documentation lists them.
MODULES = (
    "compat",
    "config",
    "no_eval",
    "atomic_files",
    "filters",
    "exact_time",
    "splits",
    "eval_batches",
    "presplit",
    "caches",
    "checkpoints",
    "loading",
    "numbering",
    "trainer",
    "training",
    "distributed",
    "case_study",
    "registration",
)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass
class Fix:
    """A change to RecBole, or to a library for RecBole's sake.

    Attributes
    ----------
    function : callable
        What does it; its docstring says why.
    names : tuple of str
        What it changes: the same object, wherever RecBole has a reference to it.
    needed : callable
        Whether RecBole breaks without it, with the libraries that are installed.
    new_value : callable or None
        Gives what takes a name's place, of the function and of what is there; None if a call of
        the function does it all.
    active : bool or None
        Whether it was needed; None before :meth:`apply`.
    originals : dict of str to object
        What the names stood for before.
    """

    function: Callable[..., Any]
    names: tuple[str, ...]
    needed: Callable[[], bool]
    new_value: Callable[[Any, Any], Any] | None
    active: bool | None = field(default=None, init=False)
    originals: dict[str, Any] = field(default_factory=dict, init=False)

    @property
    def name(self) -> str:
        """The module and the function, such as ``exact_time.build``."""
        return f"{self.module}.{self.function.__name__}"

    @property
    def module(self) -> str:
        """The module of this package in which it stands, without the package."""
        return self.function.__module__.rpartition(".")[2]

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return self.docstring.partition("\n")[0]

    @property
    def docstring(self) -> str:
        """What it does, and where and why RecBole breaks."""
        return inspect.cleandoc(self.function.__doc__ or "")

    def apply(self) -> None:
        """Change what the names stand for if it is needed; once, however often it is called."""
        if self.active is not None:
            return
        self.active = self.needed()
        if not self.active:
            return
        if self.new_value is None:
            self.function()
            return
        for name in self.names:
            owner, attribute = _locate(name)
            self.originals[name] = getattr(owner, attribute, None)
            setattr(owner, attribute, self.new_value(self.function, self.originals[name]))


_by_name: dict[str, Fix] = {}
_fixes: list[Fix] = []


def all_fixes() -> list[Fix]:
    """Give the fixes, in the order of the documentation."""
    import_module("recbole")  # first: it applies them, and some modules here import its parts
    for module in MODULES:
        import_module(f".{module}", __package__)
    return sorted(_fixes, key=lambda fix: MODULES.index(fix.module))


def original(name: str) -> Any:
    """Give what RecBole itself has under a name that a fix has changed."""
    return _by_name[name].originals[name]


def _always() -> bool:
    return True


def replaces(*names: str, needed: Callable[[], bool] = _always) -> Decorator:
    """Let a function take the place of RecBole's own.

    Parameters
    ----------
    *names : str
        Where RecBole has it.
    needed : callable
        Whether RecBole breaks without it; by default it always does.

    Returns
    -------
    callable
        A decorator, which leaves the function as it is.
    """
    return functools.partial(_register, names, needed, lambda function, _: function)


def extends(*names: str, needed: Callable[[], bool] = _always) -> Decorator:
    """Let a function be called in place of RecBole's own, with that as its first argument.

    Takes and returns the same as :func:`replaces`.
    """
    return functools.partial(_register, names, needed, _extend)


def patches(*names: str, needed: Callable[[], bool] = _always) -> Decorator:
    """Let a function without arguments be called once, which changes something by itself.

    Takes and returns the same as :func:`replaces`.
    """
    return functools.partial(_register, names, needed, None)


def _extend(function: Callable[..., Any], recboles: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(recboles, updated=())
    def extended(*args: Any, **kwargs: Any) -> Any:
        return function(recboles, *args, **kwargs)

    return extended


def _register(
    names: tuple[str, ...],
    needed: Callable[[], bool],
    new_value: Callable[[Any, Any], Any] | None,
    function: Callable[..., Any],
) -> Callable[..., Any]:
    fix = Fix(function, names, needed, new_value)
    for name in names:
        if name in _by_name:
            raise ValueError(f"{name} is fixed by {_by_name[name].name} and by {fix.name}")
        _by_name[name] = fix
    _fixes.append(fix)
    return function


def _locate(name: str) -> tuple[Any, str]:
    """Give the module or class that has a name, and the attribute there."""
    module, _, path = name.partition(":")
    *outer, attribute = path.split(".")
    return functools.reduce(getattr, outer, import_module(module)), attribute
