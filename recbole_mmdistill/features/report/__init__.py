"""A report on features before training on them: coverage, norms, duplicates, neighbours."""

from .overview import FeatureOverview, inspect_features
from .page import default_path, render_page
from .text import as_text

__all__ = ["FeatureOverview", "as_text", "default_path", "inspect_features", "render_page"]
