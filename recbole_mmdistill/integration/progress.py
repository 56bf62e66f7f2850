"""One progress bar for an epoch, in place of RecBole's one for each pass; and an end in time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

_COLUMNS = 100


@contextmanager
def one_bar_an_epoch(trainer: Any) -> Iterator[None]:
    """Show each epoch of a trainer as one line, with its loss and validation score.

    RecBole's trainer makes a bar for every pass over training, validation and test data
    (trainer/trainer.py:222 and 602), and leaves scores to the log. It asks for bars only where
    ``show_progress`` is on. Where stderr is no terminal the line is printed when the epoch ends.

    Parameters
    ----------
    trainer : recbole.trainer.Trainer
        Followed while the block runs.
    """
    from recbole.trainer import trainer as module

    epochs = _Epochs(trainer)
    make_bar, valid_epoch = module.tqdm, getattr(trainer, "_valid_epoch", None)

    def valid_followed(*args: Any, **kwargs: Any) -> Any:
        assert valid_epoch is not None
        score, result = valid_epoch(*args, **kwargs)
        epochs.score = float(score)
        return score, result

    module.tqdm = epochs.follow
    if valid_epoch is not None:
        trainer._valid_epoch = valid_followed
    try:
        yield
        epochs.end()
    finally:
        epochs.close()
        module.tqdm = make_bar
        if valid_epoch is not None:
            trainer._valid_epoch = valid_epoch


class _Epochs:
    """The bar of the epoch that runs, and what is known of those before it."""

    def __init__(self, trainer: Any) -> None:
        self.score: float | None = None  # of the last validation
        self._trainer = trainer
        self._title = ""
        self._bar: Any = None
        self._started = 0.0

    def follow(self, batches: Any, total: int, desc: str, **_: Any) -> _Batches:
        """Take the place of ``tqdm`` in RecBole's trainer."""
        if "Train" in desc:
            title = self._name(desc)
            if title != self._title:
                self.end()
                self._title, self._started = title, time.monotonic()
                if sys.stderr.isatty():
                    self._bar = tqdm(total=0, desc=title, ncols=_COLUMNS, file=sys.stderr)
        if self._bar is not None:
            self._bar.total += total
            self._bar.set_postfix_str(self._results())
        return _Batches(batches, self._bar)

    def end(self) -> None:
        """End the epoch's line, if there is one."""
        if self._bar is not None:
            self._bar.set_postfix_str(self._results())
        elif self._title:
            seconds = time.monotonic() - self._started
            print(f"{self._title}: {self._results()}, {seconds:.1f} s", file=sys.stderr)
        self.close()

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self._title = None, ""

    def _name(self, desc: str) -> str:
        """Name the epoch, counted from 1, by RecBole's description (``Train     0``, coloured)."""
        epoch = int("".join(desc.partition("Train")[2].partition("\x1b")[0].split()))
        return f"Epoch {epoch + 1}/{max(epoch + 1, self._trainer.epochs)}"

    def _results(self) -> str:
        trainer = self._trainer
        results = []
        if trainer.train_loss_dict:
            results.append(f"loss {list(trainer.train_loss_dict.values())[-1]:.4f}")
        if self.score is not None:
            results.append(f"{trainer.valid_metric} {self.score:.4f}")
            results.append(f"best {trainer.best_valid_score:.4f}")
        return ", ".join(results)


class _Batches:
    """Batches that move a bar on as they are drawn."""

    def __init__(self, batches: Iterable[Any], bar: Any) -> None:
        self._batches, self._bar = batches, bar

    def __iter__(self) -> Iterator[Any]:
        for batch in self._batches:
            yield batch
            if self._bar is not None:
                self._bar.update()

    def set_postfix_str(self, text: str) -> None:
        """Leave out the GPU's memory, which RecBole would show here."""


class TimeIsUp(Exception):
    """Ends a training whose time is over, after the epoch has been validated and saved."""


class Clock:
    """What RecBole's trainer calls after each epoch, to end when there is no time for another.

    Parameters
    ----------
    seconds : callable
        Gives the seconds, counted from now on, by the validation scores so far. After the first
        epoch none begins that would end later, if it took as long as the last.
    """

    def __init__(self, seconds: Callable[[Sequence[float]], float]) -> None:
        self._seconds = seconds
        self._scores: list[float] = []
        self._started = self._last = time.monotonic()

    def __call__(self, epoch: int, score: float) -> None:
        """End the training, or let it go on."""
        self._scores.append(score)
        now = time.monotonic()
        if now + (now - self._last) > self._started + self._seconds(self._scores):
            raise TimeIsUp
        self._last = now
