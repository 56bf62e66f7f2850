"""What a command line asks for, checked before anything is loaded or written."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from .datasets import dataset_folder
from .errors import UserError, near
from .files import read_yaml
from .integration.registration import MODELS

# Options that RecBole reads and that stand in none of its property files.
_UNLISTED = {
    *("model", "dataset", "config_files", "nproc", "world_size", "ip", "port", "metrics_file"),
    *("encoding", "single_spec", "local_rank", "data_path", "loss_type", "train_stage"),
    *("pretrain_epochs", "save_step", "pre_model_path", "wandb_project", "selected_features"),
    *("eval_type", "neg_sampling", "training_neg_sample_num"),
}


class Request(NamedTuple):
    """What a command line asks for.

    Attributes
    ----------
    model, dataset : str
        Their names.
    config_files : list of str
        YAML files, the last has the last word.
    settings : dict
        Single options, over those of the files.
    nproc : int
        Processes.
    metrics_file : str or None
        Where the table is written as JSON.
    """

    model: str
    dataset: str
    config_files: list[str]
    settings: dict[str, Any]
    nproc: int
    metrics_file: str | None


def read_request(given: Mapping[str, Any]) -> Request:
    """Check settings before anything is loaded or written.

    Parameters
    ----------
    given : Mapping of str to object
        As :func:`recbole_mmdistill.integration.config.parse_command_line` reads them.

    Returns
    -------
    Request

    Raises
    ------
    UserError
        Something asked for does not exist; the message has the names nearest to it.
    """
    settings = dict(given)
    config_files = str(settings.pop("config_files", "")).split()
    from_files: dict[str, Any] = {}
    for file in config_files:
        from_files.update(read_yaml(file))
    model = settings.pop("model", None) or from_files.get("model") or "IDMMDistill"
    dataset = settings.pop("dataset", None) or from_files.get("dataset")
    nproc = settings.pop("nproc", 1)
    metrics_file = settings.pop("metrics_file", None)
    if dataset is None:
        raise UserError("No dataset is given.", "Say --dataset=ml-100k, or that of your own.")
    if not isinstance(nproc, int) or nproc < 1:
        raise UserError(f"--nproc is {nproc!r}.", "Give a number of processes, 1 or more.")
    _check_model(str(model))
    _check_options(settings, str(model), str(dataset), from_files)
    dataset_folder(str(dataset), {**from_files, **settings}.get("data_path", "dataset/"))
    return Request(str(model), str(dataset), config_files, settings, nproc, metrics_file)


def model_names() -> dict[str, str]:
    """Every model that RecBole finds by name, with the name of its property file's folder."""
    import recbole.model

    # RecBole looks a model up in the module of its name in lower case; the name itself, with its
    # capitals, stands in the property files.
    modules = {
        info.name.rpartition(".")[2]
        for info in pkgutil.walk_packages(recbole.model.__path__, "recbole.model.")
    }
    folder = resources.files("recbole") / "properties" / "model"
    listed = (Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    names = {name: "recbole" for name in listed if name.lower() in modules}
    return {**names, **dict.fromkeys(MODELS, "recbole_mmdistill")}


def _check_model(model: str) -> None:
    names = model_names()
    if model not in names:
        raise UserError(
            f"There is no model {model!r}.",
            f"Give one of RecBole's models or {', '.join(MODELS)}{near(model, names)}.",
        )


def _check_options(
    settings: Mapping[str, Any], model: str, dataset: str, from_files: Mapping[str, Any]
) -> None:
    """Refuse an option that nobody reads: RecBole would drop a slip of the pen silently."""
    known = {*_UNLISTED, *from_files, *_listed_options(model, dataset)}
    for key in settings:
        if key not in known:
            raise UserError(
                f"There is no option --{key} for {model}.",
                f"Leave it out, or put it into a YAML file{near(key, known)}.",
            )


def _listed_options(model: str, dataset: str) -> set[str]:
    from recbole.utils import argument_list

    keys: set[str] = set()
    for name in ("general", "training", "evaluation", "dataset"):
        keys.update(getattr(argument_list, f"{name}_arguments"))
    theirs = resources.files("recbole") / "properties"
    ours = resources.files("recbole_mmdistill.properties")
    files = [
        theirs / "overall.yaml",
        theirs / "dataset" / "sample.yaml",
        *(
            root / kind / f"{name}.yaml"
            for root in (theirs, ours)
            for kind, name in (("model", model), ("dataset", dataset))
        ),
    ]
    for file in files:
        if file.is_file():
            keys.update(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    return keys
