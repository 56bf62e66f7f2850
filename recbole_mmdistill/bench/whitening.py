"""Time and memory of fitting the principal components of 20,000 items' vectors of 4,096 numbers."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .report import compare
from .synthetic import write_random_features

_ITEMS, _DIM, _COMPONENTS = 20_000, 4_096, 128
_MB_ABOVE_FEATURES = 200.0


def measure(rounds: int) -> list[dict[str, Any]]:
    """Measure in processes of their own.

    Parameters
    ----------
    rounds : int
        Processes.

    Returns
    -------
    list of dict
        As :func:`recbole_mmdistill.bench.report.compare`; the reference is the limit: 200 MB above
        the features, and a minute.
    """
    with tempfile.TemporaryDirectory() as folder:
        tokens = [f"i{item}" for item in range(_ITEMS)]
        write_random_features(Path(folder), "wide", "text", tokens, _DIM)
        command = [sys.executable, "-m", __name__, str(Path(folder) / "wide.text.safetensors")]
        taken = []
        for _ in tqdm(range(rounds), desc="rounds"):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            taken.append(json.loads(done.stdout.splitlines()[-1]))
    what = f"whitening {_ITEMS:,} x {_DIM:,} to {_COMPONENTS} components"
    memory = [result["memory"] for result in taken]
    seconds = [result["seconds"] for result in taken]
    return [
        compare(f"{what}, peak MB above the features", memory, [_MB_ABOVE_FEATURES] * rounds, 1),
        compare(f"{what}, seconds", seconds, [60.0] * rounds, 1),
    ]


def _run(path: str) -> dict[str, float]:
    """Open and fit in this process; MB of its peak above what it had before and the features."""
    import torch

    from ..features import FeatureInfo, align_features, from_array, open_features
    from ..model.feature_lookup import SourceEmbedding

    # Libraries take memory of their own at the first matrix product.
    few = from_array(torch.randn(9, 1, 20), list("abcdefghi"), FeatureInfo("text"))
    SourceEmbedding(align_features(few, ["[PAD]", *"abcdefghi"]), 64, 4)
    before = _kib("VmRSS")
    source = open_features(path)
    features = align_features(source, ["[PAD]", *source.item_tokens])
    started = time.perf_counter()
    SourceEmbedding(features, 64, _COMPONENTS)
    seconds = time.perf_counter() - started
    memory = (_kib("VmHWM") - before) * 1024 / 1e6 - features.values.nbytes / 1e6
    return {"memory": memory, "seconds": seconds}


def _kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


if __name__ == "__main__":
    print(json.dumps(_run(*sys.argv[1:])))
