"""Texts that RecBole hands to ``eval``: each is looked up or parsed instead.

``Config`` has its own (:mod:`.config`). Both modules here get a global name ``eval`` that stands
before the built-in one.
"""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import UserError, near, show
from ..settings import literal


def install() -> None:
    """Replace ``eval`` where RecBole calls it on a setting or on a line of a file."""
    teacher_by_name()
    choices_as_literals()


def teacher_by_name() -> None:
    """Look KD_DAGFM's ``teacher`` up among the networks of its module.

    model/context_aware_recommender/kd_dagfm.py:44 evaluates the option.
    """
    module = importlib.import_module("recbole.model.context_aware_recommender.kd_dagfm")
    teachers = {"CrossNet": module.CrossNet, "CIN": module.CIN}

    def look_up(name: str) -> Any:
        if name not in teachers:
            raise UserError(
                f"teacher is {show(name)}, not one of {', '.join(teachers)}.",
                f"Give one of these{near(name, teachers)}.",
            )
        return teachers[name]

    vars(module)["eval"] = look_up


def choices_as_literals() -> None:
    """Read the choices of a parameter file of HyperTuning as literals.

    trainer/hyper_tuning.py:239 evaluates what follows ``choice`` in a line of the file.
    """
    module = importlib.import_module("recbole.trainer.hyper_tuning")

    def choices(text: str) -> Any:
        value = literal(text)
        if not isinstance(value, (list, tuple)):
            raise UserError(
                f"The parameter file has the choices {show(text)}, which are no list.",
                "Write a list such as [0.1, 0.2] or ['a', 'b'].",
            )
        return value

    vars(module)["eval"] = choices
