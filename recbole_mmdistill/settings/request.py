"""What a command line asks for, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from logging import getLogger
from pathlib import Path
from typing import Any, NamedTuple

from ..datasets import dataset_folder
from ..errors import UserError, show
from .check import COMMAND_LINE, check_settings, log_unread
from .schema import general_options, is_text, options_of
from .values import parse_command_line, refuse_rest
from .yaml_file import read_yaml


class Checked(dict[str, Any]):
    """Settings that were checked and read: RecBole's ``Config`` takes them as they are."""

    def __bool__(self) -> bool:
        return True  # quick_start/quick_start.py:62 of RecBole takes another dict for an empty one


class Request(NamedTuple):
    """What a command line asks for.

    Attributes
    ----------
    model, dataset : str
        Their names.
    config_files : list of str
        YAML files, the last has the last word.
    settings : Checked
        Single options, over those of the files.
    nproc : int
        Processes.
    metrics_file : str or None
        Where the table is written as JSON.
    resume : str or None
        A checkpoint to go on from, or ``auto``.
    """

    model: str
    dataset: str
    config_files: list[str]
    settings: Checked
    nproc: int
    metrics_file: str | None
    resume: str | None = None


# Options of the command itself: they may stand in a file, too, and RecBole does not get them.
_OF_THE_COMMAND = ("model", "dataset", "config_files", "nproc", "metrics_file", "resume")


def read_words(words: Sequence[str]) -> Request:
    """Read a command line of ``--key=value`` and check all that it asks for.

    Parameters
    ----------
    words : sequence of str
        Without the program's name and the verb.

    Returns
    -------
    Request

    Raises
    ------
    UserError
        A word is no option with a value, or as :func:`read_request`.
    """
    settings, rest = parse_command_line(words, is_text)
    refuse_rest(rest, options_of(str(settings.get("model", "IDMMDistill"))))
    return read_request(settings)


def read_request(given: Mapping[str, Any]) -> Request:
    """Check settings before anything is loaded or written.

    Parameters
    ----------
    given : Mapping of str to object
        As :func:`~recbole_mmdistill.settings.parse_command_line` reads them.

    Returns
    -------
    Request

    Raises
    ------
    UserError
        Something asked for does not exist or cannot be; the message has all that is wrong, and
        the names nearest to it.
    """
    files = given.get("config_files")
    if files is not None and not isinstance(files, str):
        raise UserError(f"config_files is {show(files)}.", "Give paths of YAML files, as a text.")
    config_files = (files or "").split()
    layers = [(file, read_yaml(file)) for file in config_files]
    for file, settings in layers:
        if "config_files" in settings:
            raise UserError(
                f"{file} has config_files, which is read on the command line only.",
                "Name all files there.",
            )
    layers.append((COMMAND_LINE, dict(given)))
    merged: dict[str, Any] = {"model": "IDMMDistill"}
    for _, settings in layers:
        merged.update(settings)
    if merged.get("dataset") is None:
        raise UserError("No dataset is given.", "Say --dataset=ml-100k, or that of your own.")
    unread = check_settings(merged["model"], merged["dataset"], layers)
    log_unread(merged["model"], unread, config_files)
    folder = dataset_folder(merged["dataset"], merged.get("data_path", "dataset/"))
    settings = Checked((key, given[key]) for key in given if key not in _OF_THE_COMMAND)
    if not merged.keys() & {"modalities", "feature_path"} and merged.get("use_id") is not False:
        settings.update(_modalities_found(merged["model"], merged["dataset"], folder))
    return Request(
        merged["model"],
        merged["dataset"],
        config_files,
        settings,
        merged.get("nproc", general_options()["nproc"].default),
        merged.get("metrics_file"),
        merged.get("resume"),
    )


def _modalities_found(model: str, dataset: str, folder: Path) -> dict[str, list[str]]:
    """Leave out modalities that only the defaults name and that have no feature file; say so."""
    from ..features.locate import modalities_of, shipped

    if "modalities" not in options_of(model):
        return {}
    wanted = options_of(model, dataset)["modalities"].default
    there = modalities_of(dataset, [folder, shipped()])
    found = [name for name in wanted if name in there]
    if found == wanted:
        return {}
    lacking = " or ".join(name for name in wanted if name not in there)
    getLogger().warning(
        f"{dataset} has no {lacking} features in {folder}: {model} trains on "
        f"{' and '.join(['the item IDs', *found])} alone. `recbole-mm extract` makes features; "
        f"--modalities=[{','.join(found)}] says that no others are wanted."
    )
    return {"modalities": found}
