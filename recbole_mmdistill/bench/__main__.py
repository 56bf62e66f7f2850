"""``python -m recbole_mmdistill.bench NAME``: measure, print, write JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from . import data, epoch, extraction, importing, report, serving, whitening

_BENCHMARKS: dict[str, Any] = {
    "epoch": epoch.measure,
    "branches": epoch.measure_branches,
    "data": data.measure,
    "import": importing.measure,
    "extraction": extraction.measure_time,
    "extraction-memory": extraction.measure_memory,
    "serving": serving.measure,
    "whitening": whitening.measure,
}
_FILES = {
    "epoch": (),
    "branches": (),
    "data": (),
    "import": (),
    "extraction": ("data", "weights", "encoder"),
    "extraction-memory": ("encoder",),
    "serving": ("items",),
    "whitening": (),
}


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m recbole_mmdistill.bench", description=__doc__)
    parser.add_argument("benchmark", choices=_BENCHMARKS, help="what to measure")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each side")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads")
    parser.add_argument("--output", type=Path, help="default: results/<benchmark>.json")
    parser.add_argument("--data", type=Path, help="extraction: the folder movielens-small")
    parser.add_argument("--weights", type=Path, help="extraction: of vit_tiny_patch16_224")
    parser.add_argument("--encoder", type=Path, help="extraction: the folder of a BERT")
    parser.add_argument("--items", help="serving: e.g. 10000,100000,1000000")
    given = parser.parse_args()
    files = [getattr(given, name) for name in _FILES[given.benchmark]]
    if None in files:
        parser.error(f"{given.benchmark} needs --{' and --'.join(_FILES[given.benchmark])}")
    if given.rounds < 1 or given.threads < 1:
        parser.error("--rounds and --threads must be 1 or more")
    torch.set_num_threads(given.threads)
    words = sys.argv[1:]
    sys.argv = sys.argv[:1]  # RecBole's Config would read the words once more
    results = _BENCHMARKS[given.benchmark](given.rounds, *files)
    sys.argv += words
    report.write(given.output or Path("results") / f"{given.benchmark}.json", results)


if __name__ == "__main__":
    main()
