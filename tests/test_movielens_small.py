"""The example of docs/features.md on real ratings, titles and posters, with the real encoders."""

import logging
import os
import re
import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from recbole_mmdistill.cli import main
from recbole_mmdistill.features import open_features
from recbole_mmdistill.launch import run_request
from recbole_mmdistill.settings import read_request
from tests.features.builders import needs
from tests.features.extraction.builders import MINILM, MOVIES, VIT

ROOT = Path(__file__).parents[1]
N_FILMS = 300  # the most rated of those with a poster: enough for neighbours, few for minutes
FOLDER = Path("dataset/movielens-small")

pytestmark = [pytest.mark.slow, needs(MOVIES), needs(VIT), needs(MINILM)]


def rows(name):
    _, *lines = (MOVIES / f"movielens-small.{name}").read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines]


@pytest.fixture(scope="module")
def films():
    """The most rated films that have a poster, and their genres."""
    count = Counter(row[1] for row in rows("inter"))
    genres = {row[0]: {*row[3].split()} for row in rows("item")}
    with_poster = [
        film for film, _ in count.most_common() if (MOVIES / f"images/{film}.jpg").exists()
    ]
    return {film: genres[film] for film in with_poster[:N_FILMS] if film in genres}


@pytest.fixture
def dataset(films):
    """A part of movielens-small in its own folder; every tenth film lacks its poster."""
    (FOLDER / "images").mkdir(parents=True)
    for suffix, column in (("inter", 1), ("item", 0)):
        header, *lines = (MOVIES / f"movielens-small.{suffix}").read_text("utf-8").splitlines()
        kept = [line for line in lines if line.split("\t")[column] in films]
        (FOLDER / f"movielens-small.{suffix}").write_text("\n".join([header, *kept]), "utf-8")
    for number, film in enumerate(films):
        if number % 10:
            os.link(copy_once(film), FOLDER / "images" / f"{film}.jpg")
    return FOLDER


def copy_once(film):
    """Posters are read-only where they lie, and a link out of the folder would be refused."""
    path = Path(f"{film}.jpg")
    path.write_bytes((MOVIES / "images" / path).read_bytes())
    return path


def documented_commands():
    """The commands of docs/features.md, with their stand-ins filled in."""
    text = (ROOT / "docs/features.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    (block,) = (block for block in blocks if "--dataset=movielens-small" in block)
    lines = block.replace("\\\n", " ").splitlines()
    lines = [line for line in lines if line.startswith(("recbole-mm", "python run"))]
    stand_ins = {"MINILM": str(MINILM), "vit_tiny_patch16_224.safetensors": str(VIT)}
    commands = []
    for line in lines:
        for name, path in stand_ins.items():
            line = line.replace(f"${name}", path).replace(f"={name}", f"={path}")
        commands.append(shlex.split(line))
    return commands


def genre_overlap(films, source, neighbours):
    """Mean share of genres in common (Jaccard) of each film and its neighbours."""
    tokens = source.item_tokens
    shares = []
    for row, others in enumerate(neighbours):
        own = films[tokens[row]]
        for other in others:
            theirs = films[tokens[other]]
            shares.append(len(own & theirs) / max(1, len(own | theirs)))
    return float(np.mean(shares))


def nearest_ten(source):
    vectors = source.values[:, 0].float()
    similarity = vectors @ vectors.T
    similarity.fill_diagonal_(-2)
    return similarity.topk(10).indices.tolist()


def random_ten(source):
    generator = torch.Generator().manual_seed(0)
    n = len(source)
    return (torch.arange(n)[:, None] + torch.randint(1, n, (n, 10), generator=generator)) % n


@pytest.mark.parametrize("modality", ["text", "image"])
def test_films_near_each_other_have_genres_in_common(dataset, films, modality):
    """By title alone, without the genres; and by poster."""
    words = {
        "text": ["--fields=title", f"--encoder={MINILM}"],
        "image": ["--encoder=vit_tiny_patch16_224"],
    }[modality]
    words = ["extract", "--dataset=movielens-small", f"--modality={modality}", *words]
    weights = [f"--weights={VIT}"] * (modality == "image")
    trained, untrained = (Path(f"{name}.{modality}.safetensors") for name in ("real", "control"))
    assert main([*words, *weights, f"--output={trained}"]) == 0
    assert main([*words, "--untrained", f"--output={untrained}"]) == 0
    real, control = open_features(trained), open_features(untrained)
    assert control.info.is_untrained and not real.info.is_untrained
    by_real = genre_overlap(films, real, nearest_ten(real))
    by_control = genre_overlap(films, control, nearest_ten(control))
    by_chance = genre_overlap(films, real, random_ten(real).tolist())
    print(f"{modality}: {by_real:.3f}, untrained {by_control:.3f}, by chance {by_chance:.3f}")
    assert by_real > 1.2 * by_chance
    assert by_real > 1.1 * by_control


def test_the_documented_commands(dataset, films, caplog):
    extract_text, extract_image, train = documented_commands()
    for words in (extract_text, extract_image):
        assert words[:2] == ["recbole-mm", "extract"]
        assert main(words[1:]) == 0
    caplog.set_level(logging.INFO)
    quick = {
        "hidden_size": 16,
        "inner_size": 32,
        "epochs": 4,
        "MAX_ITEM_LIST_LENGTH": 20,
        "learning_rate": 0.005,
        "train_batch_size": 512,
        "show_progress": False,
        "valid_metric": "NDCG@10",
    }
    Path("quick.yaml").write_text(yaml.safe_dump(quick))
    assert train[:2] == ["python", "run_recbole_mm.py"]
    asked = dict(word.removeprefix("--").split("=", 1) for word in train[2:])
    summary = run_request(read_request({**asked, "config_files": "quick.yaml"}))
    assert list(summary["branches"]) == ["id", "text", "image"]
    by_chance = 10 / len(films)
    for metrics in (summary["test"], *summary["branches"].values()):
        assert metrics["hit@10"] > 1.5 * by_chance
    covered = [record.message for record in caplog.records if "of the items" in record.message]
    assert any(line.startswith("text: 100.0% of the items") for line in covered)
    assert any(line.startswith("image: 9") and "vit_tiny_patch16_224" in line for line in covered)
