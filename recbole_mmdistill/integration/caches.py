"""No pickled datasets: every run reads the atomic files anew, so nothing stale is ever served.

RecBole's caches are pickles, which run what they say when they are loaded, and it looks at nothing
but options to see whether one is still right. Reading the files takes seconds, and filters, numbers
and splits follow from the options each time.
"""

from __future__ import annotations

import importlib
from logging import getLogger
from typing import Any

from ..errors import UserError


def install() -> None:
    """Let RecBole create datasets and dataloaders without its caches.

    - ``create_dataset`` (data/utils.py:28) unpickles what lies under a dataset's name.
    - ``load_split_dataloaders`` and ``save_split_dataloaders`` (:75, :102) do so with dataloaders.
    - ``Dataset.save`` (data/dataset/dataset.py:1876) pickles the dataset.
    """
    import recbole.data
    from recbole.data import utils
    from recbole.data.dataset import Dataset
    from recbole.quick_start import quick_start

    for module in (utils, recbole.data, quick_start):
        vars(module)["create_dataset"] = create_dataset
    for module in (utils, recbole.data):
        vars(module)["load_split_dataloaders"] = load_split_dataloaders
        vars(module)["save_split_dataloaders"] = save_split_dataloaders
    Dataset.save = save


def create_dataset(config: Any) -> Any:
    """Read a dataset from its atomic files.

    Parameters
    ----------
    config : recbole.config.Config
        Names the model, whose dataset class is taken.

    Returns
    -------
    recbole.data.dataset.Dataset

    Raises
    ------
    UserError
        The options ask for a pickled dataset or dataloader.
    """
    from recbole.utils import ModelType

    for option in ("dataset_save_path", "dataloaders_save_path"):
        if config[option]:
            raise UserError(
                f"{option} is {config[option]!r}: RecBole's saved datasets are pickles, which can "
                "run code and go stale.",
                "Leave the option out: the atomic files are read anew in seconds.",
            )
    datasets = importlib.import_module("recbole.data.dataset")
    by_type = {
        ModelType.SEQUENTIAL: "SequentialDataset",
        ModelType.KNOWLEDGE: "KnowledgeBasedDataset",
    }
    name = f"{config['model']}Dataset"
    if not hasattr(datasets, name):
        name = by_type.get(config["MODEL_TYPE"], "Dataset")
    dataset = getattr(datasets, name)(config)
    if config["save_dataset"]:
        dataset.save()
    return dataset


def save(dataset: Any) -> None:
    """Save nothing of a dataset, and say so."""
    getLogger().info("save_dataset: nothing is saved, each run reads the atomic files anew")


def load_split_dataloaders(config: Any) -> None:
    """Find no saved dataloaders: rows are split anew."""


def save_split_dataloaders(config: Any, dataloaders: Any) -> None:
    """Save nothing of dataloaders, and say so."""
    getLogger().info("save_dataloaders: nothing is saved, each run splits the rows anew")
