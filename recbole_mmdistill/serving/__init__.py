"""From a trained model to recommendations.

:class:`Recommender` works on a checkpoint, :class:`Runtime` on an export. Both are imported when
they are asked for: the runtime needs neither torch nor RecBole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .histories import Histories
    from .ranking import Recommendations
    from .recommender import Recommender
    from .runtime import Runtime

_MODULES = {
    "Histories": "histories",
    "Recommendations": "ranking",
    "Recommender": "recommender",
    "Runtime": "runtime",
}

__all__ = ["Histories", "Recommendations", "Recommender", "Runtime"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
