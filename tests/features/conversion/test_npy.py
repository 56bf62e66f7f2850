import pickle

import numpy as np
import pytest
import torch

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features import align_features, read_npy

VALUES = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)


@pytest.fixture
def values_path(tmp_path):
    np.save(tmp_path / "toy.text.npy", VALUES)
    return tmp_path / "toy.text.npy"


@pytest.fixture
def ids_path(tmp_path):
    (tmp_path / "toy.text.ids").write_text("x\nÿ\nz\n", encoding="utf-8")
    return tmp_path / "toy.text.ids"


def test_rows_belong_to_the_lines(values_path, ids_path):
    source = read_npy(values_path, ids_path, "text")
    assert source.info.modality == "text"
    aligned = align_features(source, ["[PAD]", "z", "ÿ"])
    assert aligned.values[aligned.row_of_item[1:]].tolist() == [[[5, 6]], [[3, 4]]]


@pytest.mark.parametrize("text", ["x\r\ny\r\nz\r\n", "x\ny\nz", "\ufeffx\ny\nz\n", "x\ny\nz\n"])
def test_line_ends_and_byte_order_marks_are_no_part_of_an_item(values_path, ids_path, text):
    ids_path.write_bytes(text.encode())
    assert read_npy(values_path, ids_path, "text").item_tokens.tolist() == ["x", "y", "z"]


def test_only_a_line_feed_ends_a_line(values_path, ids_path):
    ids_path.write_text("x\u2028\n y\nz\x0b", encoding="utf-8")
    assert read_npy(values_path, ids_path, "text").item_tokens.tolist() == [
        "x\u2028",
        " y",
        "z\x0b",
    ]


@pytest.mark.parametrize(
    ("ids", "tokens"),
    [
        (np.array([7, 10, 9]), ["7", "10", "9"]),
        (np.array([2**63, 1, 2], dtype=np.uint64), ["9223372036854775808", "1", "2"]),
        (np.array(["a", "bb", "ü"]), ["a", "bb", "ü"]),
    ],
)
def test_ids_may_be_an_array(values_path, tmp_path, ids, tokens):
    np.save(tmp_path / "ids.npy", ids)
    assert read_npy(values_path, tmp_path / "ids.npy", "text").item_tokens.tolist() == tokens


@pytest.mark.parametrize("header", ["", "asin\titemID\n"])
def test_ids_may_be_a_table_of_row_numbers(values_path, ids_path, header):
    ids_path.write_text(f"{header}z\t2\nÿ y\t1\nx\t0\n", encoding="utf-8")
    assert read_npy(values_path, ids_path, "text").item_tokens.tolist() == ["x", "ÿ y", "z"]


def test_the_file_is_mapped_and_never_changed(values_path, ids_path):
    source = read_npy(values_path, ids_path, "text")
    source.values.fill_(0)
    assert np.load(values_path).tolist() == VALUES.tolist()


def test_pickled_it_holds_only_paths(tmp_path, ids_path):
    np.save(tmp_path / "big.npy", np.ones((3, 1000), dtype=np.float16))
    pickled = pickle.dumps(read_npy(tmp_path / "big.npy", ids_path, "text"))
    assert len(pickled) < 1000
    assert torch.equal(pickle.loads(pickled).values, torch.ones(3, 1, 1000).half())


def test_a_file_made_anew_has_another_fingerprint(values_path, ids_path):
    before = read_npy(values_path, ids_path, "text").fingerprint
    ids_path.write_text("x\ny\nlonger\n")
    assert read_npy(values_path, ids_path, "text").fingerprint != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.ones((3, 2)), "dtype float64.*astype"),
        (np.ones((3, 2), dtype=np.int32), "dtype int32"),
        (np.ones((2, 2), dtype=np.float32), "has 2 rows, but .*toy.text.ids names 3 items"),
        (np.ones((3,), dtype=np.float32), r"shape \[3\]"),
        (np.float32(1), r"shape \[\]"),
        (np.array(["a", None, {}], dtype=object), "no .npy file of plain numbers"),
    ],
)
def test_wrong_arrays_are_named(values_path, ids_path, content, message):
    np.save(values_path, content)
    with pytest.raises(UserError, match=rf"toy\.text\.npy.*{message}"):
        read_npy(values_path, ids_path, "text")


