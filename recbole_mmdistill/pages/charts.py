"""Charts as SVG: a part of a page, or a file of their own.

Places along the width are percentages, so that a chart fills a narrow page and a wide one with
letters of the same size. Colours are those of the page; a file of its own is dark on white.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from markupsafe import Markup

Line = tuple[Sequence[float], Sequence[float]]

_COLOURS = ("#2f7fb3", "#d1603d", "#3f9a5f", "#8a63c7", "#b8860b", "#c2457f")
_DASHES = ("none", "6 3", "2 3")
_INK, _SOFT, _LINE = "var(--ink,#24272c)", "var(--soft,#62676f)", "var(--line,#d8d5cd)"
_ACCENT, _QUIET = "var(--accent,#3f7d92)", "var(--quiet,#a3a8ae)"
_TRACK = "var(--track,#e9e6de)"
_WIDTH, _ROW, _PLOT = 640, 36, 220  # pixels; the width is that of a file of its own
_LEFT, _ACROSS = 12.0, 86.0  # percent: where a plot begins, how much it takes


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
    spread = {name: (deviations or {}).get(name, 0.0) for name in values}
    low = min([0.0, *(value - spread[name] for name, value in values.items())])
    high = max([0.0, *(value + spread[name] for name, value in values.items())])
    scale = 100 / ((high - low) or 1)
    rows = []
    for y, (name, value) in zip(range(0, _ROW * len(values), _ROW), values.items()):
        colour = _ACCENT if not emphasised or name in emphasised else _QUIET
        rows.append(
            _text("0", y + 14, name, _INK)
            + _text("100%", y + 14, text(value), _SOFT, anchor="end")
            + _rect(0, y + 20, 100, 9, _TRACK)
            + _rect((min(value, 0) - low) * scale, y + 20, abs(value) * scale, 9, colour)
        )
        if spread[name]:
            ends = [(value + sign * spread[name] - low) * scale for sign in (-1, 1)]
            rows.append(_stroke((ends[0], y + 24.5), (ends[1], y + 24.5), _INK))
    return _svg(label, _ROW * len(values), rows)


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
    wide, tall = 100 / max(len(heights), 1), max([*heights, 0]) or 1
    columns = []
    for at, value in enumerate(heights):
        size = 96 * value / tall and max(96 * value / tall, 1)  # what is there can be seen
        columns.append(
            _rect(at * wide, 96 - size, wide * 0.9, size, _ACCENT, "".join(texts[at : at + 1]))
        )
    below = [_text("0", 112, ends[0], _SOFT), _text("100%", 112, ends[1], _SOFT, anchor="end")]
    return _svg(label, 118, [*columns, _stroke((0, 96), (100, 96), _LINE), *below])


def line_chart(
    lines: Mapping[str, Line],
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
    points = {name: np.array(xy, dtype=float).T for name, xy in lines.items()}  # [n, 2]
    for name, xy in points.items():
        kept = np.isfinite(xy).all(axis=1) & ((xy[:, 0] > 0) | (not logarithmic))
        points[name] = xy[kept]
    every = np.concatenate([np.empty((0, 2)), *points.values()])
    if not len(every):
        every = np.ones((1, 2))
    (x_low, y_low), (x_high, y_high) = every.min(axis=0), every.max(axis=0)
    ahead: Callable[[float], float] = math.log10 if logarithmic else float
    x_of = _place(ahead(x_low), ahead(x_high))
    margin = 0.05 * (y_high - y_low)
    y_of = _place(y_low - margin, y_high + margin)
    top, bottom = 22, 22 + _PLOT
    drawn = [_text("0", 14, y_label, _SOFT)]
    for value in _ticks(y_low, y_high):
        y = bottom - _PLOT * y_of(value)
        drawn.append(_stroke((_LEFT, y), (_LEFT + _ACROSS, y), _LINE))
        drawn.append(_text(f"{_LEFT - 1.5}%", y + 4, f"{value:,.6g}", _SOFT, anchor="end"))
    for value in _powers(x_low, x_high) if logarithmic else _ticks(x_low, x_high):
        x = _LEFT + _ACROSS * x_of(ahead(value))
        drawn.append(_stroke((x, bottom), (x, bottom + 4), _SOFT))
        drawn.append(_text(f"{x:.2f}%", bottom + 18, f"{value:,.6g}", _SOFT, anchor="middle"))
    drawn.append(_text(f"{_LEFT + _ACROSS}%", bottom + 36, x_label, _SOFT, anchor="end"))
    drawn.append(
        Markup(
            '<svg x="{}%" y="{}" width="{}%" height="{}" viewBox="0 0 1000 1000"'
            ' preserveAspectRatio="none" overflow="visible">'
        ).format(_LEFT, top, _ACROSS, _PLOT)
    )
    styles = {}
    for at, (name, xy) in enumerate(points.items()):
        dash = _DASHES[at // len(_COLOURS) % len(_DASHES)]
        styles[name] = f"stroke:{_COLOURS[at % len(_COLOURS)]};stroke-dasharray:{dash}"
        path = [f"{1000 * x_of(ahead(x)):.1f} {1000 - 1000 * y_of(y):.1f}" for x, y in xy]
        drawn.append(_curve("M" + "L".join(path), styles[name] + ";stroke-width:2"))
        if len(path) < 20:  # a line without length has the shape of its round ends
            dots = "".join(f"M{point}h0" for point in path)
            drawn.append(_curve(dots, styles[name] + ";stroke-dasharray:none;stroke-width:7"))
    drawn.append(Markup("</svg>"))
    for at, name in enumerate(lines):
        x, y = 50 * (at % 2), bottom + 62 + 20 * (at // 2)
        drawn.append(_stroke((x, y - 4), (x + 4, y - 4), "", styles[name] + ";stroke-width:3"))
        drawn.append(_text(f"{x + 5.5}%", y, name, _INK, longest=28))
    return _svg(label, bottom + 50 + 20 * math.ceil(len(lines) / 2), drawn)


def _place(low: float, high: float) -> Callable[[float], float]:
    """Map low to 0 and high to 1; a range of one value to the middle."""
    if high == low:
        return lambda value: 0.5
    return lambda value: (value - low) / (high - low)


def _ticks(low: float, high: float) -> list[float]:
    """Give three to six round numbers from low to high, or the one number there is."""
    if high == low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if high - low < 5.5 * factor * step)
    return [
        step * n for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]


def _powers(low: float, high: float) -> list[float]:
    """Give the powers of ten from low to high, and their double and fivefold if they are few."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    all_of = {
        factors: [f * 10.0**e for e in exponents for f in factors if low <= f * 10.0**e <= high]
        for factors in ((1,), (1, 2, 5))
    }
    return all_of[(1,)] if len(all_of[(1,)]) > 2 else all_of[(1, 2, 5)] or [low]


