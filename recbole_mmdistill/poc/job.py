"""The whole way, from files to a report: import, features, measurements, page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import intake
from ..datasets import dataset_folder
from ..errors import UserError
from ..features.pictures import PictureFolder
from ..files import alone_in, check_writable, is_taken, write_json, write_text
from ..intake.reading import AS_FOUND, Reading
from .encoding import NONE, choice, make_image, make_text
from .health import text_fields
from .inputs import PAGE, REPORT, STEPS, check_inputs, inputs_of, stamps, write_inputs
from .measuring import Work, measure
from .page import missing_lines, render, verdict_lines
from .sample import read_sample
from .steps import Steps

_ENCODING = 0.4  # share of the time that is left for the features of a modality
_READ = (  # of a request; the import takes them under the same names
    *("user", "item", "time", "item_id", "text", "image", "images", "dedupe"),
)


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
    dedupe : str or None
        Likewise.
    reading : intake.Reading
        How the files are read.
    image_weights : Path or None
        Of a timm model.
    budget : float
        Seconds.
    language : str
        Of the page: ``en`` or ``ja``.
    evidence : bool
        Whether what-ifs, costs, examples and further seeds are made, too: a verdict needs none.
    words : tuple of str
        Of the command, for the report to say it again; none: it was called from Python.
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
    dedupe: str | None = None
    reading: Reading = AS_FOUND
    text_encoder: str | None = None
    image_encoder: str | None = None
    image_weights: Path | None = None
    budget: float = 1800.0
    language: str = "en"
    evidence: bool = True
    words: tuple[str, ...] = ()


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
    inputs = inputs_of(request)
    check_inputs(request.output, inputs)
    with alone_in(request.output, is_taken(request.output, "--output")):
        steps = Steps(request.output / STEPS, request.budget, say)
        try:
            work = _begin(request, steps, inputs, say)
            write_inputs(request.output, inputs)
            for line in missing_lines(work.found, request.language):
                say(line)
            report = measure(work)
        finally:
            steps.close()
        write_json(request.output / REPORT, report)
        page = request.output / PAGE
        write_text(page, render(report, request.language))
    for line in verdict_lines(report, request.language):
        say(line)
    return page


def _check(request: Request) -> None:
    if request.source is None and request.dataset is None:
        raise UserError(
            "Neither a file of orders nor --dataset is given.", "Name the file of the orders."
        )
    if request.budget < 10:
        raise UserError(f"--budget is {request.budget:g} s.", "Give 30s or more.")
    check_writable(request.output, "--output")


def _begin(
    request: Request, steps: Steps, made_of: dict[str, Any], say: Callable[[str], Any]
) -> Work:
    """Import the files, and make the features."""
    output = request.output
    imported: dict[str, Any] = {}
    if request.source is not None:
        imported = steps.do("import", made_of, lambda: _import(request, say))
        dataset, folder = imported["dataset"], output / "dataset" / imported["dataset"]
    else:
        assert request.dataset is not None
        dataset = request.dataset
        folder = dataset_folder(dataset, request.data_path)
    sample = read_sample(dataset, folder)
    sample.check()
    picture_field = imported["image_field"] if imported else request.image
    images = request.images or (folder / "images" if (folder / "images").is_dir() else None)
    if images is not None and request.image is None:
        # A column that is known by its name may hold addresses, beside pictures named by the ids.
        by_id = PictureFolder(images)
        if any(token in by_id for token in sample.counts.index):
            picture_field = None
    fields = text_fields(sample, request.text)
    home = output / "features"
    inputs = {"files": stamps([folder / f"{dataset}.inter", folder / f"{dataset}.item"])}
    text = steps.do(
        "text features",
        {
            **inputs,
            "choice": choice("text", dataset, folder, request.text_encoder),
            "fields": fields,
        },
        lambda: make_text(
            *(dataset, folder, home, fields, request.text_encoder, _ENCODING * steps.left)
        ).plain(),
    )
    of_images = {
        "images": [str(images), stamps([images] if images else [])],
        "choice": choice("image", dataset, folder, request.image_encoder, request.image_weights),
    }
    image = steps.do(
        "image features",
        {**inputs, **of_images, "field": picture_field},
        lambda: make_image(
            *(dataset, folder, home, images, picture_field),
            *(request.image_encoder, request.image_weights, _ENCODING * steps.left),
        ).plain(),
    )
    found = {"text": text, "image": image}
    paths = {name: of["path"] for name, of in found.items() if of["how"] != NONE}
    common = {**sample.settings(), "feature_path": paths}
    steps.basis = {**inputs, "features": stamps([Path(path) for path in paths.values()])}
    return Work(
        output=output,
        steps=steps,
        sample=sample,
        found=found,
        common=common,
        images=images,
        image=picture_field,
        fields=fields,
        evidence=request.evidence,
        words=request.words,
        imported=_read(imported, folder / f"{dataset}.import.json"),
    )


def _read(imported: dict[str, Any], file: Path) -> dict[str, Any]:
    """Give how many rows were read and not used, and where that stands; {} without an import."""
    if not imported:
        return {}
    rows = imported["interactions"]
    dropped = sum(of["rows"] for of in rows["dropped"].values())
    return {"read": rows["read"], "dropped": dropped, "file": str(file)}


def _import(request: Request, say: Callable[[str], Any]) -> dict[str, Any]:
    assert request.source is not None
    report = intake.import_dataset(
        intake.Request(
            **{name: getattr(request, name) for name in (*_READ, "source", "items")},
            **request.reading._asdict(),
            dataset=request.dataset,
            data_path=request.output / "dataset",
            overwrite=True,
        )
    )
    for line in [*report.heading().splitlines(), *report.account()]:
        say(line)
    return {**report.plain(), "image_field": report.image_field}
