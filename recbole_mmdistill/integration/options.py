"""A config as plain data, and plain data as a config: options as a user gives them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import dataset_folder
from ..errors import UserError, near
from . import numbering

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
    for key in given.keys() - OF_MACHINE - {"model", "dataset"}:
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
    from ..run import model_names

    if model not in model_names():
        raise UserError(
            f"The checkpoint {path} is of a model {model!r}, which there is not.",
            f"Install what registers it{near(model, model_names())}.",
        )
    if not dataset or dataset.strip(".") == "" or set(dataset) & set("/\\\0\n"):
        raise UserError(f"The checkpoint {path} has the dataset {dataset!r}.", OTHER)
    for key, value in options.items():
        try:
            plain(value)
        except TypeError as error:
            raise UserError(f"The option {key} of {path}: {error}.", OTHER) from None
        if not key.isprintable() or key in OF_MACHINE:
            raise UserError(f"The checkpoint {path} has an option {key!r}.", OTHER)
    teacher = options.get("teacher")
    if teacher is not None and not str(teacher).isidentifier():  # RecBole evaluates it
        raise UserError(f"The checkpoint {path} has the option teacher={teacher!r}.", OTHER)


def make_config(saved: Mapping[str, Any], path: str | Path) -> Any:
    """Make the config of a checkpoint anew from its options, for this machine.

    Parameters
    ----------
    saved : Mapping
        As :func:`load` gives it.
    path : str or Path
        The file. What is made with the config is saved beside it.

    Returns
    -------
    recbole.config.Config

    Raises
    ------
    UserError
        Its options cannot be, or its dataset is not there.
    """
    from recbole.config import Config

    check_options(saved["model"], saved["dataset"], saved["options"], path)
    options = dict(saved["options"])
    options["checkpoint_dir"] = str(Path(path).parent)
    options["gpu_id"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    dataset_folder(saved["dataset"], str(options.get("data_path")))  # else RecBole downloads it
    config = object.__new__(Config)
    vars(config)["_load_cmd_line"] = dict  # the words of a script are not for this config
    try:
        Config.__init__(config, saved["model"], saved["dataset"], config_dict=options)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"The options of {path} cannot be ({reason}).", OTHER) from error
    del vars(config)["_load_cmd_line"]
    if saved["vocabulary"] is not None:
        numbering.number_as(config, saved["vocabulary"])
    return config
