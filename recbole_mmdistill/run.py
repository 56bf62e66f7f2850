"""One run of a model on a dataset: RecBole runs a checked request, a table ends it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import UserError
from .files import write_json
from .settings import Checked, Request


def run(request: Request) -> dict[str, Any]:
    """Train, evaluate, and print the table of test metrics.

    Parameters
    ----------
    request : Request
        What to run.

    Returns
    -------
    dict
        ``model``, ``dataset``, ``best_valid``, ``test`` (metrics of the whole model),
        ``branches`` (test metrics of each branch alone), ``epochs`` and ``seconds``.
    """
    from recbole.quick_start import run as recbole_run

    from .integration.outcome import keep_outcome

    started = time.time()
    with keep_outcome() as outcome:
        result = recbole_run(
            request.model,
            request.dataset,
            config_file_list=request.config_files,
            config_dict=Checked(request.settings),
            nproc=request.nproc,
        )
    if result is None:
        raise UserError("The processes ended without a result.", "See their output above.")
    result = {**vars(outcome), **result}  # of several processes the result has its outcome already
    summary = {
        "model": request.model,
        "dataset": request.dataset,
        "epochs": result["epochs"],
        "seconds": round(time.time() - started, 1),
        "best_valid": _plain(result["best_valid_result"]),
        "test": _plain(result["test_result"]),
        "branches": result["branches"],
    }
    print(format_table(summary))
    if request.metrics_file:
        write_json(Path(request.metrics_file), summary)
    return summary


def _plain(result: Mapping[str, Any] | None) -> dict[str, float]:
    return {name: float(value) for name, value in (result or {}).items()}


def format_table(summary: Mapping[str, Any]) -> str:
    """Give the closing table as text: a row for the whole model and one for each branch.

    Parameters
    ----------
    summary : Mapping
        As :func:`run` returns it.

    Returns
    -------
    str
        Aligned columns.
    """
    rows = {"all" if summary["branches"] else summary["model"]: summary["test"]}
    rows |= {f"{name} alone": metrics for name, metrics in summary["branches"].items()}
    metrics = list(summary["test"])
    width = max(len(name) for name in rows)
    epochs = f", {summary['epochs']} epochs" if summary["epochs"] else ""
    lines = [
        f"Test of {summary['model']} on {summary['dataset']}{epochs}, {summary['seconds']:.0f} s",
        "  ".join([" " * width, *(f"{metric:>12}" for metric in metrics)]),
    ]
    for name, values in rows.items():
        numbers = (f"{values[metric]:>12.4f}" for metric in metrics)
        lines.append("  ".join([f"{name:<{width}}", *numbers]))
    return "\n".join(lines)
