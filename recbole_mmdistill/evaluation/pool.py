"""Runs the trials that are not yet on disk, several at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Lock
from typing import Any

from tqdm import tqdm

from ..errors import UserError
from ..files import write_text
from ..signals import PARENT
from .plan import Plan, Trial

# Memory that a training step frees is kept for the next one: without this, glibc gives it back to
# the system and a quarter of RecBole's time goes into fetching it again. For all models alike.
_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**26),
}
_TAIL = 2000  # characters of a failed trial's last words


class Cache:
    """Finished trials: one JSON each, named by the hash of what decides its result.

    Parameters
    ----------
    folder : str or Path
        Where they lie.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, trial: Trial) -> Path:
        """Where a trial's record is, or will be."""
        return self.folder / f"{trial.key}.json"

    def get(self, trial: Trial) -> dict[str, Any] | None:
        """Read a trial's record; None if there is none.

        Raises
        ------
        UserError
            The file is damaged.
        """
        path = self.path(trial)
        if not path.is_file():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            record["ranks"], record["valid"], record["epochs"]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path} is no record of a trial.", "Delete it.") from None
        return record


def choose_options(plan: Plan, cache: Cache) -> dict[tuple[str, str], int]:
    """Choose each model's option set for each dataset by validation NDCG@10.

    Parameters
    ----------
    plan : Plan
        The benchmark.
    cache : Cache
        Where its tuning trials are; those that failed or are missing do not take part.

    Returns
    -------
    dict of (dataset, model) to int
        The first of the best; absent where no tuning trial has a record.
    """
    best: dict[tuple[str, str], tuple[float, int]] = {}
    for trial in plan.tuning():
        record = cache.get(trial)
        if record is not None:
            pair = (trial.dataset, trial.model)
            found = (record["valid"]["ndcg@10"], -trial.options)
            best[pair] = max(best.get(pair, found), found)
    return {pair: -options for pair, (_, options) in best.items()}


def run_plan(plan: Plan, cache: Cache, jobs: int, threads: int) -> list[Trial]:
    """Run what is missing: first the trials that choose between option sets, then all others.

    Killed, and started again, it does only what is missing.

    Parameters
    ----------
    plan : Plan
        The benchmark.
    cache : Cache
        Where records are looked for and written.
    jobs : int
        Trials at a time.
    threads : int
        Threads of each.

    Returns
    -------
    list of Trial
        Those that failed; what each said last is in ``<key>.failed.txt`` in the cache's folder.
    """
    failed = _run(plan.tuning(), cache, jobs, threads, "tuning")
    chosen = choose_options(plan, cache)
    return failed + _run(plan.measuring(chosen), cache, jobs, threads, "trials")


def _run(trials: Iterable[Trial], cache: Cache, jobs: int, threads: int, what: str) -> list[Trial]:
    by_key = {trial.key: trial for trial in trials}  # studies share trials
    missing = [trial for trial in by_key.values() if cache.get(trial) is None]
    if not missing:
        return []
    failed = []
    children = _Children()
    bar = tqdm(total=len(by_key), initial=len(by_key) - len(missing), desc=what, unit="trial")
    with bar, ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(_run_one, t, cache, threads, children): t for t in missing}
        try:
            for future in _as_done(futures):
                trial = futures[future]
                if not future.result():
                    failed.append(trial)
                    tqdm.write(f"failed: {trial} ({cache.path(trial).stem}.failed.txt)")
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.end()
            raise
    return failed


def _as_done(futures: Iterable[Future[bool]]) -> Iterator[Future[bool]]:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
        yield from done


class _Children:
    """The running processes, so that they end when this one is told to."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self.closed = False

    def run(self, words: list[str], text: str, environment: dict[str, str]) -> tuple[int, str]:
        with self._lock:
            if self.closed:
                return -1, "not started"
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
            self._running.add(process)
        try:
            _, said = process.communicate(text)
        finally:
            with self._lock:
                self._running.discard(process)
        return process.returncode, said

    def end(self) -> None:
        """Let no other start, and ask those that run to leave nothing behind."""
        with self._lock:
            self.closed = True
            for process in self._running:
                process.terminate()


def _run_one(trial: Trial, cache: Cache, threads: int, children: _Children) -> bool:
    path = cache.path(trial)
    words = [sys.executable, "-m", f"{__package__}.trial", str(path)]
    of_this_run = {"OMP_NUM_THREADS": str(threads), PARENT: str(os.getpid())}
    environment = {**os.environ, **_ENVIRONMENT, **of_this_run}
    status, said = children.run(words, json.dumps(trial.spec), environment)
    if children.closed:
        return False
    complaint = path.with_suffix(".failed.txt")
    if status == 0 and path.is_file():
        complaint.unlink(missing_ok=True)
        return True
    write_text(complaint, f"{trial}\nexit status {status}\n{said[-_TAIL:]}")
    return False
