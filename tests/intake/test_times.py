"""Times in every usual form become seconds since 1970, and what they were taken for is said."""

from pathlib import Path

import pandas as pd
import pytest

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.intake.engine import Engine
from recbole_mmdistill.intake.times import read_times
from tests.intake.importing import dropped, imported, refused, report


def clicks(*times):
    rows = "".join(f'u,i{n},"{time}"\n' for n, time in enumerate(times))
    Path("clicks.csv").write_text("user,item,time\n" + rows)


def seconds(*words):
    return [time for _, _, time in imported("clicks.csv", *words)]


@pytest.mark.parametrize(
    ("time", "said", "seconds_"),
    [
        ("1600000000", "seconds since 1970", "1600000000"),
        ("1600000000.25", "seconds since 1970", "1600000000.25"),
        ("1.6e9", "seconds since 1970", "1600000000"),
        ("-86400", "seconds since 1970", "-86400"),
        ("1600000000123", "milliseconds since 1970", "1600000000.123"),
        ("1600000000123456", "microseconds since 1970", "1600000000.123456"),
        ("1600000000123456789", "nanoseconds since 1970", "1600000000.123456789"),
        ("20200913", "days as YYYYMMDD", "1599955200"),
        ("20200913122641", "YYYYMMDDhhmmss", "1600000001"),
        ("13.09.2020", "dates as %d.%m.%Y", "1599955200"),
        ("13.09.2020 12:26", "dates as %d.%m.%Y", "1599999960"),
        ("3.9.2020, 12:26:40", "dates as %d.%m.%Y", "1599136000"),
        ("13/09/2020 12:26", "dates as %d/%m/%Y (the first number goes up to 13", "1599999960"),
        ("9/13/2020 2:26 PM", "dates as %m/%d/%Y (the first number goes up to 9", "1600007160"),
        ("9/13/2020 02:26:40pm", "dates as %m/%d/%Y", "1600007200"),
        ("2020年9月13日", "dates as %Y年%m月%d日", "1599955200"),
        ("2020年09月13日 12:26", "dates as %Y年%m月%d日", "1599999960"),
        ("2020/9/13 12:26", "1 without a zone, taken as UTC", "1599999960"),
        ("2020-09-13", "1 days without a time, taken as midnight UTC", "1599955200"),
        ("2020/09/13 12:26:40", "1 without a zone, taken as UTC", "1600000000"),
        ("2020-09-13T12:26:40", "1 without a zone, taken as UTC", "1600000000"),
        ("2020-09-13 12:26", "1 without a zone, taken as UTC", "1599999960"),
        ("2020-09-13T12:26:40Z", "1 with a zone", "1600000000"),
        ("2020-09-13T14:26:40.5+02:00", "1 with a zone", "1600000000.5"),
        ("2020-09-13 12:26:40.123456789 UTC", "1 with a zone", "1600000000.123456789"),
    ],
)
def test_a_time_is_told_by_how_it_looks(time, said, seconds_):
    clicks(time)
    assert seconds() == [seconds_]
    assert said in report()["interactions"]["times"]


def test_dates_of_several_forms_of_iso_8601_may_be_mixed():
    clicks("2020-09-13", "2020-09-13T00:00:01Z", "2020-09-13 00:00:02")
    assert seconds() == ["1599955200", "1599955201", "1599955202"]


def test_a_number_that_looks_like_a_day_is_one_only_among_days():
    clicks("20200913", "20200914")
    assert seconds() == ["1599955200", "1600041600"]
    clicks("19991231", "1600000000")
    assert seconds("--overwrite") == ["19991231", "1600000000"]


def test_what_is_of_another_form_than_most_is_dropped_with_its_line():
    good = [str(1600000000 + n) for n in range(8)]
    clicks(good[0], "1600000001000", "yesterday", "", "2020-09-13", *good[1:])
    assert len(seconds()) == 8
    assert dropped() == {"time_of_another_form": 2, "unreadable_time": 1, "no_time": 1}
    (other, missing, unreadable) = (
        report()["interactions"]["dropped"][kind]["examples"]
        for kind in ("time_of_another_form", "no_time", "unreadable_time")
    )
    assert (other, missing, unreadable) == (
        ["clicks.csv:3", "clicks.csv:6"],
        ["clicks.csv:5"],
        ["clicks.csv:4"],
    )


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (("yesterday", "today"), "of no one form that is known ('yesterday')"),
        (("1600000000", "1600000000000"), "of no one form"),
        (("2020-02-30", "2020-13-01"), "of no one form"),
        (("13.09.20 12:26",), '--time_format="%d.%m.%y %H:%M"'),
        (("2020/9/13 2:26 PM",), '--time_format="%Y/%m/%d %I:%M %p"'),
        (("13 Sep 20",), '--time_format="%d %b %y"'),
        (("1600000000", "1600000000000"), "--time_format=ms"),
        (("infinity", "epoch"), "of no one form"),
        (("", ""), "'time' is empty"),
    ],
)
def test_times_without_one_form_are_refused(capsys, times, said):
    clicks(*times)
    assert said in refused(capsys, "clicks.csv")


