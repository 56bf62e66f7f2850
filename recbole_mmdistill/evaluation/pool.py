"""Runs the trials that are not yet on disk, several at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import product
from threading import Lock

from tqdm import tqdm

from ..files import write_text
from ..signals import PARENT
from .plan import Plan, Trial
from .results import Results
from .store import Store

# Memory that a training step frees is kept for the next one: without this, glibc gives it back to
# the system and a quarter of RecBole's time goes into fetching it again. For all models alike.
_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**26),
}
_TAIL = 2000  # characters of a failed trial's last words


def run_plan(plan: Plan, results: Results, jobs: int, threads: int, renew: bool) -> list[Trial]:
    """Run what is missing: first the trials that choose between option sets, then all others.

    Killed, and started again, it does only what is missing.

    Parameters
    ----------
    plan : Plan
        What to run of the benchmark.
    results : Results
        All of the benchmark; what is finished there is not run, and what is run comes to it.
    jobs : int
        Trials at a time.
    threads : int
        Threads of each.
    renew : bool
        Whether trials that an older behaviour made are missing, too.

    Returns
    -------
    list of Trial
        Those that failed; what each said last is in ``<key>.failed.txt`` among the trials.
    """
    pairs = {pair for study in plan.studies for pair in product(study.datasets, study.models)}
    tuning = [t for t in results.plan.tuning() if (t.dataset, t.model) in pairs]
    failed = []
    for what, trials in (
        ("tuning", lambda: tuning),
        ("trials", lambda: plan.measuring(results.chosen)),
    ):
        by_key = {trial.key: trial for trial in trials()}  # studies share trials
        missing = [trial for trial in by_key.values() if results.lacks(trial, renew)]
        failed += _run(missing, len(by_key), results.store, jobs, threads, what)
        results.collect()
    return failed


def _run(
    missing: Sequence[Trial], n_trials: int, store: Store, jobs: int, threads: int, what: str
) -> list[Trial]:
    if not missing:
        return []
    failed = []
    children = _Children()
    bar = tqdm(total=n_trials, initial=n_trials - len(missing), desc=what, unit="trial")
    with bar, ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(_run_one, t, store, threads, children): t for t in missing}
        try:
            for future in _as_done(futures):
                trial = futures[future]
                if not future.result():
                    failed.append(trial)
                    tqdm.write(f"failed: {trial} ({trial.key}.failed.txt)")
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


def _run_one(trial: Trial, store: Store, threads: int, children: _Children) -> bool:
    words = [sys.executable, "-m", f"{__package__}.trial", str(store.folder), trial.key]
    of_this_run = {"OMP_NUM_THREADS": str(threads), PARENT: str(os.getpid())}
    environment = {**os.environ, **_ENVIRONMENT, **of_this_run}
    status, said = children.run(words, json.dumps(trial.spec), environment)
    if children.closed:
        return False
    complaint = store.folder / f"{trial.key}.failed.txt"
    if status == 0:
        complaint.unlink(missing_ok=True)
        return True
    write_text(complaint, f"{trial}\nexit status {status}\n{said[-_TAIL:]}")
    return False
