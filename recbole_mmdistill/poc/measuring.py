"""What is measured of a sample: stages, what-ifs, costs, examples."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..evaluation.store import Store
from ..integration.config import make_config
from ..pipeline import Seconds
from . import cost, examples, health, whatif
from .commands import write_commands
from .encoding import NONE
from .lists import last_purchases
from .plan import (
    CLOSING,
    FIRST_ROUND,
    MEASURING,
    MOST_SEEDS,
    WHAT_IF,
    Pace,
    Plan,
    Speed,
    make_plan,
    measure_speed,
)
from .report import Measured, summarise
from .sample import Sample
from .stages import (
    ALL,
    ID,
    SASREC,
    Stage,
    rank_baselines,
    settings_of,
    stages_of,
    still_rising,
    train,
)
from .steps import Steps

_ASKED = 1000  # customers by whom costs and examples are made


@dataclass
class Work:
    """What the measurements start from.

    Attributes
    ----------
    output : Path
        The folder of the job.
    steps : Steps
        Does what was not done before.
    sample : Sample
        The interactions.
    found : dict of str to dict
        By modality where its features come from.
    common : dict of str to object
        Settings of all stages.
    images : Path or None
        Folder of the pictures.
    image : str or None
        Column that names them; None: the items' ids do.
    fields : list of str
        Columns of texts.
    evidence : bool
        Whether what-ifs, costs, examples and further seeds are made, too.
    words : tuple of str
        Of the command.
    """

    output: Path
    steps: Steps
    sample: Sample
    found: dict[str, dict[str, str]]
    common: dict[str, Any]
    images: Path | None
    image: str | None
    fields: list[str]
    evidence: bool
    words: tuple[str, ...] = ()

    @property
    def modalities(self) -> list[str]:
        """Those that have features."""
        return [name for name, found in self.found.items() if found["how"] != NONE]

    @cached_property
    def store(self) -> Store:
        """Where descriptions of test rows are."""
        return Store(self.output / "rows")

    @property
    def models(self) -> Path:
        """Where checkpoints are."""
        return self.output / "models"


def measure(work: Work) -> dict[str, Any]:
    """Train what the budget holds, gather all numbers, and decide.

    Parameters
    ----------
    work : Work
        What to start from.

    Returns
    -------
    dict
        The report, as JSON has it.
    """
    steps, sample, store = work.steps, work.sample, work.store
    stages = {stage.name: stage for stage in stages_of(work.modalities)}
    base = steps.do(
        "baselines",
        {"settings": work.common},
        lambda: rank_baselines(sample.dataset, work.common, work.modalities, store),
    )
    checked = steps.do(
        "health",
        {"images": str(work.images), "fields": work.fields},
        lambda: health.describe(
            *(sample, work.fields, work.images, work.image),
            *(work.found, store.read_rows(base["rows"]), base),
        ),
    )
    plan, speeds = _plan(work, stages)
    measured = Measured(store.read_rows(base["rows"]))
    measured.add_baselines(base["ranks"])
    limit: dict[str, int] = {}
    started = steps.spent
    while plan.epochs:
        pace = Pace(plan, speeds, FIRST_ROUND * steps.left, WHAT_IF * steps.left)
        limit |= _first_round(work, [stages[name] for name in plan.epochs], pace, measured)
        # The machine may have had other work when the steps were measured, and no longer.
        speeds = {name: speeds[name].times(pace.factor) for name in plan.left_out if name in speeds}
        order = [name for name in _order(work, stages) if name in plan.left_out]
        plan = make_plan(speeds, steps.left, order, is_first=False)
    trained = [stages[name] for name in limit]
    of_round = steps.spent - started
    tried: dict[str, Any] = {"left_out": []}
    costs: dict[str, Any] = {}
    shown = None
    if work.evidence:
        asked = last_purchases(sample.inter, _ASKED)
        costs = cost.measure_all(work.output, steps, measured, asked)
        shown = examples.choose(steps, measured, asked, work.images)
        tried = whatif.try_all(
            whatif.Task(sample, work.modalities, work.common, store, work.output),
            steps,
            limit,
            measured,
            stop_at=steps.spent + _for_what_if(steps, of_round),
        )
        if len(costs) < len(trained):
            tried["left_out"].append("costs")
        _more_rounds(work, trained, limit, of_round, measured)
    report = summarise(
        sample=sample,
        found=work.found,
        health=checked,
        plan={
            "epochs": limit,
            "best_epochs": {name: measured.best_epochs(name) for name in measured.records},
            "left_out": plan.left_out,
        },
        measured=measured,
        what_if=tried,
        costs=costs,
        examples=shown,
        budget=steps.budget,
        spent=steps.spent,
        common=work.common,
    )
    lines = write_commands(work.output, report, work.modalities, work.words, work.images)
    return {**report, "commands": lines}


def _for_what_if(steps: Steps, of_round: float) -> float:
    """Seconds for what-ifs: their share, or all that is left if no further round fits after it."""
    share = min(WHAT_IF * steps.budget, steps.left)
    return share if steps.left - share > of_round else steps.left


def _first_round(
    work: Work, trained: Sequence[Stage], pace: Pace, measured: Measured
) -> dict[str, int]:
    """Train a seed of each stage; the most epochs of each."""
    limit: dict[str, int] = {}
    for stage in trained:
        name = stage.name
        before = work.steps.spent

        def seconds(valid: Sequence[float], name: str = name) -> float:
            return pace.seconds(name, still_rising(valid))

        measured.add(name, _train(work, stage, pace.most_epochs(name), 0, seconds))
        epochs = len(measured.records[name][0]["curve"])
        limit[name] = max(epochs, pace.epochs(name))
        pace.done(name, epochs, work.steps.spent - before)
    return limit


def _more_rounds(
    work: Work,
    trained: Sequence[Stage],
    limit: Mapping[str, int],
    of_round: float,
    measured: Measured,
) -> None:
    """Train further seeds of this package's stages, as many as there is time for."""
    ours = [stage for stage in trained if stage.name != SASREC]
    each = of_round - work.steps.seconds(f"{SASREC} seed 1")
    for seed in range(1, MOST_SEEDS):
        # A seed that the budget cuts short would be worse than none.
        if not ours or work.steps.left - CLOSING < 1.1 * each:
            break
        for stage in ours:
            measured.add(stage.name, _train(work, stage, limit[stage.name], seed, work.steps.left))


