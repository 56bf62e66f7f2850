"""All settings checked together, before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from logging import getLogger
from typing import Any

from ..datasets import wrong_dataset
from ..errors import UserError, near, show
from . import extensions
from .kinds import not_plain
from .names import wrong_model
from .nested import CHECKS
from .schema import DERIVED, Option, options_of, other_models, read_options
from .together import Layers, wrong_together

COMMAND_LINE = "the command line"
SCRIPT = "the script's command line"

_MOST = 20  # faults that a message names


def check_settings(model: Any, dataset: Any, layers: Layers) -> dict[str, list[str]]:
    """Check all settings of a run, or of a checkpoint, at once.

    Parameters
    ----------
    model : str or type
        The model's name. A class of a user's own has options that nobody lists: these are not
        checked, all others are.
    dataset : str
        The dataset's name.
    layers : sequence of (str, Mapping)
        Where settings come from, as messages call it (a file's path, :data:`COMMAND_LINE`), and
        the settings; the last has the last word.

    Returns
    -------
    dict of str to list of str
        Of each source, the options of other models, which this one does not read.

    Raises
    ------
    UserError
        Something is wrong; the message names every option with its value, its source and what is
        allowed.

    Notes
    -----
    An option of another model may stand in a file or a dict that serves several models; on
    :data:`COMMAND_LINE` it is refused.
    """
    is_own_class = isinstance(model, type) and not model.__module__.startswith(
        ("recbole.", "recbole_mmdistill.")
    )
    name = model.__name__ if isinstance(model, type) else model
    wrong = [*([] if isinstance(model, type) else wrong_model(name)), *wrong_dataset(dataset)]
    if wrong:
        raise UserError("; ".join(wrong) + ".", "Give the names of a model and a dataset.")
    faults = []
    wrong_keys = set()
    unread: dict[str, list[str]] = {}
    options = options_of(name, dataset)
    for source, settings in layers:
        others = unread.setdefault(source, [])
        for key, value in settings.items():
            found = list(_faults(name, options, key, value, source, is_own_class, others))
            if found:
                wrong_keys.add(key)
                faults += [f"{source}: {fault}" for fault in found]
    faults += wrong_together(model, dataset, layers, options, wrong_keys)
    if faults:
        more = f"; and {len(faults) - _MOST} more" if len(faults) > _MOST else ""
        raise UserError(
            "; ".join(faults[:_MOST]) + f"{more}.",
            "docs/options.md lists every option and what it may be.",
        )
    return {source: keys for source, keys in unread.items() if keys}


def log_unread(model: str, unread: Mapping[str, list[str]], sources: Iterable[str]) -> None:
    """Log which options of some sources the model does not read."""
    for source in sources:
        if source in unread:
            getLogger().warning(f"{source}: {model} does not read {', '.join(unread[source])}")


def wrong_values(model: str, settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Check the values of the options that a model's own property file lists.

    Parameters
    ----------
    model : str
        Its name.
    settings : Mapping
        Holds a value for each option of the file; others are not looked at.

    Returns
    -------
    dict of str to list of str
        Of each option whose value is wrong: the value, and what is allowed.
    """
    found = {
        name: list(wrong_value(option, settings[name]))
        for package in ("recbole", "recbole_mmdistill")
        for name, option in read_options(package, "model", f"{model}.yaml").items()
        if name in settings
    }
    return {name: faults for name, faults in found.items() if faults}


def wrong_value(option: Option, value: Any) -> Iterator[str]:
    """Say what is wrong with the value of an option: its kind first, then its inside."""
    name = option.name
    if extensions.is_choice(name, value):
        return
    if problem := not_plain(value):
        yield f"{name} is {show(value)}, which {problem}; it must be {option.kind}"
    elif not option.kind.accepts(value) or (value == "" != option.default and name not in CHECKS):
        hint = near(value, option.kind.choices) if isinstance(value, str) else ""
        yield f"{name} is {show(value)}, not {option.kind}{hint}"
    elif name in CHECKS:
        yield from map(str, CHECKS[name](name, value))


def _faults(
    model: str,
    options: Mapping[str, Option],
    key: Any,
    value: Any,
    source: str,
    is_own_class: bool,
    unread: list[str],
) -> Iterator[str]:
    if key in ("model", "dataset"):  # the names in use were checked before
        return
    if not isinstance(key, str):
        yield f"{show(key)} is no name of an option"
        return
    if key in DERIVED:
        yield f"{key} is worked out by RecBole and cannot be set"
        return
    option = options.get(key)
    if option:
        yield from wrong_value(option, value)
        return
    others = list(other_models(key))
    if not others and extensions.is_option(key):
        if problem := not_plain(value):
            yield f"{key} is {show(value)}, which {problem}"
        return
    if not others:
        if not is_own_class and source != SCRIPT:
            hint = near(key, options)
            yield f"there is no option {show(key)} for {model}{hint}"
        return
    if source == COMMAND_LINE:
        names = ", ".join(name for name, _ in others[:3])
        yield f"{key} is an option of {names}, not of {model}{near(key, options)}"
        return
    found = [list(wrong_value(other, value)) for _, other in others]
    if all(found):
        yield from found[0]
    else:
        unread.append(key)
