"""Settings are data, never code, and are checked before anything is loaded."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from logging import getLogger
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError
from ..settings import (
    SCRIPT,
    Checked,
    as_typed,
    check_settings,
    is_text,
    literal,
    log_unread,
    parse_command_line,
    parse_yaml,
    read_options,
    read_yaml,
)
from .fixes import extends, replaces

CONFIG_DICT = "config_dict"
_CONFIG = "recbole.config.configurator:Config"


def properties(kind: str, name: str) -> dict[str, Any]:
    """Read the property file of a model or dataset that this package ships; {} if it has none."""
    options = read_options("recbole_mmdistill", kind, f"{name}.yaml")
    return {key: copy.deepcopy(option.default) for key, option in options.items()}


def defaults(model: str | type, dataset: str) -> tuple[Any, dict[str, Any]]:
    """Give what RecBole's ``Config`` starts from, before a user's own settings.

    Parameters
    ----------
    model : str or type
        The model's name or class.
    dataset : str
        The dataset's name.

    Returns
    -------
    model_class : type
    settings : dict of str to object
        Of the property files, in RecBole's order (config/configurator.py:239).

    Raises
    ------
    UserError
        The model needs a package that is not installed.
    """
    from recbole.config import Config
    from recbole.utils import get_model

    try:
        model_class: Any = get_model(model) if isinstance(model, str) else model
    except ModuleNotFoundError as error:  # the models of RecBole's exlib_recommender
        raise UserError(
            f"{model} needs {error.name}, which is not installed.", f"pip install {error.name}"
        ) from None
    config = Config.__new__(Config)
    config._init_parameters_category()
    config.external_config_dict = {}
    config.model = model_class.__name__
    config._load_internal_config_dict(config.model, model_class, dataset)
    return model_class, dict(config.internal_config_dict)


def make_config(
    model: str, dataset: str, settings: Mapping[str, Any], config_files: Sequence[str] = ()
) -> Any:
    """Make RecBole's ``Config`` of what is given alone, whatever the command line of this process.

    RecBole's constructor also reads ``sys.argv`` (config/configurator.py:165), and gives it the
    last word.

    Parameters
    ----------
    model, dataset : str
        Their names.
    settings : Mapping of str to object
        Over those of the files.
    config_files : sequence of str
        YAML files, the last has the last word.

    Returns
    -------
    recbole.config.Config
    """
    from recbole.config import Config

    config = Config.__new__(Config)
    config._load_cmd_line = dict
    given = settings if isinstance(settings, Checked) else dict(settings)
    config.__init__(model, dataset, list(config_files), given)
    del config._load_cmd_line
    return config


@replaces(f"{_CONFIG}._build_yaml_loader")
def build_yaml_loader(self: Any) -> Any:
    """Give a YAML loader that makes plain data only.

    config/configurator.py:107 takes ``yaml.FullLoader``, and changes it for the whole process.
    """
    return yaml.SafeLoader


@replaces(f"{_CONFIG}._load_config_files")
def load_config_files(self: Any, file_list: Any) -> dict[str, Any]:
    """Read YAML files strictly: a key twice, or a tag that makes an object, is an error.

    config/configurator.py:155 lets the last of two equal keys win.
    """
    self._layers = [(str(file), read_yaml(str(file))) for file in file_list or ()]
    merged: dict[str, Any] = {}
    for _, settings in self._layers:
        merged.update(settings)
    return merged


@replaces(f"{_CONFIG}._load_variable_config_dict")
def load_config_dict(self: Any, config_dict: Any) -> dict[str, Any]:
    """Read the texts of ``config_dict`` as literals.

    config/configurator.py:131 hands them to ``eval``. Settings that were checked before
    (:class:`Checked`) are taken as they are, and the command line is not read again.
    """
    if isinstance(config_dict, Checked):
        self._layers = None
        return dict(config_dict)
    settings = {
        key: _read(key, value) if isinstance(value, str) else value
        for key, value in (config_dict or {}).items()
    }
    self._layers.append((CONFIG_DICT, settings))
    return settings


@replaces(f"{_CONFIG}._load_cmd_line")
def load_cmd_line(self: Any) -> dict[str, Any]:
    """Take ``--a=b=c`` and ``--a b`` on the command line, and read values as literals.

    config/configurator.py:172 drops both with a warning, and evaluates the rest.
    """
    if self._layers is None or "ipykernel_launcher" in sys.argv[0]:
        return {}
    settings, rest = parse_command_line(sys.argv[1:], is_text)
    if rest:
        getLogger().warning(f"command line args [{' '.join(rest)}] will not be used in RecBole")
    self._layers.append((SCRIPT, settings))
    return settings


@extends(f"{_CONFIG}._get_model_and_dataset")
def get_model_and_dataset(original: Any, self: Any, model: Any, dataset: Any) -> Any:
    """Check all settings before anything is loaded.

    config/configurator.py:216 looks the model up, and nothing checks an option's name or value: a
    slip in a name is trained without a word.
    """
    layers = vars(self).pop("_layers")
    names = {"model": model, "dataset": dataset}
    for key in names:
        if names[key] is None:
            names[key] = self.external_config_dict.get(key)
        if names[key] is None:
            raise UserError(f"No {key} is given.", f"Give {key} as an argument or an option.")
    if layers is not None:
        unread = check_settings(names["model"], names["dataset"], layers)
        files = [source for source, _ in layers if source not in (CONFIG_DICT, SCRIPT)]
        log_unread(getattr(names["model"], "__name__", names["model"]), unread, files)
    return original(self, names["model"], names["dataset"])


@replaces(f"{_CONFIG}._update_internal_config_dict")
def read_property_file(self: Any, file: str) -> Any:
    """Read RecBole's property files once a process, and this package's of the model after them.

    config/configurator.py:232 reads each file again for every config, and knows no other folder.
    """
    read = copy.deepcopy(_property_file(file))
    self.internal_config_dict.update(read)
    if file.endswith("overall.yaml"):
        self.internal_config_dict.update(properties("model", self.model))
    return read


@extends(f"{_CONFIG}._load_internal_config_dict")
def load_property_files(
    original: Any, self: Any, model: str, model_class: Any, dataset: str
) -> None:
    """Load the time field for sequential models, and this package's presets of a dataset.

    properties/dataset/sample.yaml:18 loads users and items alone, by which nothing can be ordered.
    """
    from recbole.utils import ModelType

    original(self, model, model_class, dataset)
    presets = self.internal_config_dict
    sample = {"inter": ["user_id", "item_id"]}
    if presets["MODEL_TYPE"] == ModelType.SEQUENTIAL and presets.get("load_col") == sample:
        fields = {**presets, **self.external_config_dict}
        names = ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD")
        presets["load_col"] = {"inter": [fields[name] for name in names]}
    presets.update(properties("model", model))  # a model may preset the length of histories
    presets.update(properties("dataset", dataset))


@extends(f"{_CONFIG}._set_default_parameters")
def set_default_parameters(original: Any, self: Any) -> None:
    """Set ``train_neg_sample_args: ~`` for sequential models trained with cross entropy.

    config/configurator.py:349 refuses them with RecBole's own default.
    """
    from recbole.utils import ModelType

    final = self.final_config_dict
    negatives = final.get("train_neg_sample_args")
    if (
        final["MODEL_TYPE"] == ModelType.SEQUENTIAL
        and final.get("loss_type") == "CE"
        and "train_neg_sample_args" not in self.external_config_dict
    ) or (isinstance(negatives, dict) and negatives.get("distribution") == "none"):
        final["train_neg_sample_args"] = None
    original(self)


@cache
def _property_file(path: str) -> dict[str, Any]:
    return parse_yaml(Path(path).read_text(encoding="utf-8"), path) or {}


def _read(key: str, text: str) -> Any:
    return as_typed(text) if is_text(key) else literal(text)
