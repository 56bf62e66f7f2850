"""Work in several processes of which none outlives the others."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from . import signals
from .errors import UserError
from .failures import print_no_traceback

_TO_SETTLE = 0.5  # seconds in which the cause of a failure shows beside what it causes
_TO_END = signals.GRACE + 1.0


def run_in_processes(function: Callable[..., Any], n: int, *args: Any) -> list[Any]:
    """Call a function in new processes at the same time.

    If one of them fails, or this process is ended, all others are ended, too.

    Parameters
    ----------
    function : callable
        Of a module: ``function(rank, *args)`` with the ranks 0, ..., n - 1.
    n : int
        Processes.
    *args
        What pickle can copy.

    Returns
    -------
    list
        What the processes returned, by rank.

    Raises
    ------
    UserError
        A process was ended by a signal.
    Exception
        What a process raised, with its traceback as the cause.
    """
    context = multiprocessing.get_context("spawn")
    processes, connections = [], []
    resource_tracker.ensure_running()  # its start would let signals in
    try:
        with signals.held_back():  # until the children know what to do with them
            for rank in range(n):
                mine, theirs = context.Pipe(duplex=False)
                process = context.Process(
                    target=_work, args=(theirs, os.getpid(), function, rank, *args), daemon=False
                )
                process.start()
                theirs.close()
                processes.append(process)
                connections.append(mine)
        results = _gather(processes, connections)
        for process in processes:
            process.join()
        return results
    finally:
        _end(processes)


def launched_group() -> dict[str, Any] | None:
    """Give the settings of the group that ``torchrun`` started this process in.

    Returns
    -------
    dict of str to object or None
        As :func:`.integration.distributed.group_to_start`, with this process's ``local_rank``; None
        if nothing launched it.

    Raises
    ------
    UserError
        The environment tells a part of it.
    """
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return None
    lacking = [name for name in names if name not in os.environ]
    if lacking:
        raise UserError(
            f"RANK and WORLD_SIZE are set as by torchrun, but {', '.join(lacking)} not.",
            "Start with torchrun, or unset RANK and WORLD_SIZE.",
        )
    rank, local_rank, world_size, nproc = (int(os.environ[name]) for name in names[:4])
    return {
        "world_size": world_size,
        "ip": os.environ["MASTER_ADDR"],
        "port": os.environ["MASTER_PORT"],
        "nproc": nproc,
        "offset": rank - local_rank,
        "local_rank": local_rank,
    }


def _work(connection: Connection, parent: int, function: Callable[..., Any], *args: Any) -> None:
    try:
        signals.install(parent)
        print_no_traceback()
        # Peers that are gone make torch's C++ side print on its own.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        failure = None
        try:
            result = function(*args)
        except Exception as error:
            result, failure = None, _as_sent(error)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        with suppress(OSError):
            connection.send((result, failure))
        if failure is not None:
            os._exit(1)  # at once: the threads of a process group that lost a peer may never end
        signals.finish(0)
    except KeyboardInterrupt:
        signals.finish(signals.exit_code())


class _RemoteTraceback(Exception):
    """Where in another process an error was raised, as text; the cause of the error here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _as_sent(error: BaseException) -> tuple[BaseException, _RemoteTraceback]:
    where = _RemoteTraceback("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever an exception's own pickling raises
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return error, where


def _gather(processes: list[Any], connections: list[Connection]) -> list[Any]:
    results: list[Any] = [None] * len(processes)
    failures: list[BaseException] = []
    waiting: list[Any] = list(connections)
    deadline = None
    while waiting:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = wait(waiting, left)
        if not ready:
            break
        for rank, connection in enumerate(connections):
            if connection not in ready:
                continue
            waiting.remove(connection)
            try:
                results[rank], failure = connection.recv()
            except EOFError:
                failure = (_death_of(processes[rank], rank, len(processes)), None)
            if failure is not None:
                error, error.__cause__ = failure
                failures.append(error)
                deadline = deadline or time.monotonic() + _TO_SETTLE
    if failures:
        # The others fail because this one is gone.
        raise next((each for each in failures if isinstance(each, UserError)), failures[0])
    return results


def _death_of(process: Any, rank: int, n: int) -> UserError:
    process.join(_TO_END)
    code = process.exitcode
    # Negative: the kernel ended it; above 128: it took the signal itself.
    number = -code if code is not None and code < 0 else (code or 0) - 128
    if number > 0:
        how = f"was ended by {signal.Signals(number).name}"
    else:
        how = f"ended with exit code {code} and without a result"
    return UserError(
        f"Process {rank + 1} of {n} {how}.",
        "If memory was short, take fewer processes (--nproc) or smaller batches.",
    )


def _end(processes: list[Any]) -> None:
    for process in processes:
        if process.is_alive():
            process.terminate()
    deadline = time.monotonic() + _TO_END
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
