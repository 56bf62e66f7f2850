import importlib.util
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest
import torch

from recbole_mmdistill.cli import main
from recbole_mmdistill.features import align_features, open_features, verify_features
from tests.features.builders import needs
from tests.features.extraction.builders import MINILM

PATH = Path(str(resources.files("recbole_mmdistill.features") / "shipped"))
ML_100K = PATH / "ml-100k.text.safetensors"


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


@needs(MINILM)
def test_the_command_makes_the_same_vectors_again(tmp_path):
    made = tmp_path / "x.text.safetensors"
    options = ["--fields=movie_title,release_year,class", f"--encoder={MINILM}"]
    words = ["--dataset=ml-100k", "--modality=text", f"--output={made}", *options]
    assert main(["extract", *words]) == 0
    made, shipped = open_features(made), open_features(ML_100K)
    assert made.info.weights_hash == shipped.info.weights_hash
    assert made.item_tokens.tolist() == shipped.item_tokens.tolist()
    assert torch.allclose(made.values, shipped.values, atol=2e-3)
