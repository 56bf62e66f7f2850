"""What the times are: told by all of them, said, and never mixed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import duckdb

from ..errors import UserError
from .dates import DATES, option_for, read_dates
from .engine import Engine, literal

_NUMBER = "TRY_CAST(time AS DECIMAL(28, 9))"  # 19 digits before the point: ns until 2286
_DAY = r"[-/]\d{1,2}[-/]\d{1,2}"
_CLOCK = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
_ZONE = r" ?(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?)"
_ISO = f"TRY_CAST(time AS TIMESTAMPTZ) IS NOT NULL AND regexp_full_match(time, '\\d{{4}}{_DAY}"
_DATES = "".join(
    f"  WHEN regexp_full_match(time, '{r}') THEN '{form}'\n" for form, r in DATES.items()
)
# By their size: seconds to the year 5138, and so on.
_FORM = rf"""
CASE
  WHEN trim(time) = '' THEN 'missing'
  WHEN {_NUMBER} IS NOT NULL THEN CASE
    WHEN regexp_full_match(time, '(19|20)\d{{6}}')
      AND try_strptime(time, '%Y%m%d') IS NOT NULL THEN 'day'
    WHEN regexp_full_match(time, '(19|20)\d{{12}}')
      AND try_strptime(time, '%Y%m%d%H%M%S') IS NOT NULL THEN 'day_and_clock'
    WHEN abs({_NUMBER}) < 1e11 THEN 's'
    WHEN abs({_NUMBER}) < 1e14 THEN 'ms'
    WHEN abs({_NUMBER}) < 1e17 THEN 'us'
    ELSE 'ns' END
  WHEN {_ISO}') THEN 'iso_day'
  WHEN {_ISO}[T ]{_CLOCK}') THEN 'iso_no_zone'
  WHEN {_ISO}[T ]{_CLOCK}{_ZONE}') THEN 'iso_zone'
{_DATES}  ELSE 'unreadable' END
"""
UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_NANOS = {
    # TIMESTAMPTZ has microseconds; the digits after them are added.
    "iso": "CAST(epoch_us(TRY_CAST(time AS TIMESTAMPTZ)) AS HUGEINT) * 1000 + "
    r"CAST(rpad(regexp_extract(time, '\.\d{6}(\d{1,3})', 1), 3, '0') AS INTEGER)",
    "day": "CAST(epoch_us(try_strptime(time, '%Y%m%d')) AS HUGEINT) * 1000",
    "day_and_clock": "CAST(epoch_us(try_strptime(time, '%Y%m%d%H%M%S')) AS HUGEINT) * 1000",
    **{
        unit: f"CAST({_NUMBER} * CAST({nanos} AS DECIMAL(10, 0)) AS HUGEINT)"
        for unit, nanos in UNITS.items()
    },
}
_SAID = {
    "iso": "ISO 8601",
    "day": "days as YYYYMMDD, taken as UTC",
    "day_and_clock": "YYYYMMDDhhmmss, taken as UTC",
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "ns": "nanoseconds since 1970",
}
_COUNTS = 100_000_000  # seconds; times that all lie before March 1973 are an order
_SMALL = 1000  # numbers up to here count something: rows of a user, or pieces of an order


class Times(NamedTuple):
    """How the column ``time`` of the table ``raw`` is read, as expressions of SQL.

    Attributes
    ----------
    said : str
        What it was taken for, in words.
    form : str
        The form of a row's time; the other two name its result ``form``.
    nanos : str
        Nanoseconds since 1970, UTC; NULL for what cannot be read.
    problem : str
        The kind of what cannot be read, else NULL.
    """

    said: str
    form: str
    nanos: str
    problem: str


def order_of_rows(within: str = "part, line") -> Times:
    """Give the times of a table without any: 0, 1, 2, ... seconds, in the order of some columns."""
    nanos = f"(row_number() OVER (ORDER BY {within}) - 1) * {10**9}"
    return Times(
        "no column of times: the order of the rows, as 0, 1, 2, ...", "NULL", nanos, "NULL"
    )


def read_times(engine: Engine, column: str, given: str | None, ask: bool = False) -> Times:
    """Find out what the times are.

    Parameters
    ----------
    engine : Engine
        Has the table ``raw`` with a column ``time`` of text.
    column : str
        Name of that column in the source, for messages.
    given : str or None
        A unit of :data:`UNITS`, or a format as of ``strptime``.
    ask : bool
        Whether the user can say it by ``--time_format``.

    Raises
    ------
    UserError
        Most of them cannot be read, no form has most of them, or they are clearly no times.
    """
    if given is not None:
        return _as_given(engine, column, given)
    found = engine.run(
        f"SELECT form, count(*), arg_min(time, line), min({_NUMBER}), max({_NUMBER}) "
        f"FROM (SELECT time, line, {_FORM} AS form FROM raw) GROUP BY form",
        label="reading times",
    )
    counts = {form: rows for form, rows, *_ in found}
    examples = {form: time for form, _, time, *_ in found if form != "missing"}
    total = sum(rows for form, rows in counts.items() if form != "missing")
    families = _families(counts)
    chosen = max(families, key=lambda family: families[family][0], default="")
    if not total or not chosen or 2 * families[chosen][0] <= total:
        shown = ", ".join(map(repr, examples.values()))
        raise UserError(
            f"The column {column!r} is empty."
            if not total
            else f"The times in {column!r} are of no one form that is known ({shown}).",
            _advice(examples, ask),
        )
    accepted = ", ".join(f"'{form}'" for form in families[chosen][1])
    if chosen in DATES:
        said, nanos = read_dates(engine, column, chosen, ask)
        unreadable = f"CASE WHEN {nanos} IS NULL THEN 'unreadable_time' END"
    else:
        said, nanos, unreadable = _SAID[chosen], _NANOS[chosen], "NULL"
    if chosen == "s":
        ranges = [(low, high) for form, *_, low, high in found if form in families["s"][1]]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        said = _order(column, int(low), int(high), ask) or said
    if chosen == "iso":
        notes = {
            "iso_day": "days without a time, taken as midnight UTC",
            "iso_no_zone": "without a zone, taken as UTC",
            "iso_zone": "with a zone",
        }
        said += ": " + "; ".join(
            f"{counts[form]:,} {note}" for form, note in notes.items() if form in counts
        )
    return Times(
        said,
        _FORM,
        f"CASE WHEN form IN ({accepted}) THEN {nanos} END",
        f"CASE WHEN form IN ({accepted}) THEN {unreadable} WHEN form = 'missing' THEN 'no_time' "
        "WHEN form = 'unreadable' THEN 'unreadable_time' ELSE 'time_of_another_form' END",
    )


def _advice(examples: dict[str, str], ask: bool) -> str:
    if not ask:
        return "Write them as 2025-12-31 14:03, or as seconds since 1970, or name another --time."
    if any(form in UNITS for form in examples):
        return "Say their form, e.g. --time_format=ms or --time_format=%d.%m.%Y, or another --time."
    return (
        f"Say their form, e.g. {option_for(next(iter(examples.values()), ''))}, or another --time."
    )


def _order(column: str, low: int, high: int, ask: bool) -> str:
    """Say that numbers are an order; nothing, if they may be seconds; refuse what is neither."""
    if high > _SMALL or low < -_SMALL:
        return ""
    if low < 0:
        raise UserError(
            f"The numbers in {column!r} go from {low} to {high}: these are no times.",
            "Name another --time" + (", or say --time_format=s." if ask else "."),
        )
    return f"numbers from {low} to {high}, taken as an order, NOT as times"


def _families(counts: dict[str, int]) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Give the rows and the forms of each way to read them."""
    groups: dict[str, tuple[str, ...]] = {
        "iso": ("iso_day", "iso_no_zone", "iso_zone"),
        **{form: (form,) for form in (*UNITS, "day", "day_and_clock", *DATES)},
    }
    # Seconds may happen to look like a day; milliseconds that do are of the year 2609 or later.
    if counts.get("day", 0) <= counts.get("s", 0):
        groups["s"] = ("s", "day")
    return {
        family: (rows, forms)
        for family, forms in groups.items()
        if (rows := sum(counts.get(form, 0) for form in forms))
    }


