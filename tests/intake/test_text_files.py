"""CSV, TSV and JSON lines as people have them: each ends right, or in one sentence."""

import gzip
import json
import pickle
from pathlib import Path

import pytest

from tests.intake.importing import dropped, imported, refused, report

ROWS = [("u1", "i1", "1"), ("u2", "é x", "2"), ("u1", "i2", "3")]


def csv(separator=",", rows=ROWS, end="\n", header=("user", "item", "time")):
    return "".join(separator.join(row) + end for row in [header, *rows])


WELL_FORMED = {
    "commas": csv().encode(),
    "tabs": csv("\t").encode(),
    "semicolons": csv(";").encode(),
    "bars": csv("|").encode(),
    "double colons": csv("::").encode(),
    "byte order mark": csv().encode("utf-8-sig"),
    "UTF-16": csv().encode("utf-16"),
    "UTF-16 without a mark": csv().encode("utf-16-le"),
    "Windows' line ends": csv(end="\r\n").encode(),
    "old Mac's line ends": csv(end="\r").encode(),
    "no line end at the end": csv().rstrip("\n").encode(),
    "blank lines": csv(end="\n\n").encode(),
    "Excel's separator line": b"sep=;\r\n" + csv(";", end="\r\n").encode(),
    "a separator at line ends": csv(end="\t\n", separator="\t").encode(),
    "the same, not in the header": csv(end=",\n").replace("time,", "time", 1).encode(),
    "quoted cells": csv('","', [(f'"{u}', i, f'{t}"') for u, i, t in ROWS], header=("time",))
    .replace("time", "user,item,time")
    .encode(),
    "JSON lines": "\n".join(
        json.dumps({"user": u, "item": i, "time": int(t)}) for u, i, t in ROWS
    ).encode(),
    "JSON lines, not only ASCII": "\n".join(
        json.dumps({"user": u, "item": i, "time": t}, ensure_ascii=False) for u, i, t in ROWS
    ).encode(),
    "atomic": csv("\t", header=("user_id:token", "item_id:token", "timestamp:float")).encode(),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("kind", WELL_FORMED)
def test_the_same_rows_come_out_of_every_kind_of_text(kind, packed):
    data = WELL_FORMED[kind]
    Path("clicks").write_bytes(gzip.compress(data) if packed else data)
    assert imported("clicks") == ROWS
    assert dropped() == {}


def test_the_encoding_is_the_one_that_is_said():
    Path("clicks.csv").write_bytes(csv().encode("cp1252"))
    assert imported("clicks.csv", "--encoding=cp1252") == ROWS


def test_lines_that_are_not_utf_8_are_dropped_if_utf_8_is_asked_for():
    Path("clicks.csv").write_bytes(csv().encode("cp1252"))
    assert imported("clicks.csv", "--encoding=utf-8") == [ROWS[0], ROWS[2]]
    count = report()["interactions"]["dropped"]["not_in_encoding"]
    assert count == {"rows": 1, "examples": ["clicks.csv:3"]}


def test_rows_with_too_few_or_too_many_cells_are_dropped_with_their_lines():
    Path("clicks.csv").write_text("user,item,time\na,b,1\na,b\na,b,2,3\n\na,c,4\nb,c,5\n")
    assert imported("clicks.csv") == [("a", "b", "1"), ("a", "c", "4"), ("b", "c", "5")]
    count = report()["interactions"]["dropped"]["wrong_number_of_columns"]
    assert count == {"rows": 2, "examples": ["clicks.csv:3", "clicks.csv:4"]}


def test_a_quotation_mark_that_is_not_closed_costs_no_row():
    Path("clicks.csv").write_text('user,item,time\na,"b,1\na,c,2\na,"d,3\na,e,4\n')
    assert [item for _, item, _ in imported("clicks.csv")] == ['"b', "c", '"d', "e"]
    noted = report()["interactions"]["noted"]["quotes_as_text"]
    assert noted == {"rows": 2, "examples": ["clicks.csv:2", "clicks.csv:4"]}


def test_an_unclosed_quotation_mark_in_a_file_larger_than_a_block(monkeypatch):
    monkeypatch.setattr("recbole_mmdistill.intake.lines.BLOCK", 64)
    rows = [("u", f"i{n}", str(n)) for n in range(200)]
    rows[50] = ("u", '"i50', "50")
    Path("clicks.csv").write_text(csv(rows=rows))
    assert imported("clicks.csv") == rows


def test_a_cell_in_quotation_marks_may_go_over_lines():
    Path("clicks.csv").write_text('user,comment,item,time\na,"x\ny, ""z""\n",b,1\nc,d,e,2\n')
    assert imported("clicks.csv") == [("a", "b", "1"), ("c", "e", "2")]


def test_lines_with_quotation_marks_are_counted_as_lines(capsys):
    Path("clicks.csv").write_text('user;comment;item\na;"x\ny";b\n')
    imported("clicks.csv")
    said = "read 1 rows\n  2 lines of the file with quotation marks, read as in CSV"
    assert said in capsys.readouterr().out


def test_backslashes_before_quotation_marks_as_spark_writes_them():
    Path("clicks.csv").write_text('user,item,time\na,"b \\"c\\", d",1\nx,y,2\n')
    assert imported("clicks.csv") == [("a", 'b "c", d', "1"), ("x", "y", "2")]


def test_no_quotes_takes_them_for_text():
    Path("clicks.csv").write_text('user,item,time\na,"b",1\n')
    assert imported("clicks.csv", "--no_quotes") == [("a", '"b"', "1")]


def test_a_folder_is_read_in_the_order_of_its_parts_numbers():
    Path("parts").mkdir()
    for part, row in ((2, "a,b"), (10, "a,c"), (1, "a,d")):
        Path(f"parts/part-{part}.csv").write_text(f"user,item\n{row}\n")
    Path("parts/_SUCCESS").write_text("")
    assert imported("parts") == [("a", "d", "0"), ("a", "b", "1"), ("a", "c", "2")]


def test_parts_may_have_their_columns_in_another_order_but_not_others(capsys):
    Path("parts").mkdir()
    Path("parts/1.csv").write_text("user,item\na,b\n")
    Path("parts/2.csv").write_text("item,user\nc,a\n")
    assert [row[:2] for row in imported("parts")] == [("a", "b"), ("a", "c")]
    Path("parts/3.csv").write_text("user,product\na,d\n")
    assert "3.csv has other columns" in refused(capsys, "parts", "--dataset=other")


def test_a_file_without_header_has_numbers_for_columns():
    Path("clicks.csv").write_text("alice,b,1600000000\nbob,c,1600000001\n")
    rows = imported("clicks.csv", "--user=1", "--item=2", "--time=3")
    assert rows == [("alice", "b", "1600000000"), ("bob", "c", "1600000001")]


def test_rows_without_numbers_need_to_be_told_from_a_header(capsys):
    Path("clicks.csv").write_text("alice,b\nbob,c\n")
    words = ("clicks.csv", "--user=1", "--item=2")
    assert "whether the first line of clicks.csv (alice, b) is a header" in refused(capsys, *words)
    assert len(imported(*words, "--header=no")) == 2


def test_json_lines_that_are_none_are_dropped_with_their_lines():
    lines = [
        '{"user": 1, "item": 1.0, "time": 5}',
        '{"user": 1, "item": 12345678901234567890123, "time": 6}',
        '{"user": true, "item": "x", "time": 7, "more": {"a": []}}',
        '{"user": ["a"], "item": "x", "time": 8}',
        '{"user": "\\ud800", "item": "x", "time": 8}',
        '{"user": null, "item": "x", "time": 8}',
        '{"user": "a"',
        "[" * 10,
        '{"user": "a", "item": "b", "time": 9}',
        '{"user": "a", "item": "c", "time": 10}',
        '{"user": "a", "item": "d", "time": 11}',
    ]
    Path("clicks.jsonl").write_text("\n".join(lines))
    items = [(user, item) for user, item, _ in imported("clicks.jsonl")]
    assert items[:3] == [("1", "1.0"), ("1", "12345678901234567890123"), ("true", "x")]
    assert dropped() == {"nested_value": 1, "not_unicode": 1, "not_json": 2, "no_user": 1}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\n \n", "is empty"),
        (b"user,item,time\n", "holds no rows"),
        (b"user\na\nb\n", "one column only"),
        (b"\0\1\2\3" * 50, "zero bytes"),
        (csv().encode("cp1252"), "Line 3 of clicks is not UTF-8 (byte 0xe9)"),
        (gzip.compress(csv().encode() * 99, mtime=0)[:-20], "damaged gzip file"),
        (gzip.compress(csv().encode() * 99, mtime=0)[:-8] + bytes(8), "damaged gzip file"),
        (b"PK\x03\x04" + bytes(99), "zip archive or an Excel workbook"),
        (b"\xd0\xcf\x11\xe0" + bytes(99), "old Excel workbook"),
        (b"BZh91AY", "bzip2"),
        (b"PAR1" + bytes(99), "cannot be read as Parquet"),
        (pickle.dumps(["a", "b"]), "pickle, which is never read"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'[{"user": 1}]', "one JSON array"),
        (b'{"user": 1,\n"item": 2}', "no line is a JSON object"),
        (b"user,item,item\na,b,c\n", "may be any of the columns 'item', 'item'"),
        (b"user,item,time\n" + b"a\n" * 9 + b"a,b,1\n", "9 of 10 rows cannot be read"),
        (b"a,b,c\n1,2,3\n", "No column of clicks is known for the user"),
        (b"1,2,3\n1,2,3\n", "has no header that says which of its 3 columns is the user"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(capsys, data, said):
    Path("clicks").write_bytes(data)
    assert said in refused(capsys, "clicks", "--dataset=shop")


def test_what_is_no_file_is_said_in_one_line(capsys):
    Path("orders.csv").write_text(csv())
    assert "There is no file order.csv." in refused(capsys, "order.csv")
    assert "near it: orders.csv" in refused(capsys, "order.csv")
    assert "is no plain file" in refused(capsys, "/dev/null")
    Path("empty").mkdir()
    assert "holds no files" in refused(capsys, "empty")
    Path("mixed").mkdir()
    Path("mixed/a.csv").write_text(csv())
    Path("mixed/b.jsonl").write_text("{}\n")
    assert "files of different kinds (a.csv, b.jsonl)" in refused(capsys, "mixed")


@pytest.mark.parametrize("name", ["it's [1]*?.csv", "a'; DROP TABLE raw; --.csv", "100%.csv"])
def test_a_path_is_a_path(name):
    Path(name).write_text(csv())
    assert imported(name) == ROWS


def test_columns_of_one_name_must_have_one_order_in_all_parts(capsys):
    Path("parts").mkdir()
    Path("parts/a.csv").write_text("user,x,item,x\nu,1,i,2\n")
    Path("parts/b.csv").write_text("x,user,x,item\n2,v,1,i\n")
    assert "b.csv has columns of the same name, in another" in refused(capsys, "parts")
    Path("parts/b.csv").write_text("user,x,item,x\nv,1,i,2\n")
    assert len(imported("parts", "--rating=2")) == 2


def test_keys_that_come_late_are_said(capsys):
    rows = [{"user": f"u{n}", "item": "i"} for n in range(1001)]
    late = {"user": "v", "item": "i", "time": 1600000000}
    Path("clicks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, late]))
    assert len(imported("clicks.jsonl")) == 1002
    assert report()["interactions"]["noted"]["unknown_keys"]["rows"] == 1
