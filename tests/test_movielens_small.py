"""All three sources on real ratings, titles and posters."""

import logging
import os
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml

from recbole_mmdistill.features import FeatureInfo, write_features
from recbole_mmdistill.features.encode import main as encode
from recbole_mmdistill.run import read_request, run
from tests.features.builders import SHARED, needs

DATA = SHARED / "data" / "movielens-small"
VIT = SHARED / "weights" / "vit_tiny_patch16_224.safetensors"
MIN_RATINGS = 100  # leaves films enough for a few minutes less of encoding


def popular_films():
    _, *rows = (DATA / "movielens-small.inter").read_text(encoding="utf-8").splitlines()
    count = Counter(row.split("\t")[1] for row in rows)
    return [film for film, n in count.items() if n >= MIN_RATINGS]


@pytest.fixture
def dataset():
    """Posters through the real ViT; titles as bags of hashed letters, for want of a real BERT."""
    folder = Path("dataset/movielens-small")
    folder.mkdir(parents=True)
    os.symlink(DATA / "movielens-small.inter", folder / "movielens-small.inter")
    films = popular_films()
    os.mkdir("posters")
    for film in films[::2]:  # every other film lacks its poster
        if (DATA / "images" / f"{film}.jpg").is_file():
            os.symlink(DATA / "images" / f"{film}.jpg", f"posters/{film}.jpg")
    output = folder / "movielens-small.image.safetensors"
    words = ["--model", "vit_tiny_patch16_224", "--weights", str(VIT), "--output", str(output)]
    assert encode(["image", "--images", "posters", *words]) == 0
    _, *rows = (DATA / "movielens-small.item").read_text(encoding="utf-8").splitlines()
    titles = {row.split("\t")[0]: row.split("\t")[1] for row in rows}
    values = torch.zeros(len(films), 1, 26)
    for row, film in enumerate(films):
        for letter in titles[film].lower():
            values[row, 0, ord(letter) % 26] += 1
    text = folder / "movielens-small.text.safetensors"
    write_features(text, values, films, FeatureInfo("text", encoder="letters"))
    return len(films)


@needs(DATA)
@needs(VIT)
def test_three_sources_learn_together(dataset, caplog):
    caplog.set_level(logging.INFO)
    settings = {
        "data_path": "dataset/",
        "user_inter_num_interval": "[10,inf)",
        "item_inter_num_interval": f"[{MIN_RATINGS},inf)",
        "filter_inter_by_user_or_item": True,
        "hidden_size": 16,
        "inner_size": 32,
        "epochs": 8,
        "MAX_ITEM_LIST_LENGTH": 20,
        "learning_rate": 0.005,
        "train_batch_size": 512,
        "show_progress": False,
        "valid_metric": "NDCG@10",
    }
    Path("settings.yaml").write_text(yaml.safe_dump(settings))
    asked = {"dataset": "movielens-small", "config_files": "settings.yaml"}
    summary = run(read_request(asked))
    assert list(summary["branches"]) == ["id", "text", "image"]
    by_chance = 10 / dataset
    for metrics in (summary["test"], *summary["branches"].values()):
        assert metrics["hit@10"] > 1.5 * by_chance
    covered = [record.message for record in caplog.records if "of the items" in record.message]
    assert any(line.startswith("text: 100.0% of the items") for line in covered)
    assert any(line.startswith("image: ") and "vit_tiny_patch16_224" in line for line in covered)
