"""Why a model recommends an item: by which source, and by which item of the history.

:class:`Explainer` explains recommendations one by one, :func:`summarise` many of them.
"""

from .explainer import Explainer, Explanation, Past
from .shapley import shapley_values
from .summary import Group, Summary, TakenAway, summarise

__all__ = [
    "Explainer",
    "Explanation",
    "Group",
    "Past",
    "Summary",
    "TakenAway",
    "shapley_values",
    "summarise",
]
