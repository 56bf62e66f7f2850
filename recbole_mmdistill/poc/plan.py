"""From a budget to what is trained: stages, epochs and seeds, by the time a step takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any

from ..integration.monitoring import tensorboard_in
from ..pipeline import prepare

MOST_EPOCHS = 200
FEWEST_EPOCHS = 4  # that the IDs alone and one source must get
ENOUGH_EPOCHS = 12  # that all others must get: of more stages none would be finished
MOST_SEEDS = 5
FIRST_ROUND = 0.65  # share of the budget for one seed of all stages
WHAT_IF = 0.3  # and for what is tried after it
MEASURING = 0.2  # of what is left, for the speeds of the stages
CLOSING = 6.0  # seconds that are kept for the costs of each stage, and for the report
MARGIN = 1.1  # of a training that is made again
REFERENCE = 0.25  # share of a round for RecBole's SASRec
_STEPS = 6
_TESTS = 2  # evaluations after training: of the test rows among all items, and unseen ones


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
        So many of each stage are expected.
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
    of_step = median(step[1:] or step)  # the first one warms up
    return Speed(prepared, of_step * len(train), evaluation * len(valid))


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
        The epochs that fit, the same for all stages; ``sasrec`` has a part of its own.
    """
    left_out = [name for name in order if name not in speeds]
    stages = [name for name in order if name in speeds]
    while stages:
        seconds = FIRST_ROUND * max(0.0, budget - CLOSING * (len(stages) + 1))
        of_sasrec = REFERENCE * seconds if "sasrec" in stages else 0.0
        ours = [speeds[name] for name in stages if name != "sasrec"]
        fitting = dict.fromkeys(stages, _fit(ours, seconds - of_sasrec))
        if "sasrec" in stages:
            fitting["sasrec"] = _fit([speeds["sasrec"]], of_sasrec)
        fewest = ENOUGH_EPOCHS if len(stages) > 2 or not is_first else FEWEST_EPOCHS
        if min(fitting.values()) >= fewest or (is_first and len(stages) == 1):
            return Plan({k: max(v, FEWEST_EPOCHS) for k, v in fitting.items()}, left_out)
        left_out.append(stages.pop())
    return Plan({}, left_out)


class Pace:
    """Shares the time of a round between its trainings, although the machine has other work, too.

    Each has its part of the time. While it still gets better, it may take the parts of those that
    come after it, and what is to spare, too: two trainings that are finished say more than four
    that are not. SASRec, which the others are held against, gets what was planned at most.

    Parameters
    ----------
    plan : Plan
        The stages, and how many epochs of each are expected.
    speeds : Mapping of str to Speed
        As they were measured.
    seconds : float
        For the round.
    spare : float
        Seconds beside these, for stages that are still getting better when their time is over.
    together : collection of str
        Stages none of which takes the part of another.
    """

    def __init__(
        self,
        plan: Plan,
        speeds: Mapping[str, Speed],
        seconds: float,
        spare: float = 0.0,
        together: Collection[str] = (),
    ) -> None:
        self._plan, self._speeds, self._together = plan, speeds, together
        self._left, self._spare = seconds, spare
        self._waiting = list(plan.epochs)
        self._expected = self._taken = 0.0

    def seconds(self, stage: str, is_rising: bool = False) -> float:
        """How long its training may take, what is measured after it left out."""
        speed = self._speeds[stage]
        after = self._slower * (speed.prepare + _TESTS * speed.evaluation)
        if stage == "sasrec":
            return min(self._planned(stage), self._left) - after
        time_left = self._left + (self._spare if is_rising else 0.0)
        return self._share(stage, is_rising) * time_left - after

    def is_worth_it(self, stage: str) -> bool:
        """Whether there is time for so many epochs that a training may be finished."""
        if stage in self._together or stage == next(iter(self._plan.epochs)):
            return True
        seconds = self._share(stage, is_rising=True) * (self._left + self._spare)
        if stage == "sasrec":  # as in seconds
            seconds = min(self._planned(stage), self._left)
        return _fit([self._speeds[stage]], seconds / self._slower) >= ENOUGH_EPOCHS

    def _planned(self, stage: str) -> float:
        """Seconds of a training of as many epochs as were planned, as fast as the machine is."""
        return self._slower * self._speeds[stage].trial(self._plan.epochs[stage])

    def _share(self, stage: str, is_rising: bool = False) -> float:
        """Its part of the time that is left, as its training is expected to be long."""
        rivals = self._waiting
        if is_rising:
            rivals = [n for n in rivals if n == stage or {n, stage} <= {*self._together}]
        expected = {n: self._speeds[n].trial(self._plan.epochs[n]) for n in rivals}
        return expected[stage] / sum(expected.values())

    @property
    def factor(self) -> float:
        """How much slower the machine is than when its steps were measured."""
        return self._taken / self._expected if self._expected else 1.0

    @property
    def _slower(self) -> float:
        return max(1.0, self.factor)

    def left_out(self, stage: str) -> None:
        """Give its time to the others."""
        self._waiting.remove(stage)

    def done(self, stage: str, epochs: int, seconds: float) -> None:
        """Take into account what a stage took."""
        over = min(max(0.0, seconds - self._left), self._spare)
        self._waiting.remove(stage)
        self._left -= seconds - over
        self._spare -= over
        self._taken += seconds
        self._expected += self._speeds[stage].trial(epochs)


def _fit(speeds: Sequence[Speed], seconds: float) -> int:
    """The most epochs for which trials of all of them take no longer."""
    fixed = sum(speed.trial(0) for speed in speeds)
    each = sum(speed.epoch + speed.evaluation for speed in speeds)
    return int(min(MOST_EPOCHS, max(0.0, seconds - fixed) / max(each, 1e-6) + 1e-9))
