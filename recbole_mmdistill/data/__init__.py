"""RecBole's sequential data with features, built lazily and trained on windows."""

import recbole  # noqa: F401  (first: with it comes the import of the modules below, in order)

from .dataloader import WindowDataLoader
from .dataset import MultiModalSequentialDataset

__all__ = ["MultiModalSequentialDataset", "WindowDataLoader"]
