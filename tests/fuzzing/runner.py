"""Count how readers end at inputs, and find the smallest one that goes wrong."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tqdm import tqdm

from recbole_mmdistill.errors import UserError

SECONDS = 20  # that one input may take
_SHRINKING = 300  # tries


@dataclass(frozen=True)
class Target:
    """A reader: ``make`` gives an input, and ``read`` is handed it, in an empty folder."""

    name: str
    make: Callable[[Random], Any]
    read: Callable[[Any], object]


@dataclass
class Failure:
    """A way in which a reader fails, with the smallest input that does so."""

    target: Target
    where: str
    input: Any
    count: int = 1

    def __str__(self) -> str:
        shown = repr(self.input)
        shown = shown if len(shown) <= 600 else f"{shown[:600]}... ({len(shown)} characters)"
        return f"{self.target.name}, {self.count} times: {self.where}\n    at {shown}"


TARGETS: dict[str, Target] = {}


def target(name: str, make: Callable[[Random], Any]) -> Callable:
    """Register a function that reads what ``make`` gives as a target."""

    def register(read: Callable[[Any], object]) -> Callable[[Any], object]:
        TARGETS[name] = Target(name, make, read)
        return read

    return register


def run(
    targets: list[Target], n_inputs: int, seed: int = 0, show_progress: bool = False
) -> list[Failure]:
    """Hand inputs to targets in turn; the n-th input of a target depends on the seed alone.

    Parameters
    ----------
    targets : list of Target
        What to try.
    n_inputs : int
        Inputs of all of them together.
    seed : int
        Of the random numbers.
    show_progress : bool
        Whether to draw a bar.

    Returns
    -------
    list of Failure
        One for each target and place where it fails.
    """
    failures: dict[tuple[str, str], Failure] = {}
    dice = {each.name: Random(f"{seed} {each.name}") for each in targets}
    bar = tqdm(total=n_inputs, disable=not show_progress, file=sys.stderr, mininterval=1)
    with _quiet(), bar as progress:
        for each in itertools.islice(itertools.cycle(targets), n_inputs):
            made = each.make(dice[each.name])
            where = how_it_ends(each, made)
            if where is not None:
                key = each.name, where
                if key not in failures:
                    failures[key] = Failure(each, where, made, 0)
                failures[key].count += 1
                if _size(made) < _size(failures[key].input):
                    failures[key].input = made
            progress.update()
        for failure in failures.values():
            failure.input = _shrunk(failure)
    return list(failures.values())


def how_it_ends(target: Target, made: Any) -> str | None:
    """Read an input; None if it was read or refused, else what was raised and where."""
    try:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        target.read(made)
    except UserError:
        pass
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of Rust, or sys.exit(), is no Exception
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "recbole_mmdistill" in frame.filename] or [*frames]
        return f"{type(error).__name__} in {Path(own[-1].filename).name}:{own[-1].lineno}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for entry in Path().iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    return None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Work in an empty folder, without warnings, log or output, and with an alarm that raises."""

    def too_long(*_: object) -> None:
        raise TimeoutError(f"not done after {SECONDS} seconds")

    before, handler = os.getcwd(), signal.signal(signal.SIGALRM, too_long)
    logging.disable(logging.CRITICAL)
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)
            logging.disable(logging.NOTSET)
            signal.signal(signal.SIGALRM, handler)


def _size(made: Any) -> int:
    return len(made) if isinstance(made, (bytes, str)) else len(repr(made))


def _shrunk(failure: Failure) -> Any:
    """Take pieces away from an input for as long as it fails in the same way."""
    made, tries = failure.input, 0 if "Timeout" in failure.where else _SHRINKING
    candidates = _smaller(made)
    while tries > 0 and (candidate := next(candidates, None)) is not None:
        tries -= 1
        if how_it_ends(failure.target, candidate) == failure.where:
            made = candidate
            candidates = _smaller(made)
    return made


def _smaller(made: Any) -> Iterator[Any]:
    """Inputs with a piece less, the largest pieces first."""
    if isinstance(made, (bytes, str, list, tuple)):
        step = len(made) // 2 or len(made)
        while step:
            for first in range(0, len(made), step):
                yield made[:first] + made[first + step :]
            step //= 2
    if isinstance(made, dict):
        for key in made:
            yield {other: inner for other, inner in made.items() if other != key}
        for key, inner in made.items():
            yield from ({**made, key: less} for less in _smaller(inner))
    if isinstance(made, list):
        for at, inner in enumerate(made):
            yield from ([*made[:at], less, *made[at + 1 :]] for less in _smaller(inner))
