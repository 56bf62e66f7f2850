"""Dates as people write them, ISO 8601 aside: how they look, and what order their parts have."""

from __future__ import annotations

import shlex
from datetime import datetime
from itertools import product

from ..errors import UserError
from .engine import Engine

_CLOCK = r"(,? \d{1,2}:\d{2}(:\d{2})?( ?[AaPp][Mm])?)?"
_MONTH = "[A-Za-z]{3,9}"
DATES = {  # forms, and what a time of the form matches whole
    "dots": rf"\d{{1,2}}\.\d{{1,2}}\.\d{{4}}{_CLOCK}",
    "slashes": rf"\d{{1,2}}/\d{{1,2}}/\d{{4}}{_CLOCK}",
    "characters": rf"\d{{4}}年\d{{1,2}}月\d{{1,2}}日{_CLOCK}",
    "names": rf"(\d{{1,2}}[ -]{_MONTH}[ -]|{_MONTH} \d{{1,2}},? )\d{{4}}{_CLOCK}",
}
_ORDERS = {
    "dots": ("%d.%m.%Y",),
    "characters": ("%Y年%m月%d日",),
    "names": ("%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y"),
}
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_EXAMPLES = (
    *("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d"),
    *("%Y/%m/%d", "%Y-%m-%d"),
    *("%d/%m/%y", "%m/%d/%y", "%d %b %y", "%d-%b-%y", "%b %d, %y"),
)


def option_for(value: str, formats: tuple[str, ...] = _EXAMPLES) -> str:
    """Write the option ``--time_format`` that fits a value, as a shell takes it.

    Parameters
    ----------
    value : str
        A time as it was seen.
    formats : tuple of str
        Of dates, without the time of the day: the first that fits is taken.

    Returns
    -------
    str
        For example ``--time_format="%d.%m.%Y %H:%M"``; for what fits none, the first of them.
    """
    for date, gap, clock in product(formats, ("", ","), _CLOCKS):
        form = date + (gap + clock if clock else "")
        try:
            datetime.strptime(value.strip(), form)
        except ValueError:
            continue
        return f'--time_format="{form}"' if " " in form else f"--time_format={form}"
    return f"--time_format={shlex.quote(formats[0])}"


def read_dates(engine: Engine, column: str, form: str, ask: bool) -> tuple[str, str]:
    """Find out the order of day and month.

    Parameters
    ----------
    engine : Engine
        Has the table ``raw`` with a column ``time`` of text.
    column : str
        Name of that column in the source, for messages.
    form : str
        One of :data:`DATES`, which most of the times are of.
    ask : bool
        Whether the user can say the order by ``--time_format``.

    Returns
    -------
    said, nanos : str
        What it is, in words; and the expression of SQL for nanoseconds since 1970, UTC.

    Raises
    ------
    UserError
        Dates with slashes may be of either order, or are of both.
    """
    dates, why = _ORDERS.get(form, ()), ""
    if not dates:
        date, why = _order_of_slashes(engine, column, ask)
        dates = (date,)
    formats = ", ".join(f"'{date}{clock}'" for date in dates for clock in _CLOCKS)
    plain = r"regexp_replace(replace(time, ',', ''), ' ?([AaPp][Mm])$', ' \1')"
    if form == "names":
        plain = f"replace({plain}, '-', ' ')"
    nanos = f"CAST(epoch_us(try_strptime({plain}, [{formats}])) AS HUGEINT) * 1000"
    shown = " or ".join(dates)
    return f"dates as {shown}{why}, without a zone, taken as UTC", nanos


def _order_of_slashes(engine: Engine, column: str, ask: bool) -> tuple[str, str]:
    ((first, second, example),) = engine.run(
        r"SELECT max(regexp_extract(time, '^(\d+)/', 1)::INTEGER), "
        r"max(regexp_extract(time, '^\d+/(\d+)/', 1)::INTEGER), arg_min(time, line) "
        f"FROM raw WHERE regexp_full_match(time, '{DATES['slashes']}')",
        label="reading times",
    )
    if first > 12 >= second:
        return "%d/%m/%Y", f" (the first number goes up to {first}, the second to {second})"
    if second > 12 >= first:
        return "%m/%d/%Y", f" (the first number goes up to {first}, the second to {second})"
    month_first = option_for(example, ("%d/%m/%Y", "%m/%d/%Y")).replace("%d/%m", "%m/%d")
    day_first = month_first.replace("%m/%d", "%d/%m")
    why = "no number is above 12" if first <= 12 else "both numbers go above 12"
    raise UserError(
        f"The dates in {column!r} may have the day or the month first ({example!r}; {why}).",
        f"Say which: {day_first} or {month_first}."
        if ask
        else "Write them as 2025-12-31 14:03, or as seconds since 1970.",
    )
