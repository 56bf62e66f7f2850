"""The command in a process of its own: its seconds, and its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .data import peak_mib


def run_command(words: Sequence[str], folder: str | Path, n_cores: int) -> dict[str, float]:
    """Run ``recbole-mm``.

    Parameters
    ----------
    words : sequence of str
        Of the command line.
    folder : str or Path
        To run in.
    n_cores : int
        That it may use.

    Returns
    -------
    dict of str to float
        ``seconds``, ``cpu_seconds`` (of all its threads) and ``memory`` (the peak in MiB, of the
        process and those that it started together).
    """
    command = [sys.executable, "-m", __name__, str(n_cores), *words]
    one_each = {**os.environ, "OMP_NUM_THREADS": str(n_cores)}  # more would wait for one another
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=folder, env=one_each
    ) as process:
        together = 0.0
        while process.poll() is None:
            together = max(together, _resident_mib(process.pid))
            time.sleep(0.05)
        assert process.stdout is not None
        result = json.loads(process.stdout.read().splitlines()[-1])
    return {**result, "memory": max(result["memory"], together)}


def _resident_mib(pid: int) -> float:
    """Add up the memory of a process and of those that it has started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):  # it has ended
        return 0.0
    own = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return own + sum(_resident_mib(int(child)) for child in children)


def _run(n_cores: int, words: list[str]) -> dict[str, float]:
    """Run the command in this process."""
    from recbole_mmdistill.cli import main

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_cores])
    started, before = time.perf_counter(), time.process_time()
    if main(words):
        raise SystemExit("the command failed")
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - before,
        "memory": peak_mib(),
    }


if __name__ == "__main__":
    print(json.dumps(_run(int(sys.argv[1]), sys.argv[2:])))
