"""RecBole's ``Config``: reads settings as data, has them checked, knows this package's files."""

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

CONFIG_DICT = "config_dict"


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
        Of the property files, in RecBole's order (config/configurator.py:234).

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

    RecBole's constructor also reads ``sys.argv`` (config/configurator.py:139), and gives it the
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


def install() -> None:
    """Wrap ``Config``: how it reads values, what it checks, and what it presets.

    - Values are read by :func:`~..settings.literal` (config/configurator.py:113 ``eval``-uates
      them), YAML files by :func:`~..settings.read_yaml` (line 80 takes tags of Python).
    - The command line takes ``--a=b=c`` and ``--a b`` (line 149 drops both).
    - All settings are checked by :func:`~..settings.check_settings` before the model is looked up.
      Those that were (:class:`~..settings.Checked`) are taken as they are, and the command line,
      which they come from, is not read again.
    - This package's property files are read: a model's after ``overall.yaml``, as RecBole's own
      models' are; a dataset's last, before what the user gives.
    - A sequential model trained with cross entropy gets ``train_neg_sample_args: None``, without
      which RecBole refuses it, unless the user says otherwise.
    - A sequential model loads the time field, without which RecBole cannot order anything, unless
      ``load_col`` is given.
    """
    from recbole.config import Config
    from recbole.utils import ModelType

    look_up = Config._get_model_and_dataset
    load_internal = Config._load_internal_config_dict
    set_defaults = Config._set_default_parameters

    def _build_yaml_loader(self: Any) -> Any:
        return yaml.SafeLoader  # unused: _load_config_files and _update_internal_config_dict read

    def _load_config_files(self: Any, file_list: Any) -> dict[str, Any]:
        self._layers = [(str(file), read_yaml(str(file))) for file in file_list or ()]
        merged: dict[str, Any] = {}
        for _, settings in self._layers:
            merged.update(settings)
        return merged

    def _load_variable_config_dict(self: Any, config_dict: Any) -> dict[str, Any]:
        if isinstance(config_dict, Checked):
            self._layers = None
            return dict(config_dict)
        settings = {
            key: _read(key, value) if isinstance(value, str) else value
            for key, value in (config_dict or {}).items()
        }
        self._layers.append((CONFIG_DICT, settings))
        return settings

    def _load_cmd_line(self: Any) -> dict[str, Any]:
        if self._layers is None or "ipykernel_launcher" in sys.argv[0]:
            return {}
        settings, rest = parse_command_line(sys.argv[1:], is_text)
        if rest:
            getLogger().warning(f"command line args [{' '.join(rest)}] will not be used in RecBole")
        self._layers.append((SCRIPT, settings))
        return settings

    def _get_model_and_dataset(self: Any, model: Any, dataset: Any) -> Any:
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
        return look_up(self, names["model"], names["dataset"])

    def _update_internal_config_dict(self: Any, file: str) -> Any:
        read = copy.deepcopy(_property_file(file))
        self.internal_config_dict.update(read)
        if file.endswith("overall.yaml"):
            self.internal_config_dict.update(properties("model", self.model))
        return read

    def _load_internal_config_dict(self: Any, model: str, model_class: Any, dataset: str) -> None:
        load_internal(self, model, model_class, dataset)
        presets = self.internal_config_dict
        sample = {"inter": ["user_id", "item_id"]}
        if presets["MODEL_TYPE"] == ModelType.SEQUENTIAL and presets.get("load_col") == sample:
            fields = {**presets, **self.external_config_dict}
            names = ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD")
            presets["load_col"] = {"inter": [fields[name] for name in names]}
        presets.update(properties("model", model))  # a model may preset the length of histories
        presets.update(properties("dataset", dataset))

    def _set_default_parameters(self: Any) -> None:
        final = self.final_config_dict
        negatives = final.get("train_neg_sample_args")
        if (
            final["MODEL_TYPE"] == ModelType.SEQUENTIAL
            and final.get("loss_type") == "CE"
            and "train_neg_sample_args" not in self.external_config_dict
        ) or (isinstance(negatives, dict) and negatives.get("distribution") == "none"):
            final["train_neg_sample_args"] = None
        set_defaults(self)

    Config._build_yaml_loader = _build_yaml_loader
    Config._load_config_files = _load_config_files
    Config._load_variable_config_dict = _load_variable_config_dict
    Config._load_cmd_line = _load_cmd_line
    Config._get_model_and_dataset = _get_model_and_dataset
    Config._update_internal_config_dict = _update_internal_config_dict
    Config._load_internal_config_dict = _load_internal_config_dict
    Config._set_default_parameters = _set_default_parameters


@cache
def _property_file(path: str) -> dict[str, Any]:
    return parse_yaml(Path(path).read_text(encoding="utf-8"), path) or {}


def _read(key: str, text: str) -> Any:
    return as_typed(text) if is_text(key) else literal(text)