def test_truncated_and_foreign_arrays_are_named(values_path, ids_path):
    values_path.write_bytes(values_path.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"toy\.text\.npy \(149 bytes\) is truncated"):
        read_npy(values_path, ids_path, "text")
    values_path.write_bytes(b"")
    with pytest.raises(UserError, match=r"toy\.text\.npy \(0 bytes\) is truncated"):
        read_npy(values_path, ids_path, "text")
    np.savez(values_path.with_suffix(".npz"), values=VALUES)
    values_path.with_suffix(".npz").rename(values_path)
    with pytest.raises(UserError, match=r"is truncated, or no \.npy file"):
        read_npy(values_path, ids_path, "text")


def test_missing_files_are_named(values_path, ids_path, tmp_path):
    with pytest.raises(UserError, match=r"no file .*absent\.npy"):
        read_npy(tmp_path / "absent.npy", ids_path, "text")
    with pytest.raises(UserError, match=r"no file .*absent\.ids.*one item token on each line"):
        read_npy(values_path, tmp_path / "absent.ids", "text")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x\n\nz\n", "Line 2 of .* is empty"),
        (b"x\n\xff\nz\n", r"not UTF-8 \(byte 2\)"),
        (b"x\t0\ny\t1\n", "1 of the 3 rows of .* have no line in .*: first row 2"),
        (b"x\t0\ny\t1\nz\t3\n", "Line 3 of .* names row 3, but .* has only 3 rows"),
        (b"x\ny\nx\n", "repeat an item.*'x', in rows 0 and 2"),
    ],
)
def test_wrong_item_tokens_are_named(values_path, ids_path, content, message):
    ids_path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_npy(values_path, ids_path, "text")
    assert "toy.text.ids" in str(error.value)


@pytest.mark.parametrize("ids", [np.array([1.0, 2.0, 3.0]), np.array([["a"], ["b"], ["c"]])])
def test_arrays_that_name_no_items_are_refused(values_path, tmp_path, ids):
    np.save(tmp_path / "ids.npy", ids)
    with pytest.raises(UserError, match=r"ids\.npy has dtype .* strings or integers"):
        read_npy(values_path, tmp_path / "ids.npy", "text")


@pytest.mark.parametrize("code", [0x110000, 0xD800, 2**32 - 1])
def test_an_array_of_numbers_that_are_no_characters_is_refused(values_path, tmp_path, code):
    np.save(tmp_path / "ids.npy", np.array([code, 97, 98], np.uint32).view("<U1"))
    with pytest.raises(UserError, match=r"ids\.npy holds numbers that are no characters"):
        read_npy(values_path, tmp_path / "ids.npy", "text")


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("3", "-3"),
        ("3", "True"),
        ("3", "9" * 30),
        ("3", "4"),
        ("3", "2"),
        ("(3, 2)", "(" * 4000),
        ("<f4", "i4,(,)f8"),
        ("<f4", "|O"),
        ("<f4", "<U0"),
        ("<f4", "<M8[s]"),
        ("'<f4'", "[('a', '<f4')]"),
        ("False", "0"),
        ("}", "'more': 'x'}"),
        (HEADER, "[" * 9000),
        (HEADER, ""),
    ],
)
def test_damaged_headers_are_a_sentence(values_path, ids_path, old, new):
    header = HEADER.replace(old, new).encode()
    size = len(header).to_bytes(2, "little")
    values_path.write_bytes(b"\x93NUMPY\x01\x00" + size + header + bytes(24))
    with pytest.raises(UserError, match=r"npy \(\d+ bytes\) is truncated, or no \.npy file of"):
        read_npy(values_path, ids_path, "text")
