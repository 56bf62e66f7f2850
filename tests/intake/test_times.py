"""Times in every usual form become seconds since 1970, and what they were taken for is said."""

from pathlib import Path

import pandas as pd
import pytest

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
        (("13.09.2020",), "of no one form"),
        (("infinity", "epoch"), "of no one form"),
        (("", ""), "'time' is empty"),
    ],
)
def test_times_without_one_form_are_refused(capsys, times, said):
    clicks(*times)
    assert said in refused(capsys, "clicks.csv")


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
