"""How Ctrl-C and SIGTERM end a command: at any moment, in a word, with nothing left behind.

The first signal raises ``KeyboardInterrupt`` in the main thread, so that the work ends as Python
ends work: ``finally`` blocks run and children are ended. That alone would not do. An exception
inside of an import may abort the process or be swallowed, as it may in a destructor, and long
calls of C code do not see it at all. So an import is ended at once, a thread ends the process if
the work has not ended in :data:`GRACE` seconds, and a second signal ends it at once.

This module imports nothing slow: it is the first thing that a command does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

GRACE = 3.0  # seconds
PARENT = "RECBOLE_MM_PARENT"  # environment variable: the process whose part a command is

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_received: int | None = None
_is_child = False
_is_done = False  # the work has ended, Python is about to
_end = threading.Lock()
_cleanups: list[Callable[[], None]] = []


def install(parent: int | None = None) -> None:
    """Handle the signals that end a process, from now on; for the main thread of a program.

    Processes that this one forks leave Ctrl-C to it and are killed when it dies.

    Parameters
    ----------
    parent : int, optional
        The process that started this one as a part of its own work. Ctrl-C is then left to it, it
        says what there is to say, and its death is a SIGTERM to this process.
    """
    global _is_child
    _is_child = parent is not None
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read_end,), daemon=True).start()
    for number in _ENDING:
        if number == signal.SIGINT and _is_child:
            signal.signal(number, signal.SIG_IGN)
        elif signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and `&` of a shell ask
            signal.signal(number, _handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    sys.unraisablehook = _say_nothing
    os.register_at_fork(before=_remember_self, after_in_child=_leave_to_parent)
    if parent is not None:
        _die_with(parent, signal.SIGTERM)


def exit_code() -> int:
    """Give the exit code after a signal: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (_received or signal.SIGINT)


def message() -> str:
    """Give the word for the signal that came."""
    return "interrupted" if exit_code() == 128 + signal.SIGINT else "terminated"


def before_sudden_end(cleanup: Callable[[], None]) -> None:
    """Have a function called where a signal ends the process without unwinding.

    Parameters
    ----------
    cleanup : callable
        Quick, and safe to call from any thread.
    """
    _cleanups.append(cleanup)


def finish(code: int) -> NoReturn:
    """End the program with an exit code; after a signal at once, whatever threads there are.

    Parameters
    ----------
    code : int
        0 for success.
    """
    global _is_done
    _is_done = True
    for number, stream in enumerate((sys.stdout, sys.stderr), start=1):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):  # nobody reads it, or it is closed: Python would say so again
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    if _received is not None:
        _end_now(_received, say=False)
    sys.exit(code)


@contextmanager
def held_back() -> Iterator[None]:
    """Let the signals wait while the block runs; processes started in it are born with them so.

    A child can take them once :func:`install` has run in it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _handle(number: int, frame: FrameType | None) -> None:
    global _received
    if _received is not None or _is_done or _is_importing(frame):
        _end_now(number)
    _received = number
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _watch(read_end: int) -> None:
    """Wait for the first signal; end the process at the second, or when the time is up."""
    first = _next_signal(read_end)
    timer = threading.Timer(GRACE, _end_now, args=(first,))
    timer.daemon = True
    timer.start()
    _end_now(_next_signal(read_end))


def _next_signal(read_end: int) -> int:
    while True:
        number = os.read(read_end, 1)[0]
        if number in _ENDING:
            return number


def _end_now(number: int, say: bool = True) -> None:
    if not _end.acquire(blocking=False):
        return  # another thread is at it
    for cleanup in _cleanups:
        with suppress(Exception):
            cleanup()
    global _received
    _received = _received or number
    if say and not _is_child:
        # A progress bar may stand on the line; sys.stderr may be locked by what was interrupted.
        line = "\n" * os.isatty(2) + message() + "\n"
        with suppress(OSError):
            os.write(2, line.encode())
    os._exit(exit_code())


def _say_nothing(unraisable: sys.UnraisableHookArgs) -> None:
    """Print no traceback of what a destructor raises, and do not lose an interruption there."""
    if _received is not None and issubclass(unraisable.exc_type, KeyboardInterrupt):
        _end_now(_received)


_forking = 0


def _remember_self() -> None:
    global _forking
    _forking = os.getpid()


def _leave_to_parent() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _die_with(_forking, signal.SIGKILL)


def _die_with(parent: int, number: int) -> None:
    """Have the kernel send this process a signal when its parent dies, however that dies.

    Where there is no Linux, a thread looks each second whether the parent is still there.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    else:
        threading.Thread(target=_look_for, args=(parent, number), daemon=True).start()
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def _look_for(parent: int, number: int) -> None:
    while os.getppid() == parent:
        threading.Event().wait(1)
    os.kill(os.getpid(), number)