def test_one_date_with_slashes_settles_the_order_of_all():
    clicks("01/02/2020", "13/02/2020", "31/02/2020")
    assert seconds() == ["1580515200", "1581552000"]
    assert dropped() == {"unreadable_time": 1}


@pytest.mark.parametrize(
    ("times", "why"),
    [
        (("01/02/2020 10:00", "02/03/2020 10:00"), "no number is above 12"),
        (("01/13/2020 10:00", "13/01/2020 10:00"), "both numbers go above 12"),
    ],
)
def test_dates_with_slashes_of_unknown_order_are_refused(capsys, times, why):
    clicks(*times)
    line = refused(capsys, "clicks.csv")
    assert why in line and repr(times[0]) in line
    assert '--time_format="%d/%m/%Y %H:%M" or --time_format="%m/%d/%Y %H:%M"' in line


def test_small_numbers_are_an_order_and_never_times(capsys):
    clicks(2, 0, 1)
    assert seconds() == ["0", "1", "2"]
    assert "numbers from 0 to 2, taken as an order, NOT as times" in capsys.readouterr().out
    clicks(1, 3, -1)
    line = refused(capsys, "clicks.csv", "--overwrite")
    assert "numbers in 'time' go from -1 to 3: these are no times" in line
    assert seconds("--overwrite", "--time_format=s") == ["-1", "1", "3"]


def test_where_there_is_no_such_option_none_is_advised():
    with Engine(Path()) as engine:
        engine.run("CREATE TABLE raw AS SELECT 0 AS part, 1 AS line, '5/6/2020' AS time")
        with pytest.raises(UserError, match="Write them as 2025-12-31 14:03") as caught:
            read_times(engine, "when", None)
    assert "--time_format" not in str(caught.value)


def test_a_form_that_is_said_is_taken():
    clicks("13.09.2020 12:26", "14.09.2020 12:26", "x")
    assert seconds("--time_format=%d.%m.%Y %H:%M") == ["1599999960", "1600086360"]
    assert dropped() == {"unreadable_time": 1}
    clicks("1600000000", "86400")
    assert seconds("--overwrite", "--time_format=ms") == ["86.4", "1600000"]


@pytest.mark.parametrize("form", ["hours", "%Q", "%d.%m.%Y", "'; DROP TABLE raw; --%d"])
def test_a_form_that_does_not_fit_is_refused(capsys, form):
    clicks("1600000000", "1600000001")
    assert repr(form)[1:-1] in refused(capsys, "clicks.csv", f"--time_format={form}")


def test_without_times_the_rows_are_in_order():
    Path("clicks.csv").write_text("user,item\nb,x\na,y\nb,z\n")
    assert imported("clicks.csv") == [("b", "x", "0"), ("a", "y", "1"), ("b", "z", "2")]
    assert "the order of the rows" in report()["interactions"]["times"]


def test_rows_are_written_in_time_and_ties_in_the_source_s_order():
    clicks(3, 1, 2, 1)
    assert [item for _, item, _ in imported("clicks.csv")] == ["i1", "i3", "i2", "i0"]
    assert report()["interactions"]["ties_in_time"] == 2


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_typed_times_of_parquet(unit):
    times = pd.to_datetime(["2020-09-13 12:26:40", None, "2020-09-13 12:26:42"]).astype(
        f"datetime64[{unit}]"
    )
    pd.DataFrame({"user": "u", "item": list("abc"), "time": times}).to_parquet("clicks.parquet")
    rows = imported("clicks.parquet")
    assert rows == [("u", "a", "1600000000"), ("u", "c", "1600000002")]
    assert dropped() == {"no_time": 1}


@pytest.mark.parametrize(
    "time",
    [
        *("13 Sep 2020", "13-SEP-2020", "13 September 2020", "Sep 13, 2020", "September 13 2020"),
        *("13 Sep 2020 00:00", "Sep 13, 2020, 12:00 am"),
    ],
)
def test_a_month_may_be_a_word(time):
    clicks(time)
    assert seconds() == ["1599955200"]
    assert "dates as %d %b %Y" in report()["interactions"]["times"]


def test_days_stay_days_if_one_of_them_is_none():
    clicks("20200913", "20200914", "20200900")
    assert seconds() == ["1599955200", "1600041600"]
    assert dropped() == {"time_of_another_form": 1}


def test_a_column_that_looks_like_times_is_said_but_not_taken(capsys):
    Path("clicks.csv").write_text("user,item,t_dat\nu,i,2020-09-13\nu,j,2020-09-12\n")
    assert seconds() == ["0", "1"]
    assert "'t_dat' looks like times: --time=t_dat takes it" in capsys.readouterr().out
