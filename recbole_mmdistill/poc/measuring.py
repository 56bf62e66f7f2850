"""What is measured of a sample: stages, what-ifs, costs, examples."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
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
    MARGIN,
    MEASURING,
    MOST_EPOCHS,
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
    imported : dict
        Rows ``read`` and ``dropped``, and the ``file`` with the reasons; {} without an import.
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
    imported: dict[str, Any] = field(default_factory=dict)

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
    together = [ID, *work.modalities[:1]]
    while plan.epochs:
        pace = Pace(plan, speeds, FIRST_ROUND * steps.left, WHAT_IF * steps.left, together)
        _first_round(work, [stages[name] for name in plan.epochs], pace, measured)
        # The machine may have had other work when the steps were measured, and no longer.
        left_out = [name for name in _order(work, stages) if name not in measured.records]
        speeds = {name: speeds[name].times(pace.factor) for name in left_out if name in speeds}
        plan = make_plan(speeds, steps.left, left_out, is_first=False)
    trained = [stages[name] for name in measured.records]
    tried: dict[str, Any] = {"left_out": []}
    costs: dict[str, Any] = {}
    if work.evidence:
        asked = last_purchases(sample.inter, _ASKED)
        costs = cost.measure_all(work.output, steps, measured, asked)
        tried = whatif.try_all(
            whatif.Task(sample, work.modalities, work.common, store, work.output),
            steps,
            measured,
            stop_at=steps.spent + _for_what_if(steps, _of_a_round(steps, trained)),
        )
        if len(costs) < len(trained):
            tried["left_out"].append("costs")
        _more_rounds(work, trained, measured)
    summarised = partial(
        summarise,
        sample=sample,
        found=work.found,
        health={**checked, "import": work.imported},
        plan={
            "best_epochs": {name: measured.best_epochs(name) for name in measured.records},
            "left_out": plan.left_out,
        },
        measured=measured,
        what_if=tried,
        costs=costs,
        budget=steps.budget,
        common=work.common,
    )
    report = summarised(examples=None, spent=steps.spent)
    if work.evidence:
        recommended = report["verdict"]["recommended"]
        shown = examples.choose(steps, measured, asked, work.images, recommended)
        report = summarised(examples=shown, spent=steps.spent)
    lines = write_commands(work.output, report, work.modalities, work.words, work.images)
    return {**report, "commands": lines}


def _for_what_if(steps: Steps, of_round: float) -> float:
    """Seconds for what-ifs: what a second seed leaves; all, if that is less than their share."""
    left = steps.left - CLOSING
    return left - of_round if left - of_round > WHAT_IF * steps.budget else left


def _of_a_round(steps: Steps, trained: Sequence[Stage]) -> float:
    """Seconds of a further seed of this package's stages, if it takes as long as the first."""
    ours = [stage.name for stage in trained if stage.name != SASREC]
    return MARGIN * sum(steps.seconds(f"{name} seed 1") for name in ours)


def _first_round(work: Work, trained: Sequence[Stage], pace: Pace, measured: Measured) -> None:
    """Train a seed of each stage for which there is time."""
    for stage in trained:
        name = stage.name
        if not pace.is_worth_it(name):
            pace.left_out(name)
            continue
        before = work.steps.spent

        def seconds(valid: Sequence[float], name: str = name) -> float:
            return pace.seconds(name, still_rising(valid))

        measured.add(name, _train(work, stage, 0, seconds))
        epochs = len(measured.records[name][0]["curve"])
        pace.done(name, epochs, work.steps.spent - before)


def _more_rounds(work: Work, trained: Sequence[Stage], measured: Measured) -> None:
    """Train further seeds of this package's stages, as many as there is time for."""
    ours = [stage for stage in trained if stage.name != SASREC]
    each = _of_a_round(work.steps, ours)
    if not ours or any(measured.unfinished(stage.name) for stage in ours):
        return
    for seed in range(1, MOST_SEEDS):
        if work.steps.left - CLOSING < each:
            break
        for stage in ours:
            record = _train(work, stage, seed, work.steps.left - CLOSING)
            if record["unfinished"]:  # it would be worse than none
                return
            measured.add(stage.name, record)


def _order(work: Work, stages: Mapping[str, Stage]) -> list[str]:
    """What is trained, the stage that is given up first at the end."""
    return [name for name in (ID, *work.modalities, ALL, SASREC) if name in stages]


def _plan(work: Work, stages: Mapping[str, Stage]) -> tuple[Plan, dict[str, Speed]]:
    """Measure a few steps of each model, and plan by them."""

    def measure_all() -> dict[str, Any]:
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
    made = work.steps.do("plan", inputs, measure_all)
    return Plan(**made["plan"]), {name: Speed(**of) for name, of in made["speeds"].items()}


def _train(work: Work, stage: Stage, seed: int, seconds: Seconds) -> dict[str, Any]:
    settings = settings_of(stage, work.common, epochs=MOST_EPOCHS, seed=2023 + seed)
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
