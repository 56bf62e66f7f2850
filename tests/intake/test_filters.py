"""Duplicates, k-cores and last rows; and that nothing is dropped that is not counted."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbole_mmdistill.cli import main
from tests.intake.importing import dropped, imported, refused, report


def clicks(*rows):
    lines = "".join(f"{user},{item},{time}\n" for user, item, time in rows)
    Path("clicks.csv").write_text("user,item,time\n" + lines)


def test_dedupe_keeps_the_first_in_time_or_the_last():
    clicks("ax3", "ay4", "ax1", "bx5", "ax2")
    first = imported("clicks.csv", "--dedupe")
    assert first == [("a", "x", "1"), ("a", "y", "4"), ("b", "x", "5")]
    assert dropped() == {"dedupe": 2}
    assert report()["interactions"]["dropped"]["dedupe"]["examples"] == [
        "clicks.csv:2",
        "clicks.csv:6",
    ]
    last = imported("clicks.csv", "--dedupe=last", "--overwrite")
    assert last == [("a", "x", "3"), ("a", "y", "4"), ("b", "x", "5")]


def test_keep_last_keeps_each_user_s_last_rows_in_time():
    clicks("ax3", "ay4", "az1", "bx5")
    assert imported("clicks.csv", "--keep_last=2") == [
        ("a", "x", "3"),
        ("a", "y", "4"),
        ("b", "x", "5"),
    ]
    assert dropped() == {"keep_last": 1}


def test_the_k_core_is_sought_until_nothing_changes():
    # c has one row; without it z has one, without z b has one, and so on to nothing of b.
    clicks("ax1", "ay2", "bz3", "by4", "cz5", "dx6", "dy7")
    rows = imported("clicks.csv", "--min_user=2", "--min_item=2")
    assert {user for user, _, _ in rows} == {"a", "d"}
    assert dropped() == {"min_user": 2, "min_item": 1}


def test_what_leaves_nothing_is_refused(capsys):
    clicks("ax1", "by2")
    assert "No row of clicks.csv is left (2: a user with too few rows" in refused(
        capsys, "clicks.csv", "--min_user=2"
    )


def test_what_is_remarkable_is_counted():
    clicks("ax1", "ay1", "ax2", "bx5")
    imported("clicks.csv")
    account = report()["interactions"]
    assert {key: account[key] for key in ("ties_in_time", "duplicates")} == {
        "ties_in_time": 2,
        "duplicates": 1,
    }
    assert (account["users_with_one_row"], account["items_with_one_row"]) == (1, 1)


def test_rows_that_look_alike_get_a_hint(capsys):
    clicks("ax1", "ay1", "ax2")
    imported("clicks.csv")
    assert (
        "  --dedupe keeps one row of each user and item\n"
        "  returns count as purchases, unless you leave them out of the file\n"
    ) in capsys.readouterr().out
    imported("clicks.csv", "--dedupe", "--overwrite")
    assert "--dedupe keeps" not in capsys.readouterr().out


def test_a_column_of_amounts_is_said_not_to_be_read(capsys):
    Path("orders.csv").write_text("user,item,time,Qty\na,x,1,-1\nb,x,2,3\n")
    assert main(["import", "orders.csv", "--data_path=dataset"]) == 0
    assert "  the column Qty is not read: a row counts once\n" in capsys.readouterr().out


def filtered(rows, dedupe, keep_last, min_user, min_item):
    """The same, in the plainest way."""
    rows = sorted(rows, key=lambda row: row[2])
    if dedupe:
        rows = [row for n, row in enumerate(rows) if row[:2] not in {r[:2] for r in rows[:n]}]
    rows = [row for n, row in enumerate(rows) if sum(r[0] == row[0] for r in rows[n:]) <= keep_last]
    before = None
    while before != rows:
        before = rows
        users = Counter(row[0] for row in rows)
        rows = [row for row in rows if users[row[0]] >= min_user]
        items = Counter(row[1] for row in rows)
        rows = [row for row in rows if items[row[1]] >= min_item]
    return [(user, item, str(time)) for user, item, time in rows]


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz"), st.integers(0, 9)),
        min_size=8,
        max_size=40,
    ),
    dedupe=st.booleans(),
    keep_last=st.integers(4, 8),
    min_user=st.integers(0, 3),
    min_item=st.integers(0, 3),
)
def test_filters_together(rows, dedupe, keep_last, min_user, min_item):
    clicks(*rows)
    words = [f"--keep_last={keep_last}", f"--min_user={min_user}", f"--min_item={min_item}"]
    words += ["--overwrite", *(["--dedupe"] if dedupe else [])]
    right = filtered(rows, dedupe, keep_last, min_user, min_item)
    if right:
        assert imported("clicks.csv", *words) == right
    else:
        assert main(["import", "clicks.csv", *words]) == 2


@pytest.mark.parametrize("word", ["--min_user=99", "--min_item=99"])
def test_a_bound_that_nobody_reaches(capsys, word):
    clicks(*[("a", "x", n) for n in range(9)])
    assert "No row of clicks.csv is left" in refused(capsys, "clicks.csv", word)
