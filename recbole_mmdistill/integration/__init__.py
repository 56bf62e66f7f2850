"""All that touches RecBole's insides; nothing else in this package patches anything.

Each change to RecBole is a fix (:mod:`.fixes`).
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType


@cache
def install() -> None:
    """Import RecBole, and apply every fix that it needs; once, however often it is asked for."""
    from . import compat, fixes

    compat.import_recbole()
    for fix in fixes.all_fixes():
        fix.apply()


def install_with_recbole() -> None:
    """Install now if RecBole is imported already, else as soon as it is.

    RecBole and torch take seconds to import. Whoever only reads a help text, or interrupts a
    command in its first moments, should not have to wait for them.
    """
    if "recbole" in sys.modules:
        install()
    else:
        sys.meta_path.insert(0, _RecBoleFinder())


class _RecBoleFinder:
    """Finds RecBole as ever, and lets :func:`install` follow its first import."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != "recbole":
            return None
        sys.meta_path.remove(self)
        try:
            spec = find_spec(name)
        finally:
            sys.meta_path.insert(0, self)  # who looks for RecBole need not import it
        if spec is not None and spec.loader is not None:
            spec.loader = _InstallingLoader(spec.loader)  # type: ignore[assignment]
        return spec


class _InstallingLoader:
    """Loads the package ``recbole``, which is next to empty, and then installs."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _RecBoleFinder)]
        install()
