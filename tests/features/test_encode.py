import json
import subprocess
import sys

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, BertTokenizerFast

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features import open_features
from recbole_mmdistill.features.encode import main
from recbole_mmdistill.features.image import list_images, read_image
from recbole_mmdistill.features.text import read_texts
from tests.features.builders import SHARED, needs

IMAGES = SHARED / "data" / "movielens-small" / "images"
VIT = SHARED / "weights" / "vit_tiny_patch16_224.safetensors"
ITEMS = (
    "item_id:token\ttitle:token_seq\tyear:token\tgenres:token_seq\n"
    "7\tUsual Suspects, The (Suspects)\t1995\tCrime\n"
    "x y\tHeat\t\tCrime\n"
    "9\t\t\t\n"
)


@pytest.fixture
def item_file(tmp_path):
    path = tmp_path / "toy.item"
    path.write_text(ITEMS)
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A folder of a BERT so small that its vectors mean nothing, for tests of the plumbing."""
    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "heat", "crime", "1995", "."]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def posters(tmp_path):
    folder = tmp_path / "posters"
    folder.mkdir()
    for name, colour in {"7.png": "red", "9.jpg": "blue"}.items():
        Image.new("RGB", (20, 30), colour).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    """Weights of the right shapes that mean nothing, for tests of the plumbing."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vit") / "vit.safetensors"
    state = timm.create_model("vit_tiny_patch16_224").state_dict()
    save_file({key: tensor.half() for key, tensor in state.items()}, path)
    return path


def encode_text(item_file, encoder, output, fields="title,year,genres"):
    options = ["--item", item_file, "--fields", fields, "--encoder", encoder, "--output", output]
    return main(["text", *map(str, options)])


def encode_image(images, weights, output, model="vit_tiny_patch16_224"):
    options = ["--images", images, "--weights", weights, "--model", model, "--output", output]
    return main(["image", *map(str, options)])


def test_texts_are_joined_with_the_article_first(item_file):
    item_tokens, texts = read_texts(item_file, ["title", "year", "genres"])
    assert item_tokens == ["7", "x y"]
    assert texts == ["The Usual Suspects (Suspects). 1995. Crime", "Heat. Crime"]


def test_text_vectors_have_length_one_and_do_not_depend_on_padding(item_file, encoder, tmp_path):
    output = tmp_path / "both.text.safetensors"
    assert encode_text(item_file, encoder, output) == 0
    both = open_features(output)
    assert both.item_tokens.tolist() == ["7", "x y"]
    assert both.values.dtype == torch.float16
    assert both.values.float().norm(dim=2).flatten().tolist() == pytest.approx([1, 1], abs=1e-3)
    assert both.info.source_fields == ("title", "year", "genres")

    item_file.write_text("\n".join(ITEMS.splitlines()[i] for i in (0, 2)))
    alone = tmp_path / "alone.text.safetensors"
    assert encode_text(item_file, encoder, alone) == 0
    assert torch.allclose(open_features(alone).values[0], both.values[1], atol=1e-3)


