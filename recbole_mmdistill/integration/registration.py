"""RecBole finds this package's models by name."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from .fixes import extends, patches

MODELS = {
    "IDMMDistill": "recbole_mmdistill.model.idmmdistill",
    "ODMT": "recbole_mmdistill.model.odmt",
}


@patches(
    *(f"recbole.model.sequential_recommender:{name.lower()}" for name in MODELS),
    *(f"recbole.data.dataset:{name}Dataset" for name in MODELS),
)
def register_models() -> None:
    """Register IDMMDistill and ODMT, each with its dataset.

    utils/utils.py:64 and data/utils.py:40 look for a model and its dataset in RecBole's own
    folders alone.
    """
    from ..data.dataset import MultiModalSequentialDataset

    datasets = importlib.import_module("recbole.data.dataset")
    for name, module in MODELS.items():
        # A real module under RecBole's name for it: get_model asks importlib for its spec.
        alias = f"recbole.model.sequential_recommender.{name.lower()}"
        sys.modules[alias] = importlib.import_module(module)
        setattr(datasets, f"{name}Dataset", MultiModalSequentialDataset)


@extends("recbole.data.utils:get_dataloader")
def get_dataloader(original: Any, config: Any, phase: str) -> Any:
    """Give the training dataloader of windows to a model that trains on them.

    data/utils.py:241 chooses among RecBole's own dataloaders.
    """
    from ..data.dataloader import WindowDataLoader

    if phase == "train" and config["model"] in MODELS and config["train_sequences"] == "windows":
        return WindowDataLoader
    return original(config, phase)
