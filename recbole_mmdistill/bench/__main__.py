"""``python -m recbole_mmdistill.bench epoch|data``: measure, print, write JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from . import data, epoch, report

_BENCHMARKS = {"epoch": epoch.measure, "data": data.measure}


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m recbole_mmdistill.bench", description=__doc__)
    parser.add_argument("benchmark", choices=_BENCHMARKS, help="what to measure")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each side")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads")
    parser.add_argument("--output", type=Path, help="default: results/<benchmark>.json")
    given = parser.parse_args()
    if given.rounds < 1 or given.threads < 1:
        parser.error("--rounds and --threads must be 1 or more")
    torch.set_num_threads(given.threads)
    words = sys.argv[1:]
    sys.argv = sys.argv[:1]  # RecBole's Config would read the words once more
    results = _BENCHMARKS[given.benchmark](given.rounds)
    sys.argv += words
    report.write(given.output or Path("results") / f"{given.benchmark}.json", results)


if __name__ == "__main__":
    main()
