"""``python -m recbole_mmdistill.bench NAME``: measure, print, write JSON."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import torch

from . import report

# By name, the module of this package and its function; only the one that is asked for is imported.
_BENCHMARKS = {
    "epoch": "epoch.measure",
    "branches": "epoch.measure_branches",
    "data": "data.measure",
    "explain": "explain.measure",
    "import": "importing.measure",
    "gpu": "gpu.measure",
    "million": "million.measure",
    "planted": "planted.measure",
    "recommend": "recommending.measure",
    "step": "step.measure",
    "extraction": "extraction.measure_time",
    "extraction-memory": "extraction.measure_memory",
    "service": "service.measure",
    "serving": "serving.measure",
    "whitening": "whitening.measure",
}
_FILES = {
    "epoch": (),
    "branches": (),
    "data": (),
    "explain": (),
    "import": (),
    "extraction": ("data", "weights", "encoder"),
    "extraction-memory": ("encoder",),
    "gpu": (),
    "million": (),
    "planted": (),
    "recommend": (),
    "step": (),
    "service": ("items", "cases", "requests"),
    "serving": ("items",),
    "whitening": (),
}


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m recbole_mmdistill.bench", description=__doc__)
    parser.add_argument("benchmark", choices=_BENCHMARKS, help="what to measure")
    parser.add_argument(
        "--rounds", "--draws", type=int, default=3, help="measurements of each side; planted: shops"
    )
    parser.add_argument("--threads", type=int, default=1, help="torch's threads")
    parser.add_argument("--users", type=int, help="recommend: how many (1000000)")
    parser.add_argument("--output", type=Path, help="default: results/<benchmark>.json")
    parser.add_argument("--data", type=Path, help="extraction, gpu: the folder movielens-small")
    parser.add_argument("--weights", type=Path, help="extraction: of vit_tiny_patch16_224")
    parser.add_argument("--encoder", type=Path, help="extraction: the folder of a BERT")
    parser.add_argument(
        "--checkpoint", type=Path, help="explain: a model's; by default some are trained"
    )
    parser.add_argument(
        "--items",
        default="1000000",
        help="million, service, serving: how many; serving: 10000,100000",
    )
    parser.add_argument("--cases", type=int, default=10_000, help="service: of its description")
    parser.add_argument("--requests", type=int, default=100_000, help="service: for its memory")
    given = parser.parse_args()
    files = [getattr(given, name) for name in _FILES[given.benchmark]]
    if None in files:
        parser.error(f"{given.benchmark} needs --{' and --'.join(_FILES[given.benchmark])}")
    if given.benchmark == "explain" and given.checkpoint is not None:
        if given.output is None:
            parser.error("explain of a --checkpoint needs --output")
        files = [given.checkpoint]
    if given.benchmark == "recommend" and given.users is not None:
        files = [given.users]
    if given.benchmark == "gpu" and given.data is not None:
        files = [given.data]
    if given.benchmark == "million":
        files = [int(given.items)]
    if given.rounds < 1 or given.threads < 1:
        parser.error("--rounds and --threads must be 1 or more")
    torch.set_num_threads(given.threads)
    module, function = _BENCHMARKS[given.benchmark].split(".")
    measure = getattr(importlib.import_module(f"{__package__}.{module}"), function)
    results = measure(given.rounds, *files)
    report.write(given.output or Path("results") / f"{given.benchmark}.json", results)


if __name__ == "__main__":
    main()
