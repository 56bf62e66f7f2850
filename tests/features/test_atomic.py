import multiprocessing
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features.atomic import ItemTable, count_interactions, interaction_files

HEADER = b"item_id:token\ttitle:token_seq\n"


@pytest.fixture
def written(tmp_path):
    """Write bytes into a file of the name, and give its path."""

    def write(data, name="toy.item"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


# ItemTable


def test_a_table(written):
    table = ItemTable(written(HEADER + b"a\tHeat\nb\tBabe\n"))
    assert table.fields == ("item_id", "title")
    assert table.item_tokens.tolist() == ["a", "b"]
    assert table.item_tokens.dtype == object
    assert len(table) == 2
    assert table.read(1) == ["b", "Babe"]
    assert list(table) == [["a", "Heat"], ["b", "Babe"]]
    assert table.columns(["title", "item_id"]) == [1, 0]


def test_another_column_of_items(written):
    table = ItemTable(written(b"title:token_seq\tasin:token\nHeat\ta\n"), "asin")
    assert table.item_tokens.tolist() == ["a"]
    assert table.read(0) == ["Heat", "a"]


@pytest.mark.parametrize(
    "title",
    [
        '"Heat"',
        '"Heat',
        "Don't",
        'x "',
        "",
        " Heat ",
        "a\u2028b\x85c",
        "\\N",
        "NA",
        "Ümläut 🎬",
    ],
)
def test_a_title_stays_as_it_is(written, title):
    rows = f"a\t{title}\nb\tBabe\n".encode()
    assert list(ItemTable(written(HEADER + rows))) == [["a", title], ["b", "Babe"]]


@pytest.mark.parametrize(
    "data",
    [
        HEADER + b"a\tHeat\nb\tBabe",
        (HEADER + b"a\tHeat\nb\tBabe\n").replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + HEADER + b"a\tHeat\nb\tBabe\n",
        HEADER + b"\n\na\tHeat\n  \n\r\nb\tBabe\n\n",
    ],
    ids=["no last line end", "windows", "byte order mark", "blank lines"],
)
def test_shapes_of_the_same_table(written, data):
    table = ItemTable(written(data))
    assert table.fields == ("item_id", "title")
    assert list(table) == [["a", "Heat"], ["b", "Babe"]]


@pytest.mark.parametrize("data", [b"", HEADER])
def test_a_file_without_items(written, data):
    path = written(data)
    with pytest.raises(UserError, match=r"toy\.item (is empty|has no rows)"):
        ItemTable(path)


@pytest.mark.parametrize("name", ["nothing.item", "."])
def test_no_file(tmp_path, name):
    with pytest.raises(UserError, match="There is no item file"):
        ItemTable(tmp_path / name)


def test_a_column_that_is_not_there_names_those_that_are(written):
    path = written(HEADER + b"a\tHeat\n")
    with pytest.raises(UserError, match=r"no column 'asin'\. Its columns are item_id, title\."):
        ItemTable(path, "asin")
    with pytest.raises(UserError, match="no column 'year'"):
        ItemTable(path).columns(["title", "year"])


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (b"a\tHeat\nb\n", "Line 3 of .* has 1 columns, its header 2"),
        (b"a\tHeat\tmore\n", "Line 2 of .* has 3 columns, its header 2"),
        (b"a\tHeat\n\tBabe\n", "Line 3 of .* has no item_id"),
        (b"\n\na\tHeat\n\nb\n", "Line 6 of .* has 1 columns"),
        (b"a\tHeat\n\nb\tBabe\na\tHeat\n", "Lines 2 and 5 of .* are both of item 'a'"),
        (b"a\tHeat\nb\tBab\xe9\n", r"Line 3 of .* is not UTF-8 \(byte 5 of it\)"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(written, rows, error):
    path = written(HEADER + rows)
    with pytest.raises(UserError, match=error):
        ItemTable(path)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\t\r\n")), min_size=1))
def test_any_row_is_read_back(tmp_path_factory, titles):
    path = tmp_path_factory.mktemp("items") / "toy.item"
    rows = [[f"i{number}", title] for number, title in enumerate(titles)]
    path.write_bytes(HEADER + "".join("\t".join(row) + "\n" for row in rows).encode())
    table = ItemTable(path)
    assert list(table) == rows
    assert [table.read(number) for number in reversed(range(len(rows)))] == rows[::-1]


def test_processes_read_at_once(written):
    """All share one open file, whose position they must leave alone."""
    titles = [str(number) * 5000 for number in range(300)]  # longer than a buffer
    rows = "".join(f"i{number}\t{title}\n" for number, title in enumerate(titles))
    table = ItemTable(written(HEADER + rows.encode()))
    context = multiprocessing.get_context("fork")

    def read_all(seed):
        order = random.Random(seed).choices(range(300), k=5000)
        right = all(table.read(n) == [f"i{n}", titles[n]] for n in order)
        os._exit(0 if right else 1)

    workers = [context.Process(target=read_all, args=(seed,)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]


# interaction_files


def names(folder, dataset="toy"):
    return [path.name for path in interaction_files(folder, dataset)]


def test_the_whole_file_comes_before_splits(written, tmp_path):
    assert names(tmp_path) == []
    for name in (
        "toy.valid.inter",
        "toy.train.inter",
        "toy.test.inter",
        "toys.x.inter",
        "toy.item",
    ):
        written(b"", name)
    assert names(tmp_path) == ["toy.test.inter", "toy.train.inter", "toy.valid.inter"]
    written(b"", "toy.inter")
    assert names(tmp_path) == ["toy.inter"]


def test_a_name_of_a_dataset_is_no_pattern(written, tmp_path):
    written(b"", "toy[1].train.inter")
    written(b"", "toy1.train.inter")
    assert names(tmp_path, "toy[1]") == ["toy[1].train.inter"]
    assert names(tmp_path, "*") == []


# count_interactions

INTER = b"user_id:token\titem_id:token\n"


def test_counts_are_in_the_order_of_first_appearance(written):
    path = written(INTER + b"u\tc\nu\ta\nv\tc\nv\tb\n", "toy.inter")
    assert list(count_interactions([path]).items()) == [("c", 2), ("a", 1), ("b", 1)]


def test_splits_are_counted_together_whatever_their_columns(written):
    first = written(INTER + b"u\tc\nu\ta\n", "toy.train.inter")
    second = written(b"item_id:token\trating:float\nb\t5\nc\t3\n", "toy.test.inter")
    assert list(count_interactions([first, second]).items()) == [("c", 2), ("a", 1), ("b", 1)]


def test_nothing_to_count():
    assert count_interactions([]) == {}


@pytest.mark.parametrize("token", ['"', '"a', "NA", "nan", "007", "1e5", " a ", "é"])
def test_a_token_stays_as_it_is(written, token):
    path = written(INTER + f"u\t{token}\nv\t{token}\n".encode(), "toy.inter")
    assert count_interactions([path]) == {token: 2}


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + INTER + b"u\ta\n\nv\ta",
        (INTER + b"u\ta\nv\ta\n").replace(b"\n", b"\r\n"),
        INTER + b"u\ta\t\nv\ta\t\t\n",
        INTER + b"u\ta\nu\t\nv\ta\n",
    ],
    ids=["byte order mark, blank line", "windows", "tabs at line ends", "no item"],
)
def test_shapes_of_the_same_interactions(written, data):
    assert count_interactions([written(data, "toy.inter")]) == {"a": 2}


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "is empty"),
        (INTER, "has no rows"),
        (INTER.replace(b"item_id:token", b"item_id:float"), "is of type float, not token"),
        (b"user_id:token\tasin:token\n", r"no column 'item_id'\. Its columns are user_id, asin\."),
        (INTER + b"u\ta\n\nu\n", "Line 4 of .* has 1 columns, its header 2"),
        (INTER + b"u\ta\nu\t\xff\n", r"Line 3 of .* is not UTF-8 \(byte 2 of it\)"),
    ],
)
def test_what_is_wrong_with_interactions_is_named(written, data, error):
    good = written(INTER + b"u\ta\n", "good.inter")
    bad = written(data, "bad.inter")
    with pytest.raises(UserError, match=error) as caught:
        count_interactions([good, bad])
    assert "bad.inter" in str(caught.value)


def test_interactions_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.inter cannot be read: No such file"):
        count_interactions([tmp_path / "nothing.inter"])