def test_a_missing_encoder_is_two_sentences_and_exit_code_2(item_file, tmp_path):
    command = [
        sys.executable,
        "-m",
        "recbole_mmdistill.features.encode",
        "text",
        "--fields",
        "title",
    ]
    options = ["--item", item_file, "--encoder", tmp_path / "none", "--output", tmp_path / "x"]
    done = subprocess.run([*command, *map(str, options)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"No text encoder is in {tmp_path / 'none'}")


def test_missing_columns_and_files_are_named(item_file, encoder, tmp_path, capsys):
    assert encode_text(item_file, encoder, tmp_path / "x", fields="title,plot") == 2
    assert "no column 'plot'. Choose --fields among item_id, title, year" in capsys.readouterr().err
    assert encode_text(tmp_path / "absent.item", encoder, tmp_path / "x") == 2
    assert "absent.item" in capsys.readouterr().err
    item_file.write_text(ITEMS.splitlines()[0])
    assert encode_text(item_file, encoder, tmp_path / "x") == 2
    assert "has no text in" in capsys.readouterr().err


def test_a_text_model_is_never_left_untrained(item_file, encoder, tmp_path, capsys):
    copy = tmp_path / "bert"
    copy.mkdir()
    for file in encoder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    weights = load_file(copy / "model.safetensors")
    del weights["encoder.layer.0.output.dense.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    assert encode_text(item_file, copy, tmp_path / "x") == 2
    assert "lack 1 tensors of the model, such as encoder.layer.0" in capsys.readouterr().err

    (copy / "model.safetensors").write_bytes(b"cut")
    assert encode_text(item_file, copy, tmp_path / "x") == 2
    assert "cannot be loaded" in capsys.readouterr().err

    config = json.loads((encoder / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "no-such-model"}))
    assert encode_text(item_file, copy, tmp_path / "x") == 2
    assert "cannot be loaded" in capsys.readouterr().err


def test_images_that_are_not_whole_are_left_out_and_counted(posters, vit, tmp_path, capsys):
    (posters / "8.jpg").write_bytes((posters / "9.jpg").read_bytes()[:300])
    (posters / "10.png").write_text("no image")
    (posters / "11.jpg").symlink_to(tmp_path / "gone.jpg")
    (posters / "notes.txt").write_text("no image either")
    output = tmp_path / "toy.image.safetensors"
    assert encode_image(posters, vit, output) == 0
    assert "Left out 3 files that hold no whole image, first 10.png" in capsys.readouterr().out
    source = open_features(output)
    assert source.item_tokens.tolist() == ["7", "9"]
    assert source.values.shape == (2, 1, 192)
    assert source.info.source_fields == ("posters",)


def test_pixels_are_channels_first_between_0_and_1(posters):
    image = read_image(posters / "7.png", 224, 112)
    assert image.shape == (3, 224, 112)
    assert image.amax(dim=(1, 2)).tolist() == [1, 0, 0]


def test_two_images_of_one_item_are_refused(posters):
    Image.new("RGB", (2, 2)).save(posters / "7.jpg")
    with pytest.raises(UserError, match=r"7\.jpg and .*7\.png name the same item"):
        list_images(posters)


def test_what_image_encoding_lacks_is_named(posters, vit, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    truncated = tmp_path / "cut.safetensors"
    truncated.write_bytes(vit.read_bytes()[:1000])
    output = tmp_path / "x"
    cases = {
        "There is no folder": (tmp_path / "absent", vit, output),
        "No image is in": (empty, vit, output),
        "There is no weights file": (posters, tmp_path / "absent", output),
        "timm has no model 'vit_tine'": (posters, vit, output, "vit_tine"),
        "does not hold the weights of vit_small": (posters, vit, output, "vit_small_patch16_224"),
        "does not hold the weights of vit_tiny": (posters, truncated, output),
    }
    for message, arguments in cases.items():
        assert encode_image(*arguments) == 2
        assert message in capsys.readouterr().err
    for poster in posters.iterdir():
        poster.write_bytes(b"")
    assert encode_image(posters, vit, output) == 2
    assert "holds a whole image" in capsys.readouterr().err
    assert not output.exists()


@needs(IMAGES)
@needs(VIT)
def test_real_posters_of_one_series_look_alike(tmp_path):
    """Fellowship and Two Towers against Toy Story and Heat."""
    folder = tmp_path / "images"
    folder.mkdir()
    for item in ("4993", "5952", "1", "6"):
        (folder / f"{item}.jpg").write_bytes((IMAGES / f"{item}.jpg").read_bytes())
    assert encode_image(folder, VIT, tmp_path / "x") == 0
    source = open_features(tmp_path / "x")
    assert source.item_tokens.tolist() == ["1", "4993", "5952", "6"]
    similarity = source.values[:, 0].float() @ source.values[1, 0].float()
    assert similarity.argsort(descending=True)[:2].tolist() == [1, 2]
