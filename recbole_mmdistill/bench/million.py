"""A large catalogue: what a step costs beside that of a small one, full ranking, and memory."""

from __future__ import annotations

import logging
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import report
from .step import Training
from .synthetic import write_random_features

_SMALL = 10_000
_PER_ITEM = 10  # interactions
_PER_USER = 20
_STEPS = 8
_RANKED_ROWS, _ROWS_AT_ONCE = 256, 32
_TARGET_GIB = 8.0
_DIMS = {"text": 384, "image": 192}


def measure(rounds: int, n_items: int = 1_000_000) -> list[dict[str, Any]]:
    """Build, train and rank with many items, beside 10,000.

    Parameters
    ----------
    rounds : int
        Of some steps of each, in turn.
    n_items : int
        Items of the large catalogue; ten times as many interactions.

    Returns
    -------
    list of dict
        As :func:`recbole_mmdistill.bench.report.compare`, and what building and ranking take.
    """
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"small": _SMALL, "large": n_items}
        # In a process of its own, whose memory is not what is measured.
        for name, size in sizes.items():
            writer = multiprocessing.get_context("spawn").Process(
                target=write_catalogue, args=(Path(folder), name, size)
            )
            writer.start()
            writer.join()
        trainings, seconds = {}, {}
        for name in sizes:
            started = time.process_time()
            trainings[name] = Training(
                "IDMMDistill",
                name,
                data_path=folder,
                checkpoint_dir=str(Path(folder) / "saved"),
                modalities=list(_DIMS),
                MAX_ITEM_LIST_LENGTH=20,
                train_candidates="sampled",
                use_gpu=torch.cuda.is_available(),
            )
            seconds[name] = time.process_time() - started
        built = _peak_gib()
        steps: dict[str, list[float]] = {name: [] for name in sizes}
        for _ in range(rounds):
            for name, training in trainings.items():
                steps[name].append(_step_seconds(training))
        trained = _peak_gib()
        ranking = _rank(trainings["large"])
    compared = report.compare(
        f"seconds of a step, {n_items:,} items; {_SMALL:,}",
        steps["large"],
        steps["small"],
        1.5,
    )
    peak = _peak_gib()
    memory = {
        "name": f"peak memory with {n_items:,} items (GiB); {_TARGET_GIB:.0f}",
        "ratio": report.spread([peak / _TARGET_GIB]),
        "target": 1.0,
        "reached": peak <= _TARGET_GIB,
        "gib_after": {"building": built, "training": trained, "ranking": peak},
        **({"gib_on_the_gpu": _peak_gib_on_gpu()} if torch.cuda.is_available() else {}),
        "cpu_seconds_of_building": {name: round(t, 1) for name, t in seconds.items()},
        **ranking,
    }
    return [compared, memory]


def write_catalogue(folder: Path, name: str, n_items: int) -> None:
    """Write interactions and features of a catalogue.

    Parameters
    ----------
    folder : Path
        RecBole's ``data_path``.
    name : str
        The dataset.
    n_items : int
        Every item occurs at least once, and the most popular ones often.
    """
    rng = np.random.default_rng(0)
    n = n_items * _PER_ITEM
    drawn = (n_items * rng.random(n - n_items) ** 3).astype(np.int64)  # the first are popular
    item = rng.permutation(np.concatenate([np.arange(n_items), drawn]))
    (folder / name).mkdir()
    with open(folder / name / f"{name}.inter", "w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for first in range(0, n, 100_000):
            part = item[first : first + 100_000].tolist()
            file.writelines(
                f"u{number // _PER_USER}\ti{one}\t{number}\n"
                for number, one in enumerate(part, first)
            )
    tokens = [f"i{number}" for number in range(n_items)]
    for seed, (modality, dim) in enumerate(_DIMS.items()):
        write_random_features(folder / name, name, modality, tokens, dim, seed)


def _peak_gib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def _peak_gib_on_gpu() -> float:
    return round(torch.cuda.max_memory_allocated() / 2**30, 2)


def _step_seconds(training: Training) -> float:
    """Seconds of a step, the median of some: of CPU time, or on a GPU from start to end."""
    found = []
    for _ in range(_STEPS):
        batch = training.batch()
        started = _now()
        training.step(batch)
        found.append(_now() - started)
    return statistics.median(found)


def _now() -> float:
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


@torch.no_grad()
def _rank(training: Training) -> dict[str, Any]:
    """Rank some test rows among all items, a few at a time."""
    model = training.model.eval()
    rows = training.test_data._dataset[np.arange(_RANKED_ROWS)].to(training.trainer.device)
    started = _now()
    model.score_table()
    encoded = _now() - started
    started = _now()
    for first in range(0, _RANKED_ROWS, _ROWS_AT_ONCE):
        model.full_sort_predict(rows[first : first + _ROWS_AT_ONCE]).topk(10)
    ranked = _now() - started
    return {
        "seconds_to_encode_all_items": round(encoded, 1),
        "milliseconds_to_rank_a_row": round(1000 * ranked / _RANKED_ROWS, 2),
    }