def _as_given(engine: Engine, column: str, given: str) -> Times:
    if given in UNITS:
        said, nanos = _SAID[given], _NANOS[given]
    elif "%" not in given:
        raise UserError(
            f"--time_format is {given!r}.", "Give s, ms, us, ns, or a format such as %d.%m.%Y."
        )
    else:
        said = f"times as {given}"
        nanos = f"CAST(epoch_us(try_strptime(time, {literal(given)})) AS HUGEINT) * 1000"
    try:
        ((rows, read),) = engine.run(f"SELECT count(*), count({nanos}) FROM raw")
    except duckdb.InvalidInputException as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--time_format is {given!r} ({reason}).", "Correct it.") from None
    if 2 * read <= rows:
        ((example,),) = engine.run(f"SELECT arg_min(time, line) FROM raw WHERE {nanos} IS NULL")
        raise UserError(
            f"Only {read:,} of {rows:,} times in {column!r} are {said} (one is {example!r}).",
            "Give another --time_format or --time.",
        )
    problem = "CASE form WHEN 'missing' THEN 'no_time' WHEN 'unreadable' THEN 'unreadable_time' END"
    form = f"CASE WHEN trim(time) = '' THEN 'missing' WHEN {nanos} IS NULL THEN 'unreadable' END"
    return Times(said, form, nanos, problem)


def span(first: int, last: int) -> str:
    """Say from when to when, or that the times are counts.

    Parameters
    ----------
    first, last : int
        Nanoseconds since 1970.
    """
    if last < _COUNTS * 10**9 and first >= 0:
        return f"{first // 10**9} to {last // 10**9} s: these look like an order, not like dates"
    return f"{_date(first)} to {_date(last)} UTC"


def _date(nanos: int) -> str:
    try:
        return str(datetime(1970, 1, 1) + timedelta(seconds=nanos // 10**9))
    except OverflowError:
        return f"{nanos // 10**9} s"
