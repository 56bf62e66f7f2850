"""One look for every page the package writes: a base template, tables, charts and pictures.

A page is a template that begins with ``{% extends "pages/base.html.j2" %}``, takes its tables,
cards and figures from ``{% import "pages/parts.html.j2" as parts %}``, and is filled by
:func:`render`. The result is one HTML file that fetches nothing. No helper holds words of its own.
"""

from .charts import bar, bar_chart, column_chart, line_chart
from .page import environment, render
from .pictures import Picture, thumbnail

__all__ = [
    "Picture",
    "bar",
    "bar_chart",
    "column_chart",
    "environment",
    "line_chart",
    "render",
    "thumbnail",
]
