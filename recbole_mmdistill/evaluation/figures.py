"""The report's figures, as SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .document import Figure
from .held_back import missing_families
from .measured import Measured
from .plan import Study
from .results import Result, Results

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "recbole_mmdistill",  # the same numbers give the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "font.size": 9,
}
_BRANCHES = {
    "ndcg@10": "NDCG@10 of each branch (validation)",
    "loss": "cross entropy of each branch (training)",
    "kl": "KL(teacher || student) (validation)",
    "overlap@10": "common items among two branches' first ten",
    "gradient_norm": "gradient norm of each sequence encoder",
    "taught": "divergence from the teacher (training)",
}
_Lines = Mapping[str, tuple[Any, Any]]  # x and y of each line, by its name


def learning(name: str, dataset: str, trials: Mapping[str, Measured]) -> Figure:
    """Draw what quality each model has reached by when.

    Parameters
    ----------
    name : str
        Of the figure.
    dataset : str
        For the caption.
    trials : Mapping of str to Measured
        A trial of each model, that no GPU ran.
    """
    lines = {
        model: (np.cumsum(trial.cpu_seconds), np.maximum.accumulate(trial.valid))
        for model, trial in trials.items()
    }
    caption = (
        f"{dataset}: best validation NDCG@10 so far against CPU seconds of training, first seed "
        "that no GPU ran."
    )
    svg = _panels({dataset: lines}, "CPU seconds of training", logarithmic=True)
    return Figure(name, caption, svg)


def branches(name: str, dataset: str, result: Result, results: Results) -> Iterator[Figure]:
    """Draw how the branches of a model learn: who teaches whom, and whether one dominates.

    Parameters
    ----------
    name : str
        Of the figure.
    dataset : str
        For the caption.
    result : Result
        The model's; its first seed is drawn.
    results : Results
        Hold its record, if it was run on this machine; else the figure that is there stays.

    Yields
    ------
    Figure
        One, or none if the branches were not watched.
    """
    trial = result.trials[0]
    record = results.store.read(trial.key, trial.behaviour)
    before = results.folder / "figures" / f"{name}.svg"
    caption = f"{dataset}: {result.model}'s branches by epoch, first seed."
    if record is None:
        if before.is_file():
            yield Figure(name, caption, before.read_text(encoding="utf-8"))
        return
    epochs = [epoch["branches"] for epoch in record["epochs"] if "branches" in epoch]
    if not epochs:
        return
    x = np.arange(1, len(epochs) + 1)
    panels: dict[str, _Lines] = {}
    for kind, title in _BRANCHES.items():
        joint = " → " if kind in ("kl", "taught") else " & "
        keys = [key for key in epochs[0] if key.startswith(f"{kind}/")]
        if keys:
            panels[title] = {
                key.partition("/")[2].replace("-", joint): (x, [epoch[key] for epoch in epochs])
                for key in keys
            }
    yield Figure(name, caption, _panels(panels, "epoch"))


def missing(name: str, study: Study, dataset: str, results: Results) -> Figure:
    """Draw NDCG@10 of each model against the share of items without features.

    Parameters
    ----------
    name : str
        Of the figure.
    study : Study
        Whose conditions take features away.
    dataset : str
        Its name in the plan.
    results : Results
        What is on disk.
    """
    panels: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for family, by_share in missing_families(results.plan, study):
        panels[family] = {}
        for share, condition in by_share.items():
            for model, result in results.of_study(study, dataset, condition).items():
                x, y = panels[family].setdefault(model, ([], []))
                x.append(share)
                y.append(float(result.by_seed().mean()))
    caption = f"{dataset}: test NDCG@10 against the share of items without features."
    return Figure(name, caption, _panels(panels, "share of items without features"))


def _panels(content: Mapping[str, _Lines], x_label: str, logarithmic: bool = False) -> str:
    """Draw lines in panels side by side, by their titles."""
    import matplotlib  # takes a second

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(_STYLE)
    columns = min(len(content), 2)
    rows = -(-len(content) // columns)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(4.2 * columns, 2.8 * rows), squeeze=False
    )
    for axes, (title, lines) in zip(grid.flat, content.items()):
        for name, (x, y) in lines.items():
            axes.plot(x, y, label=name, marker="." if len(x) < 8 else None, lw=1.4)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel(x_label)
        if logarithmic:
            axes.set_xscale("log")
        if lines:
            axes.legend(frameon=False, fontsize=7)
    for axes in list(grid.flat)[len(content) :]:
        axes.set_visible(False)
    figure.tight_layout()
    stream = io.StringIO()
    # Neither metadata nor indentation: reports are kept in git.
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(stream, format="svg", metadata=metadata)
    pyplot.close(figure)
    text = stream.getvalue()
    text = re.sub(r"\n\s+", "\n", text[text.index("<svg") :]).strip() + "\n"
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", text)
