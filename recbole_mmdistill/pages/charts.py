"""Charts as SVG: a part of a page, in its colours, or a file of their own, dark on white."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import product

import numpy as np
from markupsafe import Markup

from .page import environment

_COLOURS = ("#2f7fb3", "#d1603d", "#3f9a5f", "#8a63c7", "#b8860b", "#c2457f")
_STYLES = [(colour, dashes) for dashes, colour in product(("none", "6 4", "2 4"), _COLOURS)]


def bar(ratio: float, text: str = "") -> Markup:
    """Draw one bar, for a cell of a table: a ratio from 0 to 1, below what is said of it."""
    return _draw("bar", ratio, text)


def bar_chart(
    values: Mapping[str, float],
    label: str,
    *,
    deviations: Mapping[str, float] | None = None,
    emphasised: Collection[str] = (),
    text: Callable[[float], str] = "{:.4g}".format,
) -> Markup:
    """Draw a horizontal bar for each value, its name and number above it.

    Parameters
    ----------
    values : Mapping of str to float
        By name, from top to bottom; finite, of any sign.
    label : str
        What is shown, for those who do not see it.
    deviations : Mapping of str to float, optional
        Half the length of a line at the end of a bar.
    emphasised : Collection of str
        Names whose bars stand out; if there are none, all do.
    text : callable
        How a number is written.
    """
    deviations = deviations or {}
    spread = [(value, deviations.get(name, 0.0)) for name, value in values.items()]
    low = min([0.0, *(value - deviation for value, deviation in spread)])
    scale = 100 / ((max([0.0, *map(sum, spread)]) - low) or 1)
    rows = [
        (
            name,
            text(value),
            not emphasised or name in emphasised,
            scale * (min(value, 0) - low),
            scale * abs(value),
            deviation and [scale * (value + end - low) for end in (-deviation, deviation)],
        )
        for name, (value, deviation) in zip(values, spread)
    ]
    return _draw("bars", label, rows)


def column_chart(
    heights: Sequence[float],
    label: str,
    *,
    ends: tuple[str, str] = ("", ""),
    texts: Sequence[str] = (),
) -> Markup:
    """Draw upright columns side by side, as of a histogram.

    Parameters
    ----------
    heights : Sequence of float
        From left to right, not negative.
    label : str
        What is shown, for those who do not see it.
    ends : tuple of str
        What stands below the first and the last column.
    texts : Sequence of str
        What a mouse that rests on a column is told; none by default.
    """
    return _draw("columns", label, [float(value) for value in heights], ends, texts)


def line_chart(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    label: str,
    *,
    x_label: str = "",
    y_label: str = "",
    logarithmic: bool = False,
) -> Markup:
    """Draw lines through points, with their names below.

    Parameters
    ----------
    lines : Mapping of str to (x, y)
        By name. Points that are not finite are left out.
    label : str
        What is shown, for those who do not see it.
    x_label, y_label : str
        Of the axes.
    logarithmic : bool
        Whether x is; then points with x <= 0 are left out, too.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        points = [
            (np.log10(x) if logarithmic else np.asarray(x, float), np.asarray(y, float))
            for x, y in lines.values()
        ]
    kept = [np.isfinite(x) & np.isfinite(y) for x, y in points]
    points = [(x[shown], y[shown]) for (x, y), shown in zip(points, kept)]
    x_range, y_range = (_range([axis[at] for axis in points]) for at in (0, 1))
    drawn = [
        (
            name,
            [
                f"{a:.4f} {1 - b:.4f}"
                for a, b in zip(np.interp(x, x_range, (0, 1)), np.interp(y, y_range, (0, 1)))
            ],
            *style,
        )
        for (name, (x, y)), style in zip(zip(lines, points), _STYLES * (1 + len(lines)))
    ]
    x_ticks = _powers(*x_range) if logarithmic else _ticks(*x_range)
    return _draw("lines", label, x_label, y_label, x_ticks, _ticks(*y_range), drawn)


def _range(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """Give the least and the greatest of all values, or a range around the only one."""
    every = np.concatenate([np.empty(0), *values])
    low, high = (every.min(), every.max()) if len(every) else (0.0, 0.0)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Choose three to six round numbers; each with its place from 0 to 1."""
    step = 10 ** np.floor(np.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if high - low < 5.5 * factor * step)
    numbers = step * np.arange(int(np.ceil(low / step - 1e-9)), high / step + 1e-9)
    return [((value - low) / (high - low), f"{value:,.6g}") for value in numbers]


def _powers(low: float, high: float) -> list[tuple[float, str]]:
    """Choose the powers of ten, or their double and fivefold as well if they are few."""
    exponents = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        numbers = np.array([factor * 10.0**power for power in exponents for factor in factors])
        places = (np.log10(numbers) - low) / (high - low)
        ticks = [(p, f"{n:,.6g}") for p, n in zip(places, numbers) if -1e-9 <= p <= 1 + 1e-9]
        if len(ticks) > 2:
            break
    return ticks


def _draw(kind: str, *content: object) -> Markup:
    return getattr(environment().get_template("pages/charts.svg.j2").module, kind)(*content)
