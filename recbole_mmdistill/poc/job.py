"""The whole way: import, features, stages, what-ifs, costs, and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import intake
from ..datasets import dataset_folder
from ..errors import UserError
from ..evaluation.store import Store
from ..files import check_writable, write_json, write_text
from ..integration.config import make_config
from . import cost, examples, health, whatif
from .commands import write_commands
from .encoding import NONE, make_image, make_text
from .lists import last_purchases
from .page import render
from .plan import (
    CLOSING,
    FIRST_ROUND,
    MOST_SEEDS,
    WHAT_IF,
    Pace,
    Plan,
    Speed,
    make_plan,
    measure_speed,
)
from .report import Measured, summarise
from .sample import Sample, read_sample
from .stages import ALL, ID, SASREC, Stage, rank_baselines, settings_of, stages_of, train
from .steps import Steps

REPORT, PAGE = "report.json", "index.html"


@dataclass
class Request:
    """What is to be found out, and of which files.

    Attributes
    ----------
    output : Path
        The folder of the report and of all that it is made from.
    source : Path or None
        The orders; None: ``dataset`` names atomic files.
    dataset : str or None
        The dataset; by default named after ``source``.
    data_path : Path
        The folder of the datasets' folders; with ``source`` not used.
    user, item, time, item_id, image : str or None
        Columns, as :class:`recbole_mmdistill.intake.Request` has them.
    items : Path or None
        The products.
    text : tuple of str
        Columns of texts; none: those that are known for texts.
    images : Path or None
        The folder of the pictures.
    text_encoder, image_encoder : str or None
        As ``recbole-mm extract`` takes them; by default what is found on the machine.
    image_weights : Path or None
        Of a timm model.
    budget : float
        Seconds.
    language : str
        Of the page: ``en`` or ``ja``.
    """

    output: Path
    source: Path | None = None
    dataset: str | None = None
    data_path: Path = Path("dataset")
    user: str | None = None
    item: str | None = None
    time: str | None = None
    items: Path | None = None
    item_id: str | None = None
    text: tuple[str, ...] = ()
    image: str | None = None
    images: Path | None = None
    text_encoder: str | None = None
    image_encoder: str | None = None
    image_weights: Path | None = None
    budget: float = 1800.0
    language: str = "en"


@dataclass
class _Work:
    """What the steps of one job share."""

    request: Request
    steps: Steps
    store: Store
    sample: Sample
    found: dict[str, dict[str, str]]
    common: dict[str, Any]
    images: Path | None
    fields: list[str]

    @property
    def modalities(self) -> list[str]:
        return [name for name, found in self.found.items() if found["how"] != NONE]


def prove(request: Request, say: Callable[[str], Any] = print) -> Path:
    """Find out whether texts and pictures are worth it, and write the report.

    Parameters
    ----------
    request : Request
        What is asked for.
    say : callable
        Is given a line for each step that is done.

    Returns
    -------
    Path
        The page. Beside it lies ``report.json`` with all its numbers.

    Raises
    ------
    UserError
        Something given cannot be used.
    """
    _check(request)
    steps = Steps(request.output / "steps", request.budget, say)
    try:
        work = _begin(request, steps)
        report = _measure(work)
    finally:
        steps.close()
    write_json(request.output / REPORT, report)
    page = request.output / PAGE
    write_text(page, render(report, request.language))
    return page


def _check(request: Request) -> None:
    if (request.source is None) == (request.dataset is None) and request.source is None:
        raise UserError(
            "Neither a file of orders nor --dataset is given.", "Name the file of the orders."
        )
    if request.budget < 10:
        raise UserError(f"--budget is {request.budget:g} s.", "Give 30s or more.")
    check_writable(request.output, "--output")


def _begin(request: Request, steps: Steps) -> _Work:
    """Import the files, and make the features."""
    output = request.output
    if request.source is not None:
        imported = steps.do("import", _files(request), lambda: _import(request))
        dataset, folder = imported["dataset"], output / "dataset" / imported["dataset"]
    else:
        assert request.dataset is not None
        dataset = request.dataset
        folder = dataset_folder(dataset, request.data_path)
    sample = read_sample(dataset, folder)
    sample.check()
    images = request.images or (folder / "images" if (folder / "images").is_dir() else None)
    fields = health.text_fields(sample, request.text)
    home = output / "features"
    inputs = {"files": _stamps([folder / f"{dataset}.inter", folder / f"{dataset}.item"])}
    text = steps.do(
        "text features",
        {**inputs, "encoder": request.text_encoder, "fields": fields},
        lambda: make_text(dataset, folder, home, fields, request.text_encoder).plain(),
    )
    of_images = {"images": str(images), "weights": str(request.image_weights)}
    image = steps.do(
        "image features",
        {**inputs, **of_images, "encoder": request.image_encoder, "field": request.image},
        lambda: make_image(
            *(dataset, folder, home, images, request.image),
            *(request.image_encoder, request.image_weights),
        ).plain(),
    )
    found = {"text": text, "image": image}
    paths = {name: of["path"] for name, of in found.items() if of["how"] != NONE}
    common = {**sample.settings(), "feature_path": paths}
    steps.basis = {**inputs, "features": _stamps([Path(path) for path in paths.values()])}
    return _Work(request, steps, Store(output / "rows"), sample, found, common, images, fields)


def _measure(work: _Work) -> dict[str, Any]:
    """Train what the budget holds, and gather all numbers."""
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
            *(sample, work.fields, work.images, work.request.image),
            *(work.found, store.read_rows(base["rows"]), base),
        ),
    )
    plan, speeds = _plan(work, stages)
    measured = Measured(store.read_rows(base["rows"]))
    measured.add_baselines(base["ranks"])
    trained = [stages[name] for name in plan.epochs]
    first = steps.spent
    limit: dict[str, int] = {}
    pace = Pace(plan, speeds, FIRST_ROUND * steps.left)
    for stage in trained:
        name = stage.name
        limit[name] = pace.epochs(name)
        before = steps.spent
        measured.add(name, _train(work, stage, limit[name], seed=0))
        epochs = len(measured.records[name][0]["curve"])
        pace.done(name, epochs, steps.spent - before)
    of_round = steps.spent - first
    tried = whatif.try_all(
        whatif.Task(sample, work.modalities, work.common, store, work.request.output),
        steps,
        limit,
        measured,
        stop_at=min(
            steps.spent + WHAT_IF * steps.budget, steps.budget - CLOSING * (len(trained) + 1)
        ),
    )
    asked = last_purchases(sample.inter, 1000)
    costs = cost.measure_all(work.request.output, steps, measured, asked)
    shown = examples.choose(steps, measured, asked, work.images)
    n_seeds = 1
    ours = [stage for stage in trained if stage.name != SASREC]
    each = of_round - steps.seconds(f"{SASREC} seed 1")
    while ours and n_seeds < MOST_SEEDS and steps.left > 1.1 * each:
        for stage in ours:
            measured.add(stage.name, _train(work, stage, limit[stage.name], seed=n_seeds))
        n_seeds += 1
    report = summarise(
        sample=sample,
        found=work.found,
        health=checked,
        plan={"epochs": limit, "left_out": plan.left_out},
        measured=measured,
        what_if=tried,
        costs=costs,
        examples=shown,
        budget=steps.budget,
        spent=steps.spent,
        common=work.common,
    )
    lines = write_commands(work.request.output, report, work.modalities)
    return {**report, "commands": lines}


def _plan(work: _Work, stages: Mapping[str, Stage]) -> tuple[Plan, dict[str, Speed]]:
    """Measure a few steps of each model, and plan by them."""

    def measure() -> dict[str, Any]:
        speeds = {}
        for stage in stages.values():
            if stage.model is not None:
                settings = settings_of(stage, work.common, checkpoint_dir=str(_models(work)))
                config = make_config(stage.model, work.sample.dataset, settings)
                speeds[stage.name] = measure_speed(config)
        order = [name for name in (ID, *work.modalities, ALL, SASREC) if name in speeds]
        plan = make_plan(speeds, work.request.budget - work.steps.spent, order)
        return {"plan": asdict(plan), "speeds": {n: asdict(s) for n, s in speeds.items()}}

    inputs = {"settings": work.common, "budget": work.request.budget}
    made = work.steps.do("plan", inputs, measure)
    return Plan(**made["plan"]), {name: Speed(**of) for name, of in made["speeds"].items()}


def _train(work: _Work, stage: Stage, epochs: int, seed: int) -> dict[str, Any]:
    settings = settings_of(stage, work.common, epochs=epochs, seed=2023 + seed)
    name = f"{stage.name} seed {seed + 1}"
    return work.steps.do(
        name,
        {"settings": settings},
        lambda: train(
            *(stage, work.sample.dataset, settings, work.modalities, work.store),
            _models(work) / name.replace(" ", "-"),
        ),
    )


def _models(work: _Work) -> Path:
    return work.request.output / "models"


def _import(request: Request) -> dict[str, Any]:
    assert request.source is not None
    given = ("source", "user", "item", "time", "items", "item_id", "text", "image", "images")
    report = intake.import_dataset(
        intake.Request(
            **{name: getattr(request, name) for name in given},
            dataset=request.dataset,
            data_path=request.output / "dataset",
            overwrite=True,
        )
    )
    return report.plain()


def _files(request: Request) -> dict[str, Any]:
    names = ("dataset", "user", "item", "time", "item_id", "text", "image", "images")
    given = {name: str(getattr(request, name)) for name in names}
    paths = [path for path in (request.source, request.items) if path is not None]
    return {**given, "files": _stamps(paths)}


def _stamps(paths: list[Path]) -> list[Any]:
    """Give what tells a changed file: its name, size and time."""
    found = []
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                status = file.stat()
                found.append([str(file), status.st_size, status.st_mtime_ns])
    return found
