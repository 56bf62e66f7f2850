"""No pickled datasets: every run reads the atomic files anew.

RecBole's caches are pickles, which can run code, and it compares nothing but options to see whether
one is still right. Reading the files takes seconds.
"""

from __future__ import annotations

import importlib
from logging import getLogger
from typing import Any

from ..errors import UserError
from .fixes import replaces


@replaces(
    "recbole.data.utils:create_dataset",
    "recbole.data:create_dataset",
    "recbole.quick_start.quick_start:create_dataset",
)
def create_dataset(config: Any) -> Any:
    """Read a dataset from its atomic files.

    data/utils.py:59 unpickles whatever lies under a dataset's name, which can run code.

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


@replaces("recbole.data.dataset.dataset:Dataset.save")
def save_dataset(dataset: Any) -> None:
    """Save nothing of a dataset, and say so.

    data/dataset/dataset.py:1888 pickles it.
    """
    getLogger().info("save_dataset: nothing is saved, each run reads the atomic files anew")


@replaces("recbole.data.utils:load_split_dataloaders", "recbole.data:load_split_dataloaders")
def load_split_dataloaders(config: Any) -> None:
    """Find no saved dataloaders: rows are split anew.

    data/utils.py:122 unpickles them.
    """


@replaces("recbole.data.utils:save_split_dataloaders", "recbole.data:save_split_dataloaders")
def save_split_dataloaders(config: Any, dataloaders: Any) -> None:
    """Save nothing of dataloaders, and say so.

    data/utils.py:99 pickles them.
    """
    getLogger().info("save_dataloaders: nothing is saved, each run splits the rows anew")
