"""Texts and pictures that nothing can be made of are left out, and the report says so."""

from pathlib import Path

import pytest
from PIL import Image

from recbole_mmdistill.poc.encoding import choice, make_image, make_text
from recbole_mmdistill.poc.steps import OutOfTime
from tests.features.extraction.builders import TIMM_MODEL, tiny_vit, write_items

FOLDER, HOME = Path("dataset/shop"), Path("features")


def test_pictures_that_are_all_broken():
    write_items(FOLDER / "shop.item", {"a": "pot", "b": "tea"})
    Path("photos").mkdir()
    Path("photos/a.jpg").write_bytes(b"no picture")
    weights = tiny_vit(Path("vit.safetensors"))
    found = make_image("shop", FOLDER, HOME, Path("photos"), None, TIMM_MODEL, weights)
    assert (found.how, found.encoder) == ("none", "no_usable_pictures")


def test_pictures_for_which_there_is_no_time():
    write_items(FOLDER / "shop.item", {f"i{n}": "pot" for n in range(70)})
    Path("photos").mkdir()
    for n in range(70):
        Image.new("RGB", (9, 9), (n, 0, 0)).save(f"photos/i{n}.png")
    weights = tiny_vit(Path("vit.safetensors"))
    words = ("shop", FOLDER, HOME, Path("photos"), None, TIMM_MODEL, weights)
    with pytest.raises(OutOfTime) as raised:
        make_image(*words, seconds=0)
    assert raised.value.result["encoder"] == "slow_encoder"
    assert make_image(*words).how == "encoded"


def test_the_choice_changes_with_what_is_there(monkeypatch):
    """So features are made anew by an encoder that was installed after the first start."""
    here = "recbole_mmdistill.poc.encoding._text_model_here"
    monkeypatch.setattr(here, lambda: None)
    write_items(FOLDER / "shop.item", {"a": "pot"})
    before = choice("text", "shop", FOLDER, None)
    assert choice("text", "shop", FOLDER, None) == before != choice("text", "shop", FOLDER, "bert")
    (FOLDER / "shop.text.safetensors").write_bytes(b"ready")
    assert choice("text", "shop", FOLDER, None) != before
    (FOLDER / "shop.text.safetensors").unlink()
    monkeypatch.setattr(here, lambda: "minilm")
    assert choice("text", "shop", FOLDER, None) != before


def test_texts_that_are_all_empty(monkeypatch):
    monkeypatch.setattr("recbole_mmdistill.poc.encoding._text_model_here", lambda: None)
    write_items(FOLDER / "shop.item", {"a": "", "b": ""})
    found = make_text("shop", FOLDER, HOME, ["title"], None)
    assert (found.how, found.encoder) == ("none", "no_texts")
