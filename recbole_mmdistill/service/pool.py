"""Threads that compute, so that the event loop does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

MAX_WAITING = 512  # requests


class Busy(Exception):
    """Too many requests wait already."""


class Pool:
    """Runs functions in threads; those that find no free thread wait, up to a number.

    Parameters
    ----------
    threads : int
        How many run at the same time.
    max_waiting : int
        How many more may wait.
    """

    def __init__(self, threads: int, max_waiting: int = MAX_WAITING) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="answer")
        self._most = threads + max_waiting
        self._n = 0

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function and wait for its result.

        Raises
        ------
        Busy
            There are too many already.
        """
        if self._n >= self._most:
            raise Busy
        loop = asyncio.get_running_loop()
        future = self._executor.submit(function)
        self._n += 1
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))
        return await asyncio.wrap_future(future)

    def _leave(self) -> None:
        self._n -= 1

    def close(self) -> None:
        """Wait for what runs."""
        self._executor.shutdown()
