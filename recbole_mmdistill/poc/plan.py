"""From a budget to what is trained: stages, epochs and seeds, by the time a step takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any

from ..integration.monitoring import tensorboard_in
from ..pipeline import prepare

MOST_EPOCHS, FEWEST_EPOCHS = 200, 4
MOST_SEEDS = 5
FIRST_ROUND = 0.65  # share of the budget for one seed of all stages
WHAT_IF = 0.3  # and for what is tried after it
MEASURING = 0.2  # of what is left, for the speeds of the stages
CLOSING = 6.0  # seconds that are kept for the costs of each stage, and for the report
REFERENCE = 0.25  # share of a round for RecBole's SASRec
_STEPS = 6
_TESTS = 3  # evaluations after training: validation, test, and test among unseen items


@dataclass(frozen=True)
class Speed:
    """What a model costs.

    Attributes
    ----------
    prepare, epoch, evaluation : float
        Seconds to load its data, of an epoch of training, and of ranking all validation rows.
    """

    prepare: float
    epoch: float
    evaluation: float

    def trial(self, epochs: int) -> float:
        """Seconds of a whole trial."""
        return self.prepare + epochs * (self.epoch + self.evaluation) + _TESTS * self.evaluation

    def times(self, factor: float) -> Speed:
        """Give the same on a machine that is slower by a factor."""
        return Speed(self.prepare * factor, self.epoch * factor, self.evaluation * factor)


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes
    ----------
    epochs : dict of str to int
        At most so many of each stage.
    left_out : list of str
        Stages for which there is no time.
    """

    epochs: dict[str, int]
    left_out: list[str]


def measure_speed(config: Any, seconds: float) -> Speed:
    """Train a few steps and rank a batch of validation rows.

    Parameters
    ----------
    config : recbole.config.Config
        Of the model.
    seconds : float
        After so many there is no further step; two are made at least.

    Returns
    -------
    Speed
    """
    import torch

    started = begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, tensorboard_in(scratch):
        made = prepare(config)
    prepared = time.monotonic() - started
    model, train, valid = made.model, made.train_data, made.valid_data
    step = []
    model.train()
    for rows in islice(train, _STEPS):
        started = time.monotonic()
        made.trainer.optimizer.zero_grad()
        losses = model.calculate_loss(rows.to(config["device"]))
        torch.stack(losses if isinstance(losses, tuple) else (losses,)).sum().backward()
        made.trainer.optimizer.step()
        step.append(time.monotonic() - started)
        if len(step) > 1 and time.monotonic() - begun > seconds:
            break
    model.eval()
    evaluation = 0.0
    with torch.no_grad():
        for rows, *_ in islice(valid, 1):
            started = time.monotonic()
            model.full_sort_predict(rows.to(config["device"]))
            evaluation = time.monotonic() - started
    seconds = median(step[1:] or step)  # the first one warms up
    return Speed(prepared, seconds * len(train), evaluation * len(valid))


def make_plan(
    speeds: Mapping[str, Speed], budget: float, order: Sequence[str], is_first: bool = True
) -> Plan:
    """Plan one seed of each stage.

    Parameters
    ----------
    speeds : Mapping of str to Speed
        Of the stages that are trained; what is missing here is left out.
    budget : float
        Seconds that are left for all.
    order : sequence of str
        The stages, the one that is given up first at the end.
    is_first : bool
        Whether one stage is trained in any case.

    Returns
    -------
    Plan
        The most epochs that fit, the same for all stages; ``sasrec`` has a part of its own.
    """
    left_out = [name for name in order if name not in speeds]
    stages = [name for name in order if name in speeds]
    while stages:
        seconds = FIRST_ROUND * max(0.0, budget - CLOSING * (len(stages) + 1))
        epochs = {}
        if "sasrec" in stages:
            epochs["sasrec"] = _fit([speeds["sasrec"]], REFERENCE * seconds)
            seconds -= REFERENCE * seconds
        ours = [name for name in stages if name != "sasrec"]
        epochs |= dict.fromkeys(ours, _fit([speeds[name] for name in ours], seconds))
        is_last = is_first and len(ours) <= 1 and "sasrec" not in stages
        if min(epochs.values()) >= FEWEST_EPOCHS or is_last:
            return Plan({k: max(v, FEWEST_EPOCHS) for k, v in epochs.items()}, left_out)
        left_out.append(stages.pop())
    return Plan({}, left_out)


class Pace:
    """Keeps a round of trainings within its time, although the machine has other work, too.

    Parameters
    ----------
    plan : Plan
        The most epochs of each stage.
    speeds : Mapping of str to Speed
        As they were measured.
    seconds : float
        For the round.
    spare : float
        Seconds beside these, for stages that are still getting better when their time is over.
    """

    def __init__(
        self, plan: Plan, speeds: Mapping[str, Speed], seconds: float, spare: float = 0.0
    ) -> None:
        self._plan, self._speeds = plan, speeds
        self._left, self._spare = seconds, spare
        self._waiting = list(plan.epochs)
        self._expected = self._taken = 0.0

    def epochs(self, stage: str) -> int:
        """How many epochs there is time for, if the other stages get their part of it."""
        seconds = self._share(stage) * self._left / self._slower
        most = min(self._plan.epochs[stage], _fit([self._speeds[stage]], seconds))
        return max(most, FEWEST_EPOCHS)

    def most_epochs(self, stage: str) -> int:
        """The same with what is to spare, if the machine had no other work."""
        seconds = self._share(stage) * (self._left + self._spare)
        return max(_fit([self._speeds[stage]], seconds), FEWEST_EPOCHS)

    def seconds(self, stage: str, is_rising: bool = False) -> float:
        """How long its training may take, what is measured after it left out."""
        speed = self._speeds[stage]
        time_left = self._left + (self._spare if is_rising else 0.0)
        after = self._slower * (speed.prepare + _TESTS * speed.evaluation)
        return self._share(stage) * time_left - after

    def _share(self, stage: str) -> float:
        """Its part of the time that is left, as its training is expected to be long."""
        expected = {n: self._speeds[n].trial(self._plan.epochs[n]) for n in self._waiting}
        return expected[stage] / sum(expected.values())

    @property
    def factor(self) -> float:
        """How much slower the machine is than when its steps were measured."""
        return self._taken / self._expected if self._expected else 1.0

    @property
    def _slower(self) -> float:
        return max(1.0, self.factor)

    def done(self, stage: str, epochs: int, seconds: float) -> None:
        """Take into account what a stage took."""
        over = min(max(0.0, seconds - self._share(stage) * self._left), self._spare)
        self._waiting.remove(stage)
        self._left -= seconds - over
        self._spare -= over
        self._taken += seconds
        self._expected += self._speeds[stage].trial(epochs)


def _fit(speeds: Sequence[Speed], seconds: float) -> int:
    """The most epochs for which trials of all of them take no longer."""
    fixed = sum(speed.trial(0) for speed in speeds)
    each = sum(speed.epoch + speed.evaluation for speed in speeds)
    return int(min(MOST_EPOCHS, max(0.0, seconds - fixed) / max(each, 1e-6)))
