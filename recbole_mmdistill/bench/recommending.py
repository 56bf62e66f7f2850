"""Recommending to a million people out of 100,000 items: seconds, and memory that stays bounded.

The model is untrained and small (two branches of 16): neither time nor memory hangs on its weights,
and memory not on its width. ``recbole-mm recommend`` reads a file of histories and writes Parquet.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .command import run_command
from .report import compare, spread
from .synthetic import write_random_features

_ITEMS, _PER_USER, _WIDTH = 100_000, 10, 16
_LIMIT_MIB = 2048.0


def measure(rounds: int, n_users: int = 1_000_000) -> list[dict[str, Any]]:
    """Measure the command with many people, and with a hundredth of them.

    Parameters
    ----------
    rounds : int
        Processes of each size.
    n_users : int
        People.

    Returns
    -------
    list of dict
        As :func:`recbole_mmdistill.bench.report.compare`: peak memory against 2 GiB, with
        ``seconds``, and ``fewer``: the same of a hundredth of the people.
    """
    taken: dict[int, list[dict[str, float]]] = {n_users // 100: [], n_users: []}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = _untrained(Path(folder))
        for size in taken:
            _write_people(Path(folder) / f"{size}.csv", size)
        for _ in range(rounds):
            for size, results in taken.items():
                words = [f"--histories={size}.csv", "--output=found.parquet"]
                results.append(run_command(["recommend", str(checkpoint), *words], folder, 1))
    fewer, many = taken.values()
    return [
        {
            **compare(
                f"{n_users:,} users x {_ITEMS:,} items on one core: peak memory, MiB of 2 GiB",
                [result["memory"] for result in many],
                [_LIMIT_MIB] * rounds,
                1.0,
            ),
            "seconds": spread([result["seconds"] for result in many]),
            "cpu_seconds": spread([result["cpu_seconds"] for result in many]),
            "fewer": {key: spread([result[key] for result in fewer]) for key in fewer[0]},
        }
    ]


def _untrained(folder: Path) -> Path:
    """Save a model that nobody trained; its checkpoint."""
    from ..integration.config import make_config
    from ..pipeline import prepare

    place = folder / "shop"
    place.mkdir()
    tokens = [f"i{number}" for number in range(_ITEMS)]
    lines = [f"u{number // 20}\t{token}\t{number}" for number, token in enumerate(tokens)]
    head = "user_id:token\titem_id:token\ttimestamp:float"
    (place / "shop.inter").write_text("\n".join([head, *lines]) + "\n")
    write_random_features(place, "shop", "text", tokens, 32)
    settings = {
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
        "modalities": ["text"],
        "hidden_size": _WIDTH,
        "MAX_ITEM_LIST_LENGTH": _PER_USER,
        "use_gpu": False,
    }
    run = prepare(make_config("IDMMDistill", "shop", settings))
    run.trainer._save_checkpoint(0, verbose=False)
    return Path(run.trainer.saved_model_file)


def _write_people(path: Path, n_users: int) -> None:
    """Write histories of people whom the model never saw."""
    rng = np.random.default_rng(0)
    with open(path, "w", encoding="utf-8") as file:
        file.write("user_id,item_id\n")
        for first in range(0, n_users, 10_000):
            items = rng.integers(0, _ITEMS, (min(10_000, n_users - first), _PER_USER))
            file.writelines(
                f"p{first + row},i{item}\n" for row, chosen in enumerate(items) for item in chosen
            )
