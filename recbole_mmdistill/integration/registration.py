"""Makes RecBole find this package's model, dataset and dataloader by name."""

from __future__ import annotations

import importlib
import sys
from typing import Any

MODELS = {
    "IDMMDistill": "recbole_mmdistill.model.idmmdistill",
    "ODMT": "recbole_mmdistill.model.odmt",
}


def install() -> None:
    """Register the models with RecBole's look-ups, all of which go by name."""
    from recbole.data import utils
    from recbole.data.dataset import dataset as _  # noqa: F401  (the package must be complete)

    from ..data.dataloader import WindowDataLoader
    from ..data.dataset import MultiModalSequentialDataset

    datasets = importlib.import_module("recbole.data.dataset")
    for name, module in MODELS.items():
        # A real module under RecBole's name for it: get_model asks importlib for its spec.
        alias = f"recbole.model.sequential_recommender.{name.lower()}"
        sys.modules[alias] = importlib.import_module(module)
        setattr(datasets, f"{name}Dataset", MultiModalSequentialDataset)

    get_dataloader = utils.get_dataloader

    def get_window_dataloader(config: Any, phase: str) -> Any:
        """Give the training dataloader of windows to a model that trains on them."""
        windows = config["model"] in MODELS and config["train_sequences"] == "windows"
        if phase == "train" and windows:
            return WindowDataLoader
        return get_dataloader(config, phase)

    utils.get_dataloader = get_window_dataloader
