"""Sentences of the report, by catalogues in one file for each language."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml

LANGUAGES = ("en", "ja")
_GAINS, _MOST_GAIN = {"gain", "low", "high", "over", "over_low", "over_high"}, 10.0
# Values that are translated, and the kind of name that they are.
_NAMED = {"source": "name", "stage": "stage", "other": "stage", "best": "stage"}


@cache
def catalogue(language: str) -> dict[str, str]:
    """Read the texts of a language."""
    path = resources.files(__package__) / "texts" / f"{language}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


class GainText(float):
    """A share that reads as a number of that kind can be read: over almost nothing, it has none."""

    def __format__(self, spec: str) -> str:
        return f"> +{_MOST_GAIN:,.0%}" if self > _MOST_GAIN else super().__format__(spec)


class Texts:
    """Sentences of one language.

    Parameters
    ----------
    language : str
        One of :data:`LANGUAGES`.
    """

    def __init__(self, language: str) -> None:
        self._of = catalogue(language)

    def __call__(self, key: str, **values: Any) -> str:
        """Give a text, its values put in; those that are names of sources or stages translated."""
        values |= {name: GainText(values[name]) for name in _GAINS & values.keys()}
        for name, kind in _NAMED.items():
            if name in values:
                values[name] = self.name(values[name], kind)
        if "stages" in values:
            names = [self.name(name, "stage") for name in values["stages"]]
            values["stages"] = self._of["comma"].join(names)
        if "reason" in values:
            values["reason"] = self._of[f"reason_{values['reason']}"]
        return self._of[key].format(**values)

    def name(self, name: str, kind: str = "name") -> str:
        """Translate the name of a source (``name``) or of a ``stage``."""
        return self._of.get(f"{kind}_{name}", self._of.get(f"name_{name}", name))
