"""What is typed after ``recbole-mm convert``, and how a mistake ends."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_mmdistill.cli import main
from recbole_mmdistill.features import FeatureInfo, find_features, open_features, write_features

VALUES = np.array([[1, 2], [0, 0], [5, 6]], dtype=np.float32)


@pytest.fixture(autouse=True)
def files():
    """Files of others in the working directory."""
    np.save("image_feat.npy", VALUES)
    VALUES.tofile("Scientific.feat1CLS")
    Path("i_id_mapping.csv").write_text("asin\titemID\nB00\t0\nB01\t1\nB02\t2\n")
    Path("toy.itememb").write_text("itemid:token\titem_emb:float_seq\nx\t1 2\ny\t\nz\t5 6\n")
    write_features("toy.text.safetensors", VALUES, ["x", "y", "z"], FeatureInfo("text", "bert"))


@pytest.mark.parametrize(
    ("words", "line", "tokens"),
    [
        ("image_feat.npy baby.image.safetensors --ids=rows", "3 items, 1 x 2 float32", "0 1 2"),
        (
            "image_feat.npy baby.image.safetensors --ids=i_id_mapping.csv --dtype=float16",
            "3 items, 1 x 2 float16",
            "B00 B01 B02",
        ),
        (
            "image_feat.npy baby.image.safetensors --ids rows --zeros_are_missing",
            "2 items, 1 x 2 float32",
            "0 2",
        ),
        (
            "Scientific.feat1CLS Scientific.text.safetensors --dim=2 --ids=i_id_mapping.csv",
            "3 items, 1 x 2 float32",
            "B00 B01 B02",
        ),
        ("toy.itememb toy.image.safetensors", "2 items, 1 x 2 float32", "x z"),
        (
            "toy.itememb new --to=safetensors --modality=text --field=item_emb --encoder=mine",
            "2 items, 1 x 2 float32",
            "x z",
        ),
    ],
)
def test_others_features_become_ours(capsys, words, line, tokens):
    source, destination, *options = words.split()
    assert main(["convert", source, destination, *options]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{source}: {line}, written to {destination}")
    assert said.count("\n") == 1
    if len(tokens.split()) == 2:
        assert said.endswith("; 1 without a vector left out\n")
    written = open_features(destination)
    assert written.item_tokens.tolist() == tokens.split()
    assert written.values[0].tolist() == [[1, 2]]
    assert written.info.encoder == ("mine" if "--encoder=mine" in options else "unknown")


def test_ours_become_npy_that_is_found(capsys):
    assert main(["convert", "toy.text.safetensors", "data/toy.text.npy"]) == 0
    assert capsys.readouterr().out == (
        "toy.text.safetensors: 3 items, 1 x 2 float32, written to data/toy.text.npy\n"
    )
    found = find_features("toy", "text", Path("data"))
    assert found.item_tokens.tolist() == ["x", "y", "z"]
    assert torch.equal(found.values[:, 0], torch.from_numpy(VALUES))


def test_rows_without_an_item_are_counted(capsys):
    write_features("n.text.safetensors", VALUES, ["4", "0", "1"], FeatureInfo("text"))
    assert main(["convert", "n.text.safetensors", "n.feat1CLS", "--ids=rows"]) == 0
    assert "; 2 more rows are zeros, of items without features\n" in capsys.readouterr().out
    assert np.fromfile("n.feat1CLS", np.float32).reshape(5, 2)[4].tolist() == [1, 2]


def test_what_is_there_is_replaced():
    for source in ("toy.text.safetensors", "toy.itememb"):
        assert main(["convert", source, "toy.text.npy"]) == 0
    assert Path("toy.text.ids").read_text() == "x\nz\n"
    assert len(np.load("toy.text.npy")) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "The following arguments are required: SOURCE, DESTINATION."),
        (["toy.itememb"], "The following arguments are required: DESTINATION."),
        (["toy.itememb", "x.npy", "--speed=9"], "Unrecognized arguments: --speed=9."),
        (["toy.itememb", "x.npy", "--dim=x"], "--dim"),
        (["toy.itememb", "x.npy", "--to=csv"], "There is no format 'csv'."),
        (["toy.itememb", "x.npy", "--dim=3"], "--dim=3 has no meaning from itememb to npy."),
        (["toy.itememb", "x.npy", "--dtype=int8"], "The dtype of npy cannot be 'int8'."),
        (["toy.itememb", "toy.itememb"], "toy.itememb is to be read and written."),
        (["toy.csv", "x.npy"], "The name of toy.csv does not say its format."),
        (["none.npy", "x.raw"], "There is no file none.npy."),
        (["none.text.safetensors", "x.raw"], "There is no feature file"),
        (["image_feat.npy", "x.raw"], "there is no image_feat.ids."),
        (["image_feat.npy", "x.safetensors", "--ids=rows"], "Neither image_feat.npy nor"),
        (
            ["Scientific.feat1CLS", "x.npy", "--ids=rows"],
            "which are no vectors of 768 float32",
        ),
        (["toy.itememb", "toy.itememb/x.npy"], "toy.itememb/x.npy cannot be written"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(capsys, words, message):
    before = sorted(Path().iterdir())
    assert main(["convert", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ") and message in line
    assert sorted(Path().iterdir()) == before


def test_help_has_examples(capsys):
    assert main(["convert", "--help"]) == 0
    assert "recbole-mm convert image_feat.npy" in capsys.readouterr().out
