"""Arrays beside a file of ids, and arrays whose row is the item."""

import os

import numpy as np
import pytest
import torch

from recbole_mmdistill.features import FeatureInfo, open_features
from recbole_mmdistill.features.convert import convert
from recbole_mmdistill.features.formats import Options
from tests.features.builders import abc
from tests.features.conversion.builders import VALUES, refused, vectors, write


def test_npy_is_an_array_and_a_line_for_each_item(ours, tmp_path):
    convert(ours, tmp_path / "toy.text.npy")
    assert np.load(tmp_path / "toy.text.npy").tolist() == VALUES.tolist()
    assert (tmp_path / "toy.text.ids").read_text("utf-8") == 'a\nŸ 電影\n"\n'


def test_npy_may_hold_several_tokens(tmp_path):
    several = write(tmp_path / "ours.text.safetensors", abc().values, ["a", "b", "c"])
    convert(several, tmp_path / "toy.text.npy")
    assert np.load(tmp_path / "toy.text.npy").tolist() == abc().values.tolist()
    convert(tmp_path / "toy.text.npy", tmp_path / "back.text.safetensors")
    assert torch.equal(open_features(tmp_path / "back.text.safetensors").values, abc().values)


def test_raw_is_nothing_but_numbers(ours, tmp_path):
    convert(ours, tmp_path / "toy.feat1CLS")
    assert (tmp_path / "toy.feat1CLS").read_bytes() == VALUES.tobytes()
    assert (tmp_path / "toy.feat1CLS.ids").read_text("utf-8") == 'a\nŸ 電影\n"\n'


def test_a_row_is_the_item_of_its_number(tmp_path):
    np.save(tmp_path / "image_feat.npy", VALUES)
    convert(tmp_path / "image_feat.npy", tmp_path / "baby.image.safetensors", Options(ids="rows"))
    source = open_features(tmp_path / "baby.image.safetensors")
    assert source.item_tokens.tolist() == ["0", "1", "2"]
    assert source.info == FeatureInfo("image", source_fields=("image_feat.npy",))


@pytest.mark.parametrize("name", ["toy.npy", "toy.feat1CLS"])
def test_rows_without_an_item_are_zeros(tmp_path, name):
    ours = write(tmp_path / "ours.text.safetensors", VALUES, ["4", "0", "2"])
    done = convert(ours, tmp_path / name, Options(ids="rows"))
    assert done.n_filled == 2
    assert [file.name for file in tmp_path.iterdir() if "ids" in file.name] == []
    dim = 2 if name.endswith("CLS") else None
    for zeros_are_missing, expected in [(True, ["0", "2", "4"]), (False, list("01234"))]:
        options = Options(ids="rows", dim=dim, zeros_are_missing=zeros_are_missing)
        done = convert(tmp_path / name, tmp_path / "back.text.safetensors", options)
        back = open_features(tmp_path / "back.text.safetensors")
        assert back.item_tokens.tolist() == expected
        assert done.n_left_out == 5 - len(expected)
        assert vectors(ours).items() <= vectors(back.path).items()


