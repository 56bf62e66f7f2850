"""No text is evaluated as Python.

``eval`` runs whatever a text says. Each module below gets a function ``eval`` of its own.
"""

from __future__ import annotations

from typing import Any

from ..errors import UserError, near, show
from ..settings import literal
from .fixes import replaces


@replaces("recbole.model.context_aware_recommender.kd_dagfm:eval")
def teacher_by_name(name: str) -> Any:
    """Look KD_DAGFM's ``teacher`` up among the networks of its module.

    model/context_aware_recommender/kd_dagfm.py:44 evaluates the option.
    """
    from recbole.model.context_aware_recommender.kd_dagfm import CIN, CrossNet

    teachers = {"CrossNet": CrossNet, "CIN": CIN}
    if name not in teachers:
        raise UserError(
            f"teacher is {show(name)}, not one of {', '.join(teachers)}.",
            f"Give one of these{near(name, teachers)}.",
        )
    return teachers[name]


@replaces("recbole.trainer.hyper_tuning:eval")
def choices_as_literal(text: str) -> Any:
    """Read the choices in a parameter file of HyperTuning as a literal.

    trainer/hyper_tuning.py:239 evaluates what follows ``choice`` in a line of the file.
    """
    value = literal(text)
    if not isinstance(value, (list, tuple)):
        raise UserError(
            f"The parameter file has the choices {show(text)}, which are no list.",
            "Write a list such as [0.1, 0.2] or ['a', 'b'].",
        )
    return value
