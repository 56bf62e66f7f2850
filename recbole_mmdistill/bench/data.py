"""A million interactions from atomic files to dataloaders, against RecBole's SequentialDataset."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .report import compare
from .synthetic import write_interactions

_USERS, _ITEMS, _PER_USER = 20_000, 10_000, 50


def measure(rounds: int) -> list[dict[str, Any]]:
    """Measure time and peak memory, each side in processes of its own, in turn.

    Parameters
    ----------
    rounds : int
        Processes of each side.

    Returns
    -------
    list of dict
        As :func:`recbole_mmdistill.bench.report.compare`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        write_interactions(path, "million", _USERS, _ITEMS, _PER_USER)
        taken: dict[str, list[dict[str, float]]] = {"IDMMDistill": [], "SASRec": []}
        for _ in tqdm(range(rounds), desc="rounds"):
            for model, results in taken.items():
                results.append(_in_process_of_its_own(model, path))
    wanted = {
        ("atomic files to dataloaders, seconds", "whole"): 1 / 8,
        ("splitting and windowing alone, seconds", "split"): 1 / 20,
        ("peak memory above bare imports, MiB", "memory"): 1 / 10,
    }
    return [
        compare(
            f"1,000,000 interactions, {name}",
            [result[key] for result in taken["IDMMDistill"]],
            [result[key] for result in taken["SASRec"]],
            target,
        )
        for (name, key), target in wanted.items()
    ]


def _in_process_of_its_own(model: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", __name__, model, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=path)
    return json.loads(done.stdout.splitlines()[-1])


def peak_mib() -> float:
    """Give the most memory that this process has held, in MiB."""
    # Not getrusage: a process starts there with the peak of the one that forked it.
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def _run(model: str, path: str) -> dict[str, float]:
    """Build the dataloaders once in this process."""
    import logging
    import time

    from recbole.utils import get_model

    from ..integration.config import make_config
    from ..pipeline import load_data

    logging.disable(logging.WARNING)
    get_model(model)  # imported before the clock starts
    # No features: the job is the same on both sides.
    settings = {"data_path": path, "use_gpu": False, "modalities": []}
    read = 0.0

    def dataset_is_read(line: str) -> None:
        nonlocal read
        read = time.perf_counter()

    before = peak_mib()
    started = time.perf_counter()
    load_data(make_config(model, "million", settings), say=dataset_is_read)
    ended = time.perf_counter()
    return {"whole": ended - started, "split": ended - read, "memory": peak_mib() - before}


if __name__ == "__main__":
    print(json.dumps(_run(*sys.argv[1:])))