def _svg(label: str, height: float, content: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label="{}"'
        ' width="{}" height="{}" style="background:var(--chart,#fff);'
        'font:13px system-ui,sans-serif">{}</svg>'
    ).format(label, _WIDTH, height, Markup("\n").join(content))


def _text(
    x: str, y: float, text: str, colour: str, anchor: str = "start", longest: int = 40
) -> Markup:
    short = text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
    return Markup(
        '<text x="{}" y="{:.1f}" text-anchor="{}" style="fill:{}">{}<title>{}</title></text>'
    ).format(x, y, anchor, colour, short, text)


def _rect(x: float, y: float, width: float, height: float, colour: str, text: str = "") -> Markup:
    return Markup(
        '<rect x="{:.2f}%" y="{:.2f}" width="{:.2f}%" height="{:.2f}" style="fill:{}">'
        "<title>{}</title></rect>"
    ).format(x, y, width, height, colour, text)


def _stroke(
    start: tuple[float, float], end: tuple[float, float], colour: str, style: str = ""
) -> Markup:
    return Markup('<line x1="{:.2f}%" y1="{:.1f}" x2="{:.2f}%" y2="{:.1f}" style="{}"/>').format(
        *start, *end, style or f"stroke:{colour}"
    )


def _curve(path: str, style: str) -> Markup:
    return Markup(
        '<path d="{}" vector-effect="non-scaling-stroke" stroke-linecap="round"'
        ' stroke-linejoin="round" style="fill:none;{}"/>'
    ).format(path, style)
