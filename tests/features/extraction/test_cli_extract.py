"""``recbole-mm extract``: what is typed, and how a mistake ends."""

from pathlib import Path

import pytest

from recbole_mmdistill.cli import main
from recbole_mmdistill.features import open_features
from tests.features.extraction.builders import TIMM_MODEL, write_items, write_pictures

FOLDER = Path("dataset/toy")
ITEMS = {"1": "Heat, The", "2": "Star &amp; <b>Wars</b>", "3": ""}


@pytest.fixture(autouse=True)
def toy():
    write_items(FOLDER / "toy.item", ITEMS)
    write_pictures(FOLDER / "images", ["1", "3", "unknown"])


def extract(*words):
    return main(["extract", "--dataset=toy", *words])


def of_text(bert, *words):
    return extract("--modality=text", f"--encoder={bert}", *words)


def of_images(vit, *words):
    return extract("--modality=image", f"--encoder={TIMM_MODEL}", f"--weights={vit}", *words)


def test_texts(bert, capsys):
    assert of_text(bert, "--fields=title") == 0
    source = open_features(FOLDER / "toy.text.safetensors")
    assert source.item_tokens.tolist() == ["1", "2"]
    assert source.info.modality == "text"
    assert source.info.source_fields == ("title",)
    out = capsys.readouterr().out
    assert out.startswith("text: 2 of 3 items have features (2 encoded, 0 kept), 1 have no text")
    assert "toy.text.report.tsv" in out
    assert "feature_path" not in out  # training finds it


def test_pictures(vit, capsys):
    assert of_images(vit) == 0
    source = open_features(FOLDER / "toy.image.safetensors")
    assert source.item_tokens.tolist() == ["1", "3"]
    assert source.values.shape == (2, 1, 64)
    assert source.info.source_fields == ("images",)
    assert "1 files of the folder are named after no item" in capsys.readouterr().out


def test_pictures_named_by_a_column(vit):
    rows = ["item_id:token\tphoto:token", "x\t3.png", "y\t../../secret.png", "z\t", "w\t1.png"]
    (FOLDER / "toy.item").write_text("\n".join(rows))
    Path("dataset/secret.png").write_bytes((FOLDER / "images/1.png").read_bytes())
    assert of_images(vit, "--image_field=photo") == 0
    assert open_features(FOLDER / "toy.image.safetensors").item_tokens.tolist() == ["x", "w"]
    report = (FOLDER / "toy.image.report.tsv").read_text().splitlines()[1:]
    assert report == [
        "y\tfailed\t../../secret.png\tleads out of the folder of images",
        "z\tmissing\tz.*\thas no input",
    ]


def test_without_an_item_file_the_items_are_those_of_the_interactions(vit):
    (FOLDER / "toy.item").unlink()
    (FOLDER / "toy.inter").write_text("user_id:token\titem_id:token\nu\t3\nu\t1\nv\t3\nv\t9\n")
    assert of_images(vit) == 0
    assert open_features(FOLDER / "toy.image.safetensors").item_tokens.tolist() == ["3", "1"]


def test_untrained_weights_are_asked_for_and_said(bert, capsys):
    assert of_text(bert, "--fields=title", "--untrained", "--output=out/x.text.safetensors") == 0
    assert open_features("out/x.text.safetensors").info.is_untrained
    out = capsys.readouterr().out
    assert "The encoder is untrained" in out
    told = "Train with it by --feature_path='{text: out/x.text.safetensors}'"
    assert out.splitlines()[-1] == told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Neither --fields nor --template is given. Give one of them, with names"),
        (["--fields=title", "--template={title}"], "Both --fields and --template are given."),
        (["--fields=plot"], "has no column 'plot'."),
        (["--template=title"], "--template is 'title', but must name fields in braces"),
        (["--fields=title", "--images=x"], "--images is an option of --modality=image"),
        (["--fields=title", "--pooling=max"], "Argument --pooling: invalid choice: 'max'"),
        (["--fields=title", "--batch_size=0"], "Argument --batch_size: 0 is not 1 or more."),
        (["--fields=title", "--batch_size=x"], "Argument --batch_size: invalid positive value"),
        (["--fields=title", "--device=abacus"], "--device is 'abacus', which cannot be used"),
        (["--fields=title", "--layer=9"], "--layer is 9, but"),
        (["--felds=title"], "Unrecognized arguments: --felds=title."),
        (["--fields=title", "--ITEM_ID_FIELD=sku"], "has no column 'sku'."),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(bert, capsys, words, message):
    assert of_text(bert, *words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ") and message in line
    assert sorted(path.name for path in FOLDER.iterdir()) == ["images", "toy.item"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--images=photos"], "There is no folder photos."),
        (["--image_field=photo"], "has no column 'photo'."),
        (["--fields=title"], "--fields is an option of --modality=text"),
        (["--weights=absent"], "There is no weights file absent."),
        (["--encoder=vit_tine"], "timm has no model 'vit_tine'."),
        (["--num_workers=-1"], "Argument --num_workers: -1 is not 0 or more."),
    ],
)
def test_mistakes_with_images(vit, capsys, words, message):
    assert of_images(vit, *words) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_dataset_that_does_not_exist(capsys):
    assert main(["extract", "--dataset=toi", "--modality=text", "--encoder=x"]) == 2
    assert "There is no dataset 'toi' in dataset" in capsys.readouterr().err


def test_a_folder_without_a_model(capsys):
    assert of_text(Path("dataset"), "--fields=title") == 2
    assert "No encoder is in dataset: it holds no config.json." in capsys.readouterr().err


def test_help(capsys):
    assert main(["extract", "--help"]) == 0
    said = capsys.readouterr().out
    for option in ("--template", "--untrained", "--weights", "--max_length"):
        assert option in said
