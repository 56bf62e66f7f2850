"""What is told of a sample."""

from pathlib import Path

import pytest
from PIL import Image

from recbole_mmdistill.evaluation.rows import Rows
from recbole_mmdistill.poc.health import describe, languages
from recbole_mmdistill.poc.sample import read_sample


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A pot for the garden, with a lid", "English"),
        ("Ein Topf für den Garten mit Deckel", "German"),
        ("Tasse grün in Größe M", "German"),
        ("Becher in Blau", "other"),
        ("Un pot pour le jardin avec couvercle", "French"),
        ("庭のための鉢", "Japanese"),
        ("花园用陶罐", "Chinese"),
        ("Горшок для сада", "Cyrillic"),
        ("XK-2000", "other"),
    ],
)
def test_a_language_is_told_by_its_script_or_its_words(text, language):
    assert languages([text]) == {language: 1.0}


def test_shares_of_languages():
    assert languages(["the pot with a lid", "the spade", "für den Garten", "", ""]) == {
        "English": pytest.approx(2 / 3),
        "German": pytest.approx(1 / 3),
    }


def test_a_picture_that_is_not_there_is_missing_and_a_broken_one_is_unreadable():
    folder, photos = Path("dataset/shop"), Path("photos")
    folder.mkdir(parents=True)
    photos.mkdir()
    Image.new("RGB", (80, 80)).save(photos / "a.png")
    (photos / "b.png").write_bytes(b"no picture")
    items = ["a\tpot\ta.png", "b\ttea\tb.png", "c\tcup\tabsent.png", "d\tlid\t"]
    header = "item_id:token\ttitle:token_seq\tphoto:token"
    (folder / "shop.item").write_text("\n".join([header, *items]) + "\n")
    bought = [f"u\t{item}\t{n}" for n, item in enumerate("aabbbccd")]
    header = "user_id:token\titem_id:token\ttimestamp:float"
    (folder / "shop.inter").write_text("\n".join([header, *bought]) + "\n")
    rows = Rows(["u"], ["d"], ["tail"], [7], {}, 4)
    base = {"ranks": {"popular": [1], "markov": [1]}, "n_train": 5, "n_valid": 1, "repeats": 0.0}
    sample = read_sample("shop", folder)
    pictures = describe(sample, [], photos, "photo", {}, rows, base)["pictures"]
    assert (pictures["missing"], pictures["unreadable"]) == (2, 1)
    assert [(of["item"], of["said"]) for of in pictures["worst"]] == [
        *(("b", "tea"), ("c", "cup"), ("d", "lid")),
    ]
    assert pictures["worst"][0]["why"].startswith("is no picture")
    assert pictures["worst"][1]["why"] == ""
