"""RecBole's additional feature file."""

import os
from pathlib import Path

import numpy as np
import pytest
from recbole.config import Config
from recbole.data import create_dataset

from recbole_mmdistill.features import FeatureInfo, open_features
from recbole_mmdistill.features.convert import convert
from recbole_mmdistill.features.formats import Options
from tests.features.conversion.builders import HEAD, VALUES, refused, write
from tests.integration.builders import SMALL, write_dataset


def test_itememb_is_text(tmp_path):
    values = np.array([[1, -2.5], [0.1, 0]], dtype=np.float32)
    convert(write(tmp_path / "x.safetensors", values, ["a", "b"]), tmp_path / "toy.itememb")
    assert (tmp_path / "toy.itememb").read_text() == (
        "text_itemid:token\ttext_emb:float_seq\na\t1 -2.5\nb\t0.100000001 0\n"
    )


def test_recbole_reads_the_itememb(tmp_path):
    write_dataset()
    items = write(tmp_path / "x.safetensors", VALUES, ["i1", "i2", "absent"])
    convert(items, Path("dataset/small/small.itememb"))
    extra = {
        "dataset": "small",
        "model": "SASRec",
        "additional_feat_suffix": ["itememb"],
        "load_col": {
            "inter": ["user_id", "item_id", "timestamp"],
            "itememb": ["text_itemid", "text_emb"],
        },
        "alias_of_item_id": ["text_itemid"],
        "preload_weight": {"text_itemid": "text_emb"},
    }
    dataset = create_dataset(Config(config_dict={**SMALL, **extra}))
    weight = dataset.get_preload_weight("text_itemid").astype(np.float32)
    assert weight[dataset.token2id("item_id", "i2")].tolist() == VALUES[1].tolist()


def test_the_columns_of_an_itememb_may_have_any_name_and_place(tmp_path):
    (tmp_path / "toy.itememb").write_text(
        "\ufeffyear:float\tvec:float_seq\tid:token\tother:float_seq\r\n"
        "1999\t1 2  3\ta\t7\r\n2000\t\tb\t8\r\n2001\t4 5 6 \tc\t9"
    )
    done = convert(tmp_path / "toy.itememb", tmp_path / "toy.text.safetensors")
    source = open_features(tmp_path / "toy.text.safetensors")
    assert source.item_tokens.tolist() == ["a", "c"]
    assert source.values.tolist() == [[[1, 2, 3]], [[4, 5, 6]]]
    assert source.info == FeatureInfo("text", source_fields=("toy.itememb", "vec"))
    assert done.n_left_out == 1
    options = Options(field="other")
    convert(tmp_path / "toy.itememb", tmp_path / "toy.text.safetensors", options)
    assert open_features(tmp_path / "toy.text.safetensors").values.flatten().tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("itemid\titem_emb\na\t1\n", "Line 1 of .* has a column 'itemid' without a type"),
        ("itemid:float\titem_emb:float_seq\na\t1\n", "no column of type token: its columns are"),
        ("itemid:token\titem_emb:float\na\t1\n", "no column of type float_seq"),
        (HEAD, "has no rows"),
        (HEAD + "a\t\n", "no item with a vector in item_emb"),
        (HEAD + "a\t1 2\nb\t1\n", r"Line 3 of .*toy\.itememb has 1 numbers in item_emb, the .* 2"),
        (HEAD + "a\t1 2\nb\t1 x\n", "Line 3 of .* no number .*'x'"),
        (HEAD + "a\t1,2\n", "Line 2 of .* no number .*'1,2'"),
        (HEAD + "a\t1 2\nb\t1 nan\n", "Item 'b' of .* holds nan"),
        (HEAD + "a\t1 1e39\n", "Item 'a' of .* holds 1e[+]39, more than float32 can"),
        (HEAD + "a\t1 2\nb\n", "Line 3 of .* has 1 columns, its header 2"),
        (HEAD + "a\t1 2\t3\n", "Line 2 of .* has 3 columns, its header 2"),
        (HEAD + "\t1 2\n", "Line 2 of .* has no itemid"),
        (HEAD + "a\t1 2\nb\t\na\t3 4\n", "Lines 2 and 4 of .* are both of item 'a'"),
    ],
)
def test_a_wrong_itememb_is_refused(tmp_path, content, message):
    (tmp_path / "toy.itememb").write_text(content)
    refused(message, tmp_path / "toy.itememb", tmp_path / "toy.text.safetensors")
    assert os.listdir(tmp_path) == ["toy.itememb"]


def test_an_itememb_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "toy.itememb").write_bytes(HEAD.encode() + b"a\t1\n\xff\t1\n")
    refused("Line 3 of .* is not UTF-8", tmp_path / "toy.itememb", tmp_path / "x.npy")


def test_a_field_that_is_not_there_is_named(tmp_path):
    (tmp_path / "toy.itememb").write_text(HEAD + "a\t1\n")
    refused("no column called 'v' of", tmp_path / "toy.itememb", tmp_path / "x.npy", field="v")