@pytest.mark.parametrize("table", ["b\t1\nc\t2\na\t0\n", "asin\titemID\nb\t1\r\na\t0\r\nc\t2"])
@pytest.mark.parametrize("name", ["toy.npy", "toy.feat1CLS"])
def test_a_table_says_the_row_of_each_item(tmp_path, table, name):
    (tmp_path / "toy.item2index").write_bytes(table.encode())
    np.save(tmp_path / "toy.npy", VALUES)
    VALUES.tofile(tmp_path / "toy.feat1CLS")
    dim = 2 if name.endswith("CLS") else None
    options = Options(ids=str(tmp_path / "toy.item2index"), dim=dim)
    convert(tmp_path / name, tmp_path / "toy.text.safetensors", options)
    assert open_features(tmp_path / "toy.text.safetensors").item_tokens.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    "values", [VALUES.astype(">f4"), np.asfortranarray(VALUES), VALUES.astype(np.float64)]
)
@pytest.mark.parametrize("name", ["back.text.safetensors", "back.npy", "back.raw"])
def test_arrays_of_other_orders_and_widths_are_read(tmp_path, values, name):
    np.save(tmp_path / "toy.npy", values)
    done = convert(tmp_path / "toy.npy", tmp_path / name, Options(ids="rows", modality="text"))
    assert done.dtype == "float32"
    back = (tmp_path / name).read_bytes()
    assert VALUES.tobytes() in back


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ("a\t0\nb\t1\n", r"1 of the 3 rows of .*toy\.npy have no line in .*toy\.map: first row 2"),
        ("a\t0\nb\t1\nc\t3\n", r"Line 3 of .*toy\.map names row 3, but .*toy\.npy has only 3 rows"),
        ("x\ty\na\t0\nb\t0\nc\t1", "Line 3 of .* names row 0, which a line before it names"),
        ("a\t0\nb\t1.5\nc\t2\n", r"Line 2 of .* is 'b\\t1.5', but must be an item token, a tab"),
        ("a\t0\nb\t1\t7\nc\t2\n", "Line 2 of"),
        ("a\t0\n\t1\nc\t2\n", "Line 2 of"),
        ("a\t0\na\t1\nc\t2\n", "repeat an item.*'a', in rows 0 and 1"),
        ("a\nb\n", "has 3 rows, but .* names 2 items"),
        ("a\nb\na\n", "repeat an item.*'a', in rows 0 and 2"),
    ],
)
def test_wrong_ids_are_refused(tmp_path, ids, message):
    np.save(tmp_path / "toy.npy", VALUES)
    (tmp_path / "toy.map").write_text(ids)
    arguments = (tmp_path / "toy.npy", tmp_path / "toy.text.safetensors")
    refused(message, *arguments, ids=str(tmp_path / "toy.map"))


def test_missing_ids_are_asked_for(tmp_path):
    np.save(tmp_path / "toy.npy", VALUES)
    arguments = (tmp_path / "toy.npy", tmp_path / "toy.text.safetensors")
    refused(r"there is no .*toy\.ids\. Say --ids=FILE, or --ids=rows", *arguments)
    refused(r"There is no file nowhere", *arguments, ids="nowhere")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[1, 2]]), "holds int64, but features are floating-point"),
        (np.float32([1, 2]), r"has shape \[2\]"),
        (np.zeros((0, 2), np.float32), r"has shape \[0, 2\]"),
        (np.array([[{}]]), "no .npy file of plain numbers"),
        (np.float32([[1, 2], [3, np.nan]]), "Item '1' of .* holds nan"),
        (np.array([[1, 2], [3, 1e39]]), r"Item '1' of .* holds 1e\+39, more than float32 can"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, values, message):
    np.save(tmp_path / "toy.npy", values)
    arguments = (tmp_path / "toy.npy", tmp_path / "toy.text.safetensors")
    refused(message, *arguments, ids="rows")
    assert os.listdir(tmp_path) == ["toy.npy"]


@pytest.mark.parametrize(
    ("size", "dim", "message"),
    [
        (100, None, r"has 100 bytes, which are no vectors of 768 float32 numbers\. Say.*--dim"),
        (0, 2, "has 0 bytes"),
        (100, 0, "no vectors of 0 float32"),
    ],
)
def test_wrong_raw_files_are_refused(tmp_path, size, dim, message):
    (tmp_path / "toy.feat1CLS").write_bytes(bytes(size))
    arguments = (tmp_path / "toy.feat1CLS", tmp_path / "toy.text.safetensors")
    refused(message, *arguments, dim=dim, ids="rows")


@pytest.mark.parametrize("token", ["x", "-1", "007", "1.0", "٣", "9" * 30])
def test_an_item_that_is_no_row_number_is_refused(tmp_path, token):
    ours = write(tmp_path / "ours.text.safetensors", VALUES, ["0", token, "2"])
    message = rf"Item '{token}' of .* is no row number.*toy\.text\.ids"
    refused(message, ours, tmp_path / "toy.text.npy", ids="rows")


def test_rows_that_would_fill_the_disk_are_refused(tmp_path):
    ours = write(tmp_path / "ours.text.safetensors", VALUES, ["0", "1", "9" * 18])
    message = f"would have 1{'0' * 18} rows for 3 items"
    refused(message, ours, tmp_path / "toy.npy", ids="rows")
    assert os.listdir(tmp_path) == ["ours.text.safetensors"]


def test_ids_that_would_name_other_rows_are_not_left_beside(tmp_path):
    ours = write(tmp_path / "ours.text.safetensors", VALUES, ["0", "1", "2"])
    convert(ours, tmp_path / "toy.npy")
    refused(r"toy\.ids would name the rows", ours, tmp_path / "toy.npy", ids="rows")
