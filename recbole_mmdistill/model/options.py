"""The model's options, checked: everything wrong with them is said at once."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from ..errors import UserError
from ..settings import wrong_values
from .by_histories import AUTO
from .combine import LEARNED
from .item_encoder import ID
from .losses import MEAN

WIDTHS = ("hidden_size", "branch_width", "imt_width", "n_heads", "imt_heads")


def check_options(config: Mapping[str, Any], modalities: Iterable[str]) -> None:
    """Check every option of the model.

    Parameters
    ----------
    config : Mapping
        RecBole's config.
    modalities : iterable of str
        The modalities that the dataset carries.

    Raises
    ------
    UserError
        One or several options have no sense; the message names each with its value.
    """
    wrong = wrong_values("IDMMDistill", config)
    faults = [fault for of_option in wrong.values() for fault in of_option]
    faults += wrong_together(config, list(modalities), skip=wrong)
    if faults:
        raise UserError(
            "; ".join(faults) + ".",
            "The options and their meanings stand in properties/model/IDMMDistill.yaml.",
        )


def wrong_together(
    config: Mapping[str, Any], modalities: list[str], skip: Container[str] = ()
) -> Iterator[str]:
    """Say which options do not go together; each by itself is of its kind.

    Parameters
    ----------
    config : Mapping
        Of settings.
    modalities : list of str
        The modalities in use.
    skip : container of str
        Options whose values are wrong by themselves.

    Yields
    ------
    str
        An option with its value, and what it contradicts.
    """
    if not any(key in skip for key in WIDTHS):
        yield from wrong_widths(config, modalities)
    known = [ID, *modalities]
    if not config["use_id"] and not modalities:
        yield "use_id is False and modalities is empty: no source is left"
    if "id_init" not in skip and config["id_init"] not in ("random", MEAN, *modalities):
        allowed = ", ".join(("random", MEAN, *modalities))
        yield f"id_init is {config['id_init']!r}, not one of {allowed}"
    weights = {} if "branch_weights" in skip else config["branch_weights"] or {}
    if weights != LEARNED and weights and not any(weights.get(name, 1) for name in known):
        yield f"branch_weights is {weights!r}, which leaves no branch a weight"
    # Pairs of a modality that is switched off are left out silently, so that the shipped pairs
    # serve every choice of modalities; any other name is a slip.
    names = {*known, MEAN, "text", "image"}
    for pair in [] if "kd_pairs" in skip else config["kd_pairs"] or []:
        if pair[1] == MEAN:
            yield f"kd_pairs holds {pair!r}, but {MEAN} cannot be taught"
        elif not names.issuperset(pair):
            yield f"kd_pairs holds {pair!r}, but the sources are {', '.join(known)}"


def wrong_widths(config: Mapping[str, Any], modalities: list[str]) -> Iterator[str]:
    """Say which widths are no multiple of the heads that read them, and which are of no source.

    Parameters
    ----------
    config : Mapping
        With the options :data:`WIDTHS`, each of its kind.
    modalities : list of str
        The modalities in use.

    Yields
    ------
    str
        An option with its value, and what it contradicts.
    """
    given, meeting = config["branch_width"], config["imt_width"]
    widths = [("hidden_size", config["hidden_size"], "n_heads")]
    if isinstance(given, int):
        widths.append(("branch_width", given, "n_heads"))
    for name, width in given.items() if isinstance(given, Mapping) else ():
        widths.append((f"branch_width of {name}", width, "n_heads"))
        if name not in (ID, *modalities, "text", "image"):  # these as in kd_pairs
            sources = ", ".join((ID, *modalities))
            yield f"branch_width names {name!r}, but the sources are {sources}"
    what = "hidden_size" if meeting is None else "imt_width"
    widths.append((what, config[what], "imt_heads"))
    for what, width, heads in widths:
        if width != AUTO and width % config[heads]:
            yield f"{what} {width} is not a multiple of {heads} {config[heads]}"