def _order(work: Work, stages: Mapping[str, Stage]) -> list[str]:
    """What is trained, the stage that is given up first at the end."""
    return [name for name in (ID, *work.modalities, ALL, SASREC) if name in stages]


def _plan(work: Work, stages: Mapping[str, Stage]) -> tuple[Plan, dict[str, Speed]]:
    """Measure a few steps of each model, and plan by them."""

    def measure() -> dict[str, Any]:
        speeds: dict[str, Speed] = {}
        order = _order(work, stages)
        left = work.steps.left
        started = time.monotonic()
        for name in order:
            ends = started + MEASURING * left
            if speeds and time.monotonic() > ends:
                break
            settings = settings_of(stages[name], work.common, checkpoint_dir=str(work.models))
            model = "SASRec" if name == SASREC else "IDMMDistill"
            config = make_config(model, work.sample.dataset, settings)
            speeds[name] = measure_speed(config, (ends - time.monotonic()) / len(order))
        plan = make_plan(speeds, left - (time.monotonic() - started), order)
        return {"plan": asdict(plan), "speeds": {n: asdict(s) for n, s in speeds.items()}}

    inputs = {"settings": work.common, "budget": work.steps.budget}
    made = work.steps.do("plan", inputs, measure)
    return Plan(**made["plan"]), {name: Speed(**of) for name, of in made["speeds"].items()}


def _train(work: Work, stage: Stage, epochs: int, seed: int, seconds: Seconds) -> dict[str, Any]:
    settings = settings_of(stage, work.common, epochs=epochs, seed=2023 + seed)
    name = f"{stage.name} seed {seed + 1}"
    return work.steps.do(
        name,
        {"settings": settings},
        lambda: train(
            *(stage, work.sample.dataset, settings, work.modalities, work.store),
            work.models / name.replace(" ", "-"),
            seconds,
        ),
    )
