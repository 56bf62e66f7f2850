"""Settings as data: nothing typed on a command line or put into a dict is evaluated."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from logging import getLogger
from typing import Any

import yaml

from ..errors import UserError

_KEPT = (str, int, float, list, tuple, dict, bool)


def literal(text: str) -> Any:
    """Read a value as it is typed: a number, list, dict, True, None, or else the text itself.

    Parameters
    ----------
    text : str
        For example ``1e-3``, ``[text, image]``, ``{'LS': 'test_only'}``, ``SASRec``.

    Returns
    -------
    object
        A str, int, float, list, tuple, dict, bool or None.
    """
    if text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    try:
        value = ast.literal_eval(text.strip())
        return value if value is None or isinstance(value, _KEPT) else text
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    if text.strip()[:1] in ("[", "{") or text.strip() == "~":
        # Words without quotes in brackets, as YAML has them; Python's literals need the quotes.
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            pass
    return text


def parse_command_line(argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Read ``--key=value`` and ``--key value``; the value is all that follows the first ``=``.

    Parameters
    ----------
    argv : sequence of str
        Words without the program's name.

    Returns
    -------
    settings : dict of str to object
        The values read by :func:`literal`.
    rest : list of str
        Words that are neither a key nor a value.

    Raises
    ------
    UserError
        A key is given twice with different values.
    """
    settings: dict[str, Any] = {}
    rest: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("--") or word == "--":
            rest.append(word)
            continue
        key, equals, value = word[2:].partition("=")
        if not equals:
            if not words or words[0].startswith("--"):
                rest.append(word)
                continue
            value = words.pop(0)
        read = literal(value)
        if key in settings and settings[key] != read:
            raise UserError(
                f"--{key} is given twice, as {settings[key]!r} and as {read!r}.", "Keep one."
            )
        settings[key] = read
    return settings, rest


def properties(kind: str, name: str) -> dict[str, Any]:
    """Read the property file of a model or dataset that this package ships; {} if it has none."""
    file = resources.files("recbole_mmdistill.properties") / kind / f"{name}.yaml"
    if not file.is_file():
        return {}
    return yaml.load(file.read_text(encoding="utf-8"), Loader=_loader()) or {}


def _loader() -> Any:
    """Give the loader with which RecBole reads ``1e-3`` as a number."""
    from recbole.config import Config

    return Config._build_yaml_loader(None)


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
    config.__init__(model, dataset, list(config_files), dict(settings))
    del config._load_cmd_line
    return config


def install() -> None:
    """Mend ``Config``: how it reads values, and what it presets.

    - Values are read by :func:`literal` (config/configurator.py:113 ``eval``-uates them).
    - The command line takes ``--a=b=c`` and ``--a b`` (line 149 drops both).
    - This package's property files are read: a model's after ``overall.yaml``, as RecBole's own
      models' are; a dataset's last, before what the user gives.
    - A sequential model trained with cross entropy gets ``train_neg_sample_args: None``, without
      which RecBole refuses it, unless the user says otherwise.
    - A sequential model loads the time field, without which RecBole cannot order anything, unless
      ``load_col`` is given.
    """
    from recbole.config import Config
    from recbole.utils import ModelType

    update = Config._update_internal_config_dict
    load_internal = Config._load_internal_config_dict
    set_defaults = Config._set_default_parameters

    def _convert_config_dict(self: Any, config_dict: dict[str, Any]) -> dict[str, Any]:
        return {k: literal(v) if isinstance(v, str) else v for k, v in config_dict.items()}

    def _load_cmd_line(self: Any) -> dict[str, Any]:
        if "ipykernel_launcher" in sys.argv[0]:
            return {}
        settings, rest = parse_command_line(sys.argv[1:])
        if rest:
            getLogger().warning(f"command line args [{' '.join(rest)}] will not be used in RecBole")
        return settings

    def _update_internal_config_dict(self: Any, file: str) -> Any:
        read = update(self, file)
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
        presets.update(properties("dataset", dataset))

    def _set_default_parameters(self: Any) -> None:
        final = self.final_config_dict
        if (
            final["MODEL_TYPE"] == ModelType.SEQUENTIAL
            and final.get("loss_type") == "CE"
            and "train_neg_sample_args" not in self.external_config_dict
        ):
            final["train_neg_sample_args"] = None
        set_defaults(self)

    Config._convert_config_dict = _convert_config_dict
    Config._load_cmd_line = _load_cmd_line
    Config._update_internal_config_dict = _update_internal_config_dict
    Config._load_internal_config_dict = _load_internal_config_dict
    Config._set_default_parameters = _set_default_parameters
