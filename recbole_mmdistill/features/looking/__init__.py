"""Looking at features before training on them: coverage, norms, duplicates, neighbours."""

from .inspection import inspect_features
from .overview import FeatureOverview
from .page import default_path, render_page
from .popularity import GROUPS, RULE, popularity_groups
from .text import as_text

__all__ = [
    "GROUPS",
    "RULE",
    "FeatureOverview",
    "as_text",
    "default_path",
    "inspect_features",
    "popularity_groups",
    "render_page",
]
