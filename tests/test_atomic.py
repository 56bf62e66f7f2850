"""The reader of atomic files against a literal one, and what it refuses."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mmdistill.atomic import AtomicFile
from recbole_mmdistill.errors import UserError

HEADER = "user_id:token\titem_id:token\ttimestamp:float\n"
TYPES = ("token", "token_seq", "float", "float_seq")
MISSING = ["", "NA", "nan", "NaN", "N/A", "None", "null", "<NA>"]
ODD = [
    "007",
    "7",
    '"',
    '"a',
    'a"',
    '""',
    "'",
    "NA",
    "null",
    "None",
    "nan",
    " a ",
    "a b",
    "#",
    "\\N",
]
ODD += [
    "é",
    "\u2028",
    "x\x85y",
    "\x0b",
    "\u3000",
    "🎬",
    "a,b",
    "-1",
    "1e5",
    "True",
    "x" * 40,
    "\x1c",
]
NUMBERS = ["0", "5", "-1", "3.25", ".5", "5.", "1e5", "1E-7", " 7", "8 ", "+2", "1500000003"]
NUMBERS += ["0.1", "123456789012345678", "0.1234567890123456789", "1e-400", *MISSING]


def read(path, **options):
    """Columns as lists; a missing cell is None."""
    frame = AtomicFile(path, **options).read()
    return {field: [plain(cell) for cell in frame[field]] for field in frame}


def plain(cell):
    if isinstance(cell, np.ndarray):
        return cell.tolist()
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def literal(text, separator="\t", seq_separator=" "):
    """What a file says, cell by cell."""
    header, *lines = re.split("\r?\n", text.removeprefix("\ufeff"))
    types = dict(column.split(":") for column in header.rstrip(separator).split(separator))
    rows = [line.split(separator) for line in lines]
    rows = [row[: len(types)] for row in rows if len(row) > 1 or row[0].strip()]
    value = {
        "token": lambda cell: cell or None,
        "float": lambda cell: None if cell in MISSING else float(cell),
        "token_seq": lambda cell: [word for word in cell.split(seq_separator) if word],
        "float_seq": lambda cell: [
            float(word) for word in cell.split(seq_separator) if word and cell not in MISSING
        ],
    }
    cells = zip(types.items(), zip(*rows))
    return {field: [value[ftype](cell) for cell in column] for (field, ftype), column in cells}


words = st.one_of(
    st.sampled_from(ODD), st.text(st.characters(codec="utf-8", exclude_characters="\0\t\r\n"))
)
cells_of = {
    "token": st.one_of(st.just(""), words),
    "token_seq": st.lists(words, max_size=4).map(" ".join),
    "float": st.one_of(st.sampled_from(NUMBERS), st.floats(allow_infinity=False).map(repr)),
    "float_seq": st.one_of(
        st.sampled_from(MISSING),
        st.lists(st.floats(allow_infinity=False, allow_nan=False).map(repr), max_size=4).map(
            " ".join
        ),
    ),
}


@st.composite
def files(draw):
    """A text whose rows are as long as its header, two columns at least."""
    types = draw(st.lists(st.sampled_from(TYPES), min_size=2, max_size=5))
    header = "\t".join(f"column {n}:{ftype}" for n, ftype in enumerate(types))
    row = st.tuples(*(cells_of[ftype] for ftype in types)).map("\t".join)
    lines = [header, *draw(st.lists(row, min_size=1, max_size=8))]
    lines = [line + "\t" * draw(st.sampled_from([0, 0, 0, 1, 2])) for line in lines]
    blank = draw(st.integers(1, len(lines)))
    lines[blank:blank] = draw(st.sampled_from([[], [""], ["  "]]))
    bom, end = draw(st.sampled_from(["", "\ufeff"])), draw(st.sampled_from(["\n", "\r\n"]))
    return bom + end.join(lines) + draw(st.sampled_from(["", end, end + end]))


@settings(max_examples=200, deadline=None)
@given(files(), st.sampled_from(["utf-8", "utf-16", "utf-32-le"]))
def test_every_cell_is_what_a_literal_reader_gives(tmp_path_factory, text, encoding):
    path = tmp_path_factory.mktemp("atomic") / "toy.inter"
    path.write_bytes(text.encode(encoding))
    assert read(path, encoding=encoding) == literal(text)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(), st.binary().map(HEADER.encode().__add__)))
def test_whatever_the_bytes_there_is_a_table_or_a_sentence(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("atomic") / "toy.inter"
    path.write_bytes(data)
    try:
        found = read(path)
    except UserError as error:
        assert str(path) in error.what
    else:
        assert found == literal(data.decode())


@pytest.mark.parametrize("long", ["", "é" * 70, "é" * 100_000], ids=["short", "long", "very long"])
def test_a_file_of_many_blocks(tmp_path, long):
    text = "é" * 500  # lines of 1 kB
    rows = [f"u{n % 4_000}ü\t{n * n % 997}\t{n}.5\t{text}\r\n" for n in range(9_000)]
    rows[7_000] = f"{long}\tx\t\t\r\n"
    whole = "user_id:token\titem_id:token\tat:float\ttext:token_seq\r\n" + "".join(rows)
    path = tmp_path / "toy.inter"
    path.write_text(whole, newline="")
    assert path.stat().st_size > 9_000_000
    assert read(path) == literal(whole)
    frame = AtomicFile(path).read(["item_id"])
    assert frame["item_id"].cat.categories[:4].tolist() == ["0", "1", "4", "9"]
    assert AtomicFile(path).line_of(7_000) == 7_002


def test_tokens_are_categories_and_numbers_float64(tmp_path):
    path = tmp_path / "toy.inter"
    path.write_text(HEADER + "u\tb\t1\nu\t\t2\nv\ta\t\n")
    frame = AtomicFile(path).read(["timestamp", "item_id"])
    assert list(frame) == ["item_id", "timestamp"]
    assert frame["item_id"].cat.categories.tolist() == ["b", "a"]
    assert frame["item_id"].cat.codes.tolist() == [0, -1, 1]
    assert frame["timestamp"].dtype == np.float64


def test_rows_have_the_numbers_of_their_lines(tmp_path):
    path = tmp_path / "toy.inter"
    path.write_text(HEADER + "\nu\ta\t1\n\n\nv\t\t\t\n")
    assert list(AtomicFile(path).rows()) == [(3, ["u", "a", "1"]), (6, ["v", "", ""])]


def test_separators_are_options(tmp_path):
    path = tmp_path / "toy.item"
    path.write_text("item_id:token,tags:token_seq\na,x y|z\nb,\n")
    found = read(path, field_separator=",", seq_separator="|")
    assert found == {"item_id": ["a", "b"], "tags": [["x y", "z"], []]}


def refused(path, message, **options):
    with pytest.raises(UserError, match=message) as caught:
        read(path, **options)
    assert str(path) in caught.value.what
    return caught.value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\ufeff", "is empty"),
        ("\n", "Line 1 of .* is empty"),
        ("\t\t\nu\ti\t1\n", "Line 1 of .* is empty"),
        (HEADER, "has no rows below its header"),
        (HEADER + "\n  \n\r\n", "has no rows below its header"),
        ("user_id\titem_id\nu\ti\n", "Line 1 of .* 'user_id' without a type"),
        ("user_id:token\t\titem_id:token\nu\t\ti\n", "Line 1 of .* '' without a name"),
        (":token\titem_id:token\nu\ti\n", "Line 1 of .* ':token' without a name"),
        ("user_id:token\trating:double\nu\t1\n", "'rating:double' of unknown type"),
        ("user_id:token\trating:Float\nu\t1\n", "unknown type.*near it: float"),
        ("user_id:token \trating:float\nu\t1\n", "'user_id:token ' of unknown type"),
        ("a:b:token\nu\n", "unknown type"),
        ("a:token\tb:float\ta:token\nu\t1\tu\n", "Line 1 of .* has two columns 'a'"),
        (HEADER.replace("\t", ","), "Line 1 of .* is one column.* separated by ','"),
        (HEADER.replace("\t", ";"), "separated by ';'.*field_separator"),
        (HEADER.replace("\t", "    "), "of unknown type"),
        (HEADER + "u\ti\n", "Line 2 of .* has 2 columns, its header 3"),
        (HEADER + "u\ti\t1\n\nu\n", "Line 4 of .* has 1 columns, its header 3"),
        (HEADER + "u\ti\t1\nu\ti\t1\t\t2\n", "Line 3 of .* has 5 columns, its header 3"),
        (HEADER + "u\ti\t1\ri\ti\t1\n", "Line 2 of .* has a carriage return inside"),
        (HEADER.replace("\n", "\r") + "u\ti\t1\r", "Line 1 of .* has a carriage return inside"),
        (HEADER + "u\ti\t1\r\r\n", "Line 2 of .* has a carriage return inside"),
        (HEADER + "u\ti\t1\nu\0\ti\t1\n", "Line 3 of .* holds a NUL"),
        (HEADER + "u\ti\t1\nu\ti\tyesterday\n", "Line 3 of .* has 'yesterday' in timestamp"),
        (HEADER + "u\ti\t2020-09-13 12:26:41\n", "in timestamp.*seconds.*recbole-mm import"),
        (HEADER + "u\ti\t13.09.2020\n", "seconds since 1970.*recbole-mm import"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, message):
    path = tmp_path / "toy.inter"
    path.write_text(text, newline="")
    refused(path, message)


@pytest.mark.parametrize(
    "cell", ["x", " ", "-", ".", "1,5", "1.2.3", "1e", "0x10", "1_000", "٣", "True", "inf", "1e999"]
)
def test_what_is_no_finite_number_is_refused(tmp_path, cell):
    path = tmp_path / "toy.inter"
    path.write_text(HEADER + "u\ti\t1\nu\ti\t" + cell + "\n")
    refused(path, f"Line 3 of .* has {re.escape(repr(cell))} in timestamp, no finite number")
    if cell.strip():
        path.write_text("tags:float_seq\titem_id:token\n1 " + cell + "\ta\n")
        refused(path, f"Line 2 of .* has {re.escape(repr(cell))} in tags, no finite number")


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x1f\x8b\x08\0", "a gzip file"),
        (b"PK\x03\x04\x14\0", "a zip archive or an Excel file"),
        (b"PAR1\x15", "a Parquet file"),
    ],
)
def test_other_kinds_of_files_are_named(tmp_path, start, kind):
    path = tmp_path / "toy.inter"
    path.write_bytes(start + b"\n" * 9)
    assert "recbole-mm import" in refused(path, kind).remedy


def test_encodings(tmp_path):
    path = tmp_path / "toy.inter"
    path.write_bytes(HEADER.encode() + b"u\ti\t1\nu\tcaf\xe9\t1\n")
    refused(path, r"Line 3 of .* is not UTF-8 \(byte 5 of it\)")
    assert read(path, encoding="latin-1")["item_id"] == ["i", "café"]
    refused(path, "not in the encoding ascii", encoding="ascii")
    refused(path, "not in the encoding utf-16", encoding="utf-16")
    for encoding in ("utf-9", "hex", 5):
        with pytest.raises(UserError, match=f"encoding is {encoding!r}"):
            AtomicFile(path, encoding=encoding)


@pytest.mark.parametrize("separator", ["", "\t\t", "::", ":", "\n", "§", None, 5])
def test_separators_that_cannot_be(tmp_path, separator):
    with pytest.raises(UserError, match=r"field_separator is "):
        AtomicFile(tmp_path / "toy.inter", field_separator=separator)


def test_a_file_that_cannot_be_read(tmp_path):
    refused(tmp_path / "toy.inter", "cannot be read: No such file")
    refused(tmp_path, "cannot be read: Is a directory")


def test_a_column_that_has_to_be_there(tmp_path):
    path = tmp_path / "toy.inter"
    path.write_text(HEADER + "u\ti\t1\n")
    file = AtomicFile(path)
    assert file.column("timestamp", "float") == 2
    with pytest.raises(UserError, match=r"no column 'item' \(ITEM_ID_FIELD\).*near it: item_id"):
        file.column("item", option="ITEM_ID_FIELD")
    with pytest.raises(UserError, match=r"'timestamp' of .* is of type float, not token"):
        file.column("timestamp", "token")
