"""An id is text, and comes out as it went in."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.intake.importing import dropped, imported, refused, written

ODD = [
    *("007", "NA", "null", "None", "nan", "-", "1.0", "1e5", "0x10", '"quoted', 'quo"ted', '""'),
    *(
        "'",
        "a b",
        " a ",
        "é",
        "商品",
        "😀",
        "a,b",
        "a;b",
        "#",
        "\\N",
        "\\",
        "a\u2028b",
        "\ufeff",
        "=1",
    ),
]


def write(kind, rows):
    names = ["user", "item"]
    if kind == "parquet":
        pd.DataFrame(rows, columns=names).to_parquet("clicks.parquet")
    elif kind == "jsonl":
        lines = [json.dumps(dict(zip(names, row))) for row in rows]
        Path("clicks.jsonl").write_text("\n".join(lines), encoding="utf-8")
    else:
        with open(f"clicks.{kind}", "w", encoding="utf-8", newline="") as file:
            separator = "," if kind == "csv" else "\t"
            csv.writer(file, delimiter=separator).writerows([names, *rows])
    return f"clicks.{kind}"


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_odd_ids_come_out_as_they_went_in(kind):
    rows = [(f"u{n}", id_) for n, id_ in enumerate(ODD)] + [(id_, "i") for id_ in ODD]
    assert [row[:2] for row in imported(write(kind, rows))] == rows
    assert dropped() == {}


def test_numbers_of_parquet_become_their_plain_text():
    frame = pd.DataFrame({"user": [7, 8], "item": [1.0, None]})
    frame.to_parquet("clicks.parquet")
    assert imported("clicks.parquet", "--min_user=0") == [("7", "1.0", "0")]
    assert dropped() == {"no_item": 1}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_id_that_no_atomic_file_can_hold_is_dropped_and_counted(kind):
    rows = [("u", "a\tb"), ("a\nb", "i"), ("u", "a\rb"), ("u", ""), (" ", "i"), ("u", "[PAD]")]
    good = [("u", f"i{n}") for n in range(9)]
    assert [row[:2] for row in imported(write(kind, rows + good))] == good
    assert dropped() == {
        "line_break_or_tab_in_item": 2,
        "line_break_or_tab_in_user": 1,
        "no_item": 1,
        "no_user": 1,
        "reserved_item": 1,
    }


TOKENS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\t\r\n\0"), min_size=1
).filter(lambda token: token.strip() and token != "[PAD]")


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=20),
    kind=st.sampled_from(["csv", "tsv", "jsonl", "parquet"]),
)
def test_any_id_comes_out_as_it_went_in(rows, kind):
    rows = [("user id", "item id"), *rows]
    imported(write(kind, rows), "--overwrite", "--user=user", "--item=item")
    assert [row[:2] for row in written()] == rows


JUNK = st.text(st.sampled_from('ab",;\t\n\r\\ é1{}:'), max_size=60)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(junk=JUNK)
def test_junk_among_the_rows_costs_no_good_row(junk):
    good = [f"u{n},i{n},{n}" for n in range(70)]
    lines = ["user,item,time", *good[:35], *junk.split("\n"), *good[35:]]
    Path("clicks.csv").write_bytes("\n".join(lines).encode())
    rows = {",".join(row) for row in imported("clicks.csv", "--overwrite")}
    swallowed = {*good} - rows
    # Only a cell in quotation marks that are closed can hold good rows.
    assert not swallowed or junk.count('"') >= 2


def test_ids_that_are_nearly_alike_are_kept_apart_and_counted(capsys):
    rows = [("7", "a"), ("007", "a"), ("7.0", "a"), (" 7", "a"), ("70", "a"), ("0", "a")]
    assert [row[:2] for row in imported(write("csv", rows))] == rows
    assert "kept apart: 3\n" in capsys.readouterr().out


GOOD = [("u", "i"), ("u", "j")]


def test_an_id_of_other_spaces_alone_is_none():
    assert imported(write("csv", [("\xa0", "i"), ("u", "\u3000"), *GOOD])) == [
        ("u", "i", "2"),
        ("u", "j", "3"),
    ]
    assert dropped() == {"no_item": 1, "no_user": 1}


def test_a_header_in_the_middle_is_no_user(capsys):
    rows = [("u", "i"), ("user", "item"), ("v", "j")]
    assert [row[:2] for row in imported(write("csv", rows))] == [rows[0], rows[2]]
    assert dropped() == {"header_again": 1}
    Path("bare.csv").write_text("1,2\n1,3\n")
    assert len(imported("bare.csv", "--user=1", "--item=2", name="bare")) == 2


def test_columns_of_parquet_that_differ_by_case_are_refused(capsys):
    pd.DataFrame([["u", "v", "i"]], columns=["user", "USER", "item"]).to_parquet("clicks.parquet")
    assert "are called the same" in refused(capsys, "clicks.parquet", "--user=USER")
