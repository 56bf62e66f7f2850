"""Kills training at random moments and looks whether the checkpoint it leaves can be used.

``python -m tests.kills [--kills=100] [--model=IDMMDistill]`` in the project's root. The first round
starts a run in a temporary folder; each other one lets the run that was killed go on. A round ends
with SIGKILL at a random time, and with a look whether the checkpoint loads.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import recbole_mmdistill  # noqa: F401  (RecBole is fixed when it is imported)


def train(model: str, path: Path | None) -> None:
    """Train without end; from a checkpoint on if there is one."""
    from tests.integration.test_resuming import run

    run(model, 10**6, path, validate=False)


def kill_one(model: str, path: Path | None, after: float) -> None:
    """Start training, wait for its checkpoint and then some seconds, and kill it."""
    child = os.fork()
    if child == 0:
        try:
            train(model, path)
        finally:
            os._exit(1)
    before = path.stat().st_mtime_ns if path else 0
    while not any(p.stat().st_mtime_ns > before for p in Path("saved").glob("*.pth")):
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            raise SystemExit("the run ended by itself, see above")
        time.sleep(0.01)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def main() -> None:
    """Kill as often as asked; exit code 1 if a checkpoint does not load."""
    from recbole.quick_start import load_data_and_model

    from recbole_mmdistill.integration.loading import load
    from tests.integration.builders import write_dataset

    parser = argparse.ArgumentParser(description="SIGKILLs at random moments of training.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--model", default="IDMMDistill")
    options = parser.parse_args()
    sys.argv = sys.argv[:1]
    dice = random.Random()
    path, epoch, left = None, -1, 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_dataset()
        for _ in range(options.kills):
            kill_one(options.model, path, dice.uniform(0, 0.5))
            (path,) = Path("saved").glob("*.pth")
            held = load(path)
            load_data_and_model(path)
            if held["epoch"] < epoch or len(held["train_loss"]) != held["epoch"] + 1:
                raise SystemExit(f"epoch {held['epoch']} after {epoch}")
            epoch = held["epoch"]
            left = len(list(Path("saved").glob(".*")))
        os.chdir("/")
    print(
        f"{options.kills} kills, {options.kills} checkpoints that load, {epoch + 1} epochs; "
        f"{left} unfinished files beside"
    )


if __name__ == "__main__":
    main()
