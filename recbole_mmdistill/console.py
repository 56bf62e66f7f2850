"""What a run prints: its settings, its data, its closing table; lines of at most 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

WIDTH = 100
_CELL = 12
_NO_BREAK = "\xa0"  # a space where no line is broken


def describe_settings(config: Any) -> str:
    """Give the settings that differ from the defaults.

    Parameters
    ----------
    config : recbole.config.Config
        Of the run.

    Returns
    -------
    str
        A line, and below it indented lines of ``key=value``.
    """
    of_processes = {"world_size", "ip", "port", "nproc", "offset", "local_rank"}
    defaults = config.internal_config_dict
    differing = [
        f"{key}={value}"
        for key, value in config.external_config_dict.items()
        if key not in of_processes and not (key in defaults and defaults[key] == value)
    ]
    title = f"{config['model']} on {config['dataset']}"
    if not differing:
        return f"{title}, all settings are the defaults"
    # No line is broken inside of a value, unless that alone is longer than a line.
    words = (text if len(text) > WIDTH - 2 else text.replace(" ", _NO_BREAK) for text in differing)
    return f"{title}; settings that differ from the defaults:\n{_wrap('  '.join(words), '  ')}"


def describe_data(dataset: Any) -> str:
    """Give the size of a dataset in RecBole's words, and how many items have features.

    Parameters
    ----------
    dataset : recbole.data.dataset.Dataset
        As it was loaded.

    Returns
    -------
    str
        A sentence. RecBole's numbers of users and items count one that stands for padding.
    """
    counts = []
    if dataset.uid_field:
        counts.append(f"The number of users: {dataset.user_num}")
    if dataset.iid_field:
        counts.append(f"The number of items: {dataset.item_num}")
    counts.append(f"The number of inters: {dataset.inter_num}")
    if len(counts) > 1:
        counts.append("users and items with RecBole's padding")
    features = [
        f"{name} features of {int(aligned.present[1:].sum())} items"
        for name, aligned in getattr(dataset, "item_features", {}).items()
    ]
    counts += features
    return _wrap(", ".join(part.replace(" ", _NO_BREAK) for part in counts))


def format_table(summary: Mapping[str, Any]) -> str:
    """Give the closing table as text: a row for the whole model and one for each branch.

    Parameters
    ----------
    summary : Mapping
        As :meth:`recbole_mmdistill.pipeline.Run.summary` gives it.

    Returns
    -------
    str
        Aligned columns. Metrics that do not fit into a line go into a second block.
    """
    measured = summary["test"] or summary["best_valid"]
    rows = {"all" if summary["branches"] else summary["model"]: measured}
    rows |= {f"{name} alone": metrics for name, metrics in summary["branches"].items()}
    width = max(len(name) for name in rows)
    cell = max([_CELL, *map(len, measured)])
    epochs = f", {summary['epochs']} epochs" if summary["epochs"] else ""
    of = f"of {summary['model']} on {summary['dataset']}{epochs}, {summary['seconds']:.0f} s"
    if not measured:
        return f"No rows to measure; training {of}"
    lines = [f"{'Test' if summary['test'] else 'No test rows; validation'} {of}"]
    at_once = max(1, (WIDTH - width) // (cell + 2))
    names = list(measured)
    for first in range(0, len(names), at_once):
        block = names[first : first + at_once]
        lines.append("  ".join([" " * width, *(f"{metric:>{cell}}" for metric in block)]))
        for name, values in rows.items():
            numbers = (f"{values[metric]:>{cell}.4f}" for metric in block)
            lines.append("  ".join([f"{name:<{width}}", *numbers]))
    return "\n".join(lines)


def _wrap(text: str, indent: str = "") -> str:
    wrapped = textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped.replace(_NO_BREAK, " ")
