"""A config as plain data, and plain data as a config: options as a user gives them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import dataset_folder
from ..errors import UserError
from ..settings import DERIVED, Checked, check_settings
from . import added, numbering
from .config import make_config

# Of the machine and of one start of a run: no part of what a checkpoint says.
OF_MACHINE = {
    *("gpu_id", "device", "single_spec", "local_rank", "nproc", "world_size", "ip", "port"),
    *("offset", "log_wandb", "config_files", "metrics_file", "resume"),
}
OTHER = "Give a checkpoint that this package wrote, or train the model again."


def plain(value: Any) -> Any:
    """Give plain data, numbers of numpy as Python's.

    Raises
    ------
    TypeError
        It is something else.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{type(value).__name__} is no plain data")


def options_of(config: Any) -> dict[str, Any]:
    """All options of a config as a user would give them, so that it can be made again.

    Parameters
    ----------
    config : recbole.config.Config
        Of a run.

    Returns
    -------
    dict of str to object
        Plain data. Without what is of the machine, such as ``gpu_id``.
    """
    given = {**config.internal_config_dict, **config.external_config_dict}
    final = config.final_config_dict
    options = {}
    for key in given.keys() - OF_MACHINE - DERIVED - {"model", "dataset"}:
        try:
            options[key] = plain(given[key] if key == "data_path" else final[key])
        except TypeError:
            if key in config.external_config_dict:
                getLogger().warning(f"The checkpoint cannot hold the option {key}.")
    if final["train_neg_sample_args"]["distribution"] == "none":
        options["train_neg_sample_args"] = None  # as RecBole takes it, not as it keeps it
    return dict(sorted(options.items()))


def settings_of(config: Any) -> dict[str, Any]:
    """The options of a config that a user gave, and whose values are not the defaults."""
    options, defaults = options_of(config), config.internal_config_dict
    given = {key: value for key, value in options.items() if key in config.external_config_dict}
    return {key: v for key, v in given.items() if key not in defaults or defaults[key] != v}


def check_options(model: str, dataset: str, options: Mapping[str, Any], path: Any) -> None:
    """Check the names and options of a checkpoint before anything is made of them.

    Parameters
    ----------
    model, dataset : str
        Names, which become parts of paths.
    options : Mapping of str to object
        As :func:`options_of` gives them.
    path : str or Path
        The checkpoint, for the message.

    Raises
    ------
    UserError
        A name or option cannot be.
    """
    try:
        check_settings(model, dataset, [("its options", options)])
    except UserError as error:
        raise UserError(f"The checkpoint {path} is refused: {error.what}", error.remedy) from None
    if of_machine := OF_MACHINE & options.keys():
        raise UserError(f"The checkpoint {path} has the option {min(of_machine)}.", OTHER)


def config_of(saved: Mapping[str, Any], path: str | Path, with_data: bool = True) -> Any:
    """Make the config of a checkpoint anew from its options, for this machine.

    Parameters
    ----------
    saved : Mapping
        As :func:`~.loading.load` gives it.
    path : str or Path
        The file. What is made with the config is saved beside it.
    with_data : bool
        Whether the dataset must be there.

    Returns
    -------
    recbole.config.Config

    Raises
    ------
    UserError
        Its options cannot be, or its dataset is not there.
    """
    from ..model.by_histories import AUTO, OF_LONG

    check_options(saved["model"], saved["dataset"], saved["options"], path)
    options = Checked(saved["options"])
    options["checkpoint_dir"] = str(Path(path).parent)
    options["gpu_id"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    if with_data:  # else RecBole downloads it
        dataset_folder(saved["dataset"], str(options.get("data_path")))
    try:
        config = make_config(saved["model"], saved["dataset"], options)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"The options of {path} cannot be ({reason}).", OTHER) from error
    for name, value in OF_LONG.items():  # of a checkpoint from before these hung on the data
        if name not in saved["options"] and config.final_config_dict.get(name) == AUTO:
            config[name] = value
    if saved["vocabulary"] is not None:
        numbering.number_as(config, saved["vocabulary"])
    config.added_features = added.features_of(saved, path)
    config.added_titles = added.names_of(saved, added.TITLES, path)
    config.added_pictures = added.names_of(saved, added.PICTURES, path)
    return config
