"""An epoch of training, IDMMDistill against RecBole's SASRec, through RecBole's own trainer.

RecBole 1.2.1 trains every model in torch's anomaly mode, which importing its SINE turns on for the
whole process; this package turns it off. So SASRec is measured both ways: as RecBole trains it, and
as it trains once this package is imported.
"""

from __future__ import annotations

import logging
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..integration.config import make_config
from ..pipeline import Prepared, prepare
from .report import compare
from .synthetic import write_interactions, write_random_features

_EVALUATIONS = 10  # after each epoch; one takes a fraction of a second
_TEXT_DIM, _IMAGE_DIM = 384, 192  # those of MiniLM and of ViT-Tiny


def _prepare(model: str, dataset: str, **settings: Any) -> Prepared:
    """Build model, data and trainer, on the CPU."""
    return prepare(make_config(model, dataset, {"use_gpu": False, **settings}))


def _train_epoch(prepared: Prepared, number: int, anomaly_mode: bool = False) -> float:
    """Train an epoch; CPU seconds that it took."""
    with torch.autograd.set_detect_anomaly(anomaly_mode):
        started = time.process_time()
        prepared.trainer._train_epoch(prepared.train_data, number, show_progress=True)
        return time.process_time() - started


def _rank(prepared: Prepared) -> float:
    """Rank the test targets among all items; CPU seconds that it took."""
    started = time.process_time()
    prepared.trainer.evaluate(prepared.test_data, load_best_model=False, show_progress=False)
    return time.process_time() - started


def measure_branches(rounds: int) -> list[dict[str, Any]]:
    """Measure what three branches cost: an epoch against the ID alone, full ranking against SASRec.

    Parameters
    ----------
    rounds : int
        Epochs of each side, with some evaluations after each.

    Returns
    -------
    list of dict
        As :func:`recbole_mmdistill.bench.report.compare`.
    """
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        common = {"checkpoint_dir": str(Path(folder) / "saved")}
        three = _prepare(
            "IDMMDistill",
            "ml-100k",
            modalities=["text", "image"],
            **_films(Path(folder)),
            **common,
        )
        id_only = _prepare("IDMMDistill", "ml-100k", modalities=[], **common)
        sasrec = _prepare("SASRec", "ml-100k", **common)
        epochs: tuple[list[float], list[float]] = ([], [])
        evaluations: tuple[list[float], list[float]] = ([], [])
        for number in tqdm(range(rounds), desc="rounds"):
            for seconds, side in zip(epochs, (three, id_only)):
                seconds.append(_train_epoch(side, number))
            for _ in range(_EVALUATIONS):
                for seconds, side in zip(evaluations, (three, sasrec)):
                    seconds.append(_rank(side))
    return [
        compare(
            "CPU seconds of an epoch of ml-100k, ID, text and image; the ID alone",
            *epochs,
            2.0,
        ),
        compare(
            "CPU seconds of full ranking of ml-100k, ID, text and image; SASRec",
            *evaluations,
            1.5,
        ),
    ]


def measure(rounds: int) -> list[dict[str, Any]]:
    """Measure all cases, both sides in turn.

    Parameters
    ----------
    rounds : int
        Epochs of each side.

    Returns
    -------
    list of dict
        As :func:`recbole_mmdistill.bench.report.compare`.
    """
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        films = _films(path)
        shop = _shop(path)
        common = {"checkpoint_dir": str(path / "saved")}
        return [
            *_side_by_side(
                rounds,
                _prepare("SASRec", "ml-100k", **common),
                {
                    ("ml-100k, ID, text and image", 1 / 20): _prepare(
                        "IDMMDistill", "ml-100k", modalities=["text", "image"], **films, **common
                    ),
                    ("ml-100k, ID and text", 1 / 30): _prepare(
                        "IDMMDistill", "ml-100k", modalities=["text"], **common
                    ),
                },
            ),
            *_side_by_side(
                rounds,
                _prepare("SASRec", "shop", **shop, **common),
                {
                    ("short histories, ID, text and image", 1 / 6): _prepare(
                        "IDMMDistill", "shop", modalities=["text", "image"], **shop, **common
                    ),
                },
            ),
        ]


def _films(path: Path) -> dict[str, Any]:
    """Random vectors in place of ml-100k's pictures, beside the texts that are shipped."""
    folder = resources.files("recbole") / "dataset_example" / "ml-100k" / "ml-100k.item"
    lines = folder.read_text(encoding="utf-8").splitlines()[1:]
    tokens = [line.partition("\t")[0] for line in lines]
    write_random_features(path, "ml-100k", "image", tokens, _IMAGE_DIM)
    return {"feature_path": {"image": str(path / "ml-100k.image.safetensors")}}


def _shop(path: Path) -> dict[str, Any]:
    """17,000 users with 8 of 6,000 items each, and random features of all items."""
    folder = write_interactions(path, "shop", n_users=17_000, n_items=6_000, per_user=8)
    tokens = [f"i{number}" for number in range(6_000)]
    for seed, (modality, dim) in enumerate({"text": _TEXT_DIM, "image": _IMAGE_DIM}.items()):
        write_random_features(folder, "shop", modality, tokens, dim, seed)
    return {"data_path": str(path), "MAX_ITEM_LIST_LENGTH": 20}


def _side_by_side(
    rounds: int, theirs: Prepared, ours: dict[tuple[str, float], Prepared]
) -> list[dict[str, Any]]:
    baselines = {"as RecBole trains it": True, "without anomaly mode": False}
    seconds: dict[Any, list[float]] = {case: [] for case in (*baselines, *ours)}
    for number in tqdm(range(rounds), desc="rounds"):
        for case, side in ours.items():
            seconds[case].append(_train_epoch(side, number))
        for name, anomaly_mode in baselines.items():
            seconds[name].append(_train_epoch(theirs, number, anomaly_mode))
    return [
        compare(
            f"CPU seconds of an epoch of {case[0]}; SASRec {name}",
            seconds[case],
            seconds[name],
            case[1],
        )
        for name in baselines
        for case in ours
    ]
