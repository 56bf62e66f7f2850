"""RecBole's sequential data with features, built lazily and trained on windows."""

from .dataloader import WindowDataLoader
from .dataset import MultiModalSequentialDataset

__all__ = ["MultiModalSequentialDataset", "WindowDataLoader"]
