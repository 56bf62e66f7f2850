"""``recbole-mm features``, from the words typed to the page."""

from pathlib import Path

import pytest
from PIL import Image

from recbole_mmdistill.cli import main
from tests.integration.builders import write_dataset

FOLDER = Path("dataset/small")
PAGE = FOLDER / "small.features.html"


@pytest.fixture(autouse=True)
def small():
    write_dataset()


def printed(capsys, *words):
    assert main(["features", *words]) == 0
    return capsys.readouterr().out


def test_a_text_and_a_page_beside_the_features(capsys):
    *text, last = printed(capsys, "small").splitlines()
    assert text[0] == "Features of small: 15 items, 108 interactions"
    assert last == f"The same with pictures: {PAGE.absolute()}"
    assert ">Features of small</h1>" in PAGE.read_text(encoding="utf-8")


def test_shipped_features_work_out_of_the_box(capsys):
    *text, last = printed(capsys, "ml-100k", "--n_examples=2").splitlines()
    assert text[0] == "Features of ml-100k: 1,682 items, 100,000 interactions"
    assert last == f"The same with pictures: {Path('ml-100k.features.html').absolute()}"
    assert "Star Wars  (583 interactions, popular)" in text
    assert any(line.endswith("0.395  clearly nearer than by chance") for line in text)
    assert max(map(len, text[3:])) <= 100


def test_a_folder_that_may_not_be_written_to_is_left_alone(capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert Path("small.features.html").absolute().name in printed(capsys, "small")
    assert Path("small.features.html").is_file()
    assert not PAGE.exists()


def test_the_page_goes_where_it_is_told(capsys):
    assert "pages/mine.html" in printed(capsys, "small", "--output=pages/mine.html")
    assert Path("pages/mine.html").is_file()
    assert not PAGE.exists()


@pytest.mark.parametrize(("folder", "words"), [("dataset/small/images", []), ("p", ["--images=p"])])
def test_pictures_of_the_dataset_or_of_another_folder(capsys, folder, words):
    Path(folder).mkdir()
    for item in range(15):
        Image.new("RGB", (20, 30)).save(f"{folder}/i{item}.png")
    printed(capsys, "small", *words)
    assert "data:image/jpeg" in PAGE.read_text(encoding="utf-8")


def test_features_of_another_folder_come_first(capsys):
    Path("mine").mkdir()
    (FOLDER / "small.text.safetensors").rename("mine/small.text.safetensors")
    text = printed(capsys, "small", "--feature_path=mine", "--modalities=[text]")
    assert str(Path("mine/small.text.safetensors").absolute()) in text
    assert Path("mine/small.features.html").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: DATASET"),
        (["smal"], "near it: small"),
        (["small", "--modalities=image"], "--dataset=small --modality=image"),
        (["small", "--feature_path=nowhere"], "the folder nowhere, which does not exist"),
        (["small", "--images=nowhere"], "There is no folder nowhere."),
        (["small", "--title_field=color"], "has no column 'color'"),
        (["small", "--ITEM_ID_FIELD=movie"], "has no column 'movie'"),
        (["small", "--n_examples=-1"], "--n_examples is -1"),
        (["small", "--n_examples=few"], "invalid int value: 'few'"),
        (["small", "--output=small.text.safetensors"], "End the name in .html."),
        (["small", "--output=dataset/small.inter/a.html"], "a.html"),
        (["small", "--page=x"], "--page=x"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(capsys, words, message):
    Path("dataset/small.inter").touch()
    assert main(["features", *words]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ") and message in line
    assert not PAGE.exists()


def test_no_features_says_how_to_make_them(capsys):
    (FOLDER / "small.text.safetensors").unlink()
    assert main(["features", "small"]) == 2
    assert "recbole-mm extract --dataset=small --modality=text" in capsys.readouterr().err


def test_help_lists_the_options(capsys):
    text = printed(capsys, "--help")
    assert all(f"--{key}" in text for key in ("data_path", "images", "n_examples", "output"))
