"""The report's drawings, as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "recbole_mmdistill",  # the same numbers give the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "font.size": 9,
}
Lines = Mapping[str, tuple[Any, Any]]


def bars(values: Mapping[str, tuple[float, float]], emphasised: str | None, label: str) -> str:
    """Draw a bar for each model, with the spread over seeds.

    Parameters
    ----------
    values : Mapping of str to (mean, deviation)
        By model, in the order of drawing.
    emphasised : str or None
        The model whose bar stands out.
    label : str
        Of the axis.
    """
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(7, 0.3 * len(values) + 0.8))
    names = list(values)[::-1]
    mean, deviation = np.array([values[name] for name in names]).T
    colours = ["#d1495b" if name == emphasised else "#8d99ae" for name in names]
    axes.barh(names, mean, xerr=deviation, color=colours, error_kw={"lw": 1})
    axes.set_xlabel(label)
    axes.grid(axis="y", visible=False)
    return _svg(figure)


def panels(content: Mapping[str, Lines], x_label: str, logarithmic: bool = False) -> str:
    """Draw lines in panels side by side.

    Parameters
    ----------
    content : Mapping of str to Lines
        By the panels' titles: by name a line's x and y.
    x_label : str
        Of all panels.
    logarithmic : bool
        Whether x is.
    """
    pyplot = _pyplot()
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
        axes.legend(frameon=False, fontsize=7)
    for axes in list(grid.flat)[len(content) :]:
        axes.set_visible(False)
    return _svg(figure)


def _pyplot() -> Any:
    import matplotlib  # takes a second

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(_STYLE)
    return pyplot


def _svg(figure: Any) -> str:
    figure.tight_layout()
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    _pyplot().close(figure)
    text = stream.getvalue()
    return text[text.index("<svg") :].strip() + "\n"
