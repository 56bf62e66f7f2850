"""Steps whose results are files: killed and started again, a job does what is missing."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import UserError
from ..files import check_room, write_json
from ..version import BEHAVIOUR

_COLUMNS = 100
_NOTED = 5  # seconds from one note of a step's time to the next


class OutOfTime(Exception):
    """A step gave up: it has a result, which holds until there is a larger budget."""

    def __init__(self, result: Any) -> None:
        super().__init__(result)
        self.result = result


class Steps:
    """Does steps once, and keeps account of the time that they took.

    Parameters
    ----------
    folder : Path
        Of a JSON file for each finished step.
    budget : float
        Seconds for all of them.
    say : callable
        Is given a line for each step that is done.

    Attributes
    ----------
    basis : Mapping
        What the results of all later steps depend on, beside their own inputs.
    spent : float
        Seconds so far, those of earlier starts and of steps that were killed included.
    """

    def __init__(self, folder: Path, budget: float, say: Callable[[str], Any]) -> None:
        self._folder, self._say = folder, say
        self.budget = budget
        self.spent = 0.0
        self.basis: Mapping[str, Any] = {}
        self._bar: Any = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=round(budget), ncols=_COLUMNS, bar_format="{desc}|{bar}|{postfix}"
            )

    @property
    def left(self) -> float:
        """Seconds of the budget that are left; the time of earlier starts counts, too."""
        return self.budget - self.spent

    def do(self, name: str, inputs: Mapping[str, Any], work: Callable[[], Any]) -> Any:
        """Do a step, or read what it gave when it was done before from the same inputs.

        Parameters
        ----------
        name : str
            Of its file.
        inputs : Mapping
            All that the result depends on, as JSON has it.
        work : callable
            Gives a result that JSON can hold; or raises :class:`OutOfTime`.

        Returns
        -------
        object
            The result, as JSON gives it back.
        """
        path = self._folder / f"{name}.json"
        fingerprint = _hash({**self.basis, **inputs, "behaviour": BEHAVIOUR})
        done = _read(path)
        gave_up_at = done.get("gave_up_at") or math.inf
        if done.get("fingerprint") != fingerprint or gave_up_at < self.budget:
            done = self._work(name, path, fingerprint, work)
        else:
            self.spent += done.get("lost", 0.0)
        self.spent += done["seconds"]
        self._show(name)
        return done["result"]

    def _work(
        self, name: str, path: Path, fingerprint: str, work: Callable[[], Any]
    ) -> dict[str, Any]:
        """Do a step, and write its record; the time of starts that were killed is spent."""
        check_room(self._folder)
        begun = path.with_suffix(".begun")
        lost = _lost(begun, fingerprint)
        self.spent += lost
        started = time.monotonic()
        with self._ticking(name, lambda: _note(begun, fingerprint, lost, started)):
            try:
                result, gave_up_at = work(), None
            except OutOfTime as error:
                result, gave_up_at = error.result, self.budget
        seconds = round(time.monotonic() - started, 2)
        record = {"fingerprint": fingerprint, "seconds": seconds, "lost": lost, "result": result}
        write_json(path, {**record, "gave_up_at": gave_up_at} if gave_up_at else record)
        begun.unlink(missing_ok=True)
        self._say(
            f"[{_clock(self.spent + seconds)} of {_clock(self.budget)}] {name}: {seconds:.0f} s"
        )
        return _read(path)

    def seconds(self, name: str) -> float:
        """Give the time that a finished step took; 0 if it is not finished."""
        return float(_read(self._folder / f"{name}.json").get("seconds", 0.0))

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()

    @contextmanager
    def _ticking(self, name: str, note: Callable[[], Any]) -> Iterator[None]:
        """Move the bar on with the clock while a step works, and note that it does."""
        done, started = threading.Event(), time.monotonic()

        def tick() -> None:
            for second in count():
                if done.wait(1):
                    break
                self._show(name, time.monotonic() - started)
                if second % _NOTED == 0:
                    note()

        self._show(name)
        clock = threading.Thread(target=tick, daemon=True)
        clock.start()
        try:
            yield
        finally:
            done.set()
            clock.join()

    def _show(self, name: str, running: float = 0.0) -> None:
        if self._bar is not None:
            spent = self.spent + running
            self._bar.n = min(self._bar.total, round(spent))
            self._bar.set_description_str(f"{name[:24]:<24}", refresh=False)
            self._bar.set_postfix_str(f" {_clock(max(0.0, self.budget - spent))} left")


def _hash(inputs: Mapping[str, Any]) -> str:
    text = json.dumps(inputs, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _note(begun: Path, fingerprint: str, lost: float, started: float) -> None:
    """Write down how long a step has worked, for the account of a next start."""
    with suppress(OSError, UserError):  # a full disk is for the step to find out
        seconds = round(lost + time.monotonic() - started, 2)
        write_json(begun, {"fingerprint": fingerprint, "seconds": seconds})


def _lost(begun: Path, fingerprint: str) -> float:
    """Seconds that a step worked before it was killed, in all starts together."""
    try:
        found = json.loads(begun.read_text(encoding="utf-8"))
        return float(found["seconds"]) if found["fingerprint"] == fingerprint else 0.0
    except (OSError, ValueError, TypeError, KeyError):  # not there, or damaged
        return 0.0


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there, or damaged: it is done again
        return {}
    return found if isinstance(found, dict) and {"seconds", "result"} <= {*found} else {}


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"
