"""The last net: whatever goes wrong becomes a sentence of what it is, and one of what to do."""

from __future__ import annotations

import errno
import logging
import select
import sys
import threading
from collections.abc import Iterator, Sequence

from .errors import UserError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# What torch says of a checkpoint that was cut off, and others of a full disk.
_NO_SPACE_WORDS = ("no space left", "unexpected pos", "failed writing file", "file write failed")
_NO_RIGHT = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "cannot allocate memory",
)
_EXTRAS = {"matplotlib": '"recbole-mmdistill[benchmark]"'}
# Packages that are installed by another name than they are imported by.
_PACKAGES = {
    "PIL": "pillow",
    "community": "python-louvain",
    "faiss": "faiss-cpu",
    "markupsafe": "jinja2",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
_LONGEST = 300  # characters of a message that is passed on


def explain(error: BaseException) -> UserError:
    """Say of any error what is wrong, and what to do about it.

    Parameters
    ----------
    error : BaseException
        As it was raised.

    Returns
    -------
    UserError
        The error itself if it is one already.
    """
    if isinstance(error, UserError):
        return error
    full = [cause for cause in _causes(error) if _is_out_of_space(cause)]
    if full:
        return UserError(
            f"There is no space left to write {_path(full[-1])}: {_reason(full[-1])}.",
            "Free some space, or write to another place.",
        )
    if isinstance(error, MemoryError) or _says(error, _NO_MEMORY):
        said = _line(error)
        return UserError(
            f"Memory does not suffice{f' ({said})' if said else ''}.",
            "Take smaller batches (--train_batch_size, --eval_batch_size) or a smaller model.",
        )
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package != __package__:
            install = _EXTRAS.get(package) or _PACKAGES.get(package, package)
            return UserError(
                f"This needs the package {package}, which is not installed.",
                f"Say `pip install {install}`.",
            )
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno in _NO_RIGHT:
            return UserError(
                f"There is no right to use {_path(error)}: {_reason(error)}.",
                "Change its permissions, or name another place.",
            )
        return UserError(
            f"The system refuses {_path(error)}: {_reason(error)}.",
            "Check the place; --debug shows where in the code it was asked for.",
        )
    said = _line(error)
    return UserError(
        f"Unexpected {type(error).__name__}{f': {said}' if said else ''}.",
        "Run again with --debug to see where, and report it.",
    )


def is_nobody_reading(error: BaseException) -> bool:
    """Whether an error is that of a pipe whose reader has gone, such as ``| head``."""
    if not isinstance(error, BrokenPipeError):
        return False
    poll = select.poll()
    for stream in (1, 2):
        poll.register(stream, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def print_no_traceback() -> None:
    """Keep what libraries and threads complain of away from the terminal.

    Warnings go to the log file once there is one; a thread's error is a line; a log file that
    cannot be written is left alone, the run is what counts.
    """
    logging.captureWarnings(True)
    logging.raiseExceptions = False
    threading.excepthook = _in_a_line
    if sys.stdout is None or sys.stderr is None:  # closed by who started this
        sys.stdout, sys.stderr = (
            stream or open("/dev/null", "w") for stream in (sys.stdout, sys.stderr)
        )


def _in_a_line(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_value is not None and not isinstance(failure.exc_value, KeyboardInterrupt):
        print(f"warning: {explain(failure.exc_value)}", file=sys.stderr)


def _is_out_of_space(error: BaseException) -> bool:
    by_number = isinstance(error, OSError) and error.errno in _NO_SPACE
    return by_number or _says(error, _NO_SPACE_WORDS)


def _says(error: BaseException, phrases: Sequence[str]) -> bool:
    said = str(error).lower()
    return any(phrase in said for phrase in phrases)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _path(error: BaseException) -> str:
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    return "the output" if name is None else str(name)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or _line(error)


def _line(error: BaseException) -> str:
    words = " ".join(str(error).split()).rstrip(".")
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 3]}..."
