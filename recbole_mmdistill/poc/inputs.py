"""What a report is made of: a folder is never taken over by a report of something else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..files import write_json

if TYPE_CHECKING:
    from .job import Request

REPORT, PAGE, STEPS = "report.json", "index.html", "steps"
_RECORD = "inputs.json"
_MAY_CHANGE = {"text_encoder", "image_encoder", "image_weights"}  # of records of an older version
_WRITTEN = {"dataset", "exports", "features", "models", "rows", "samples", REPORT, PAGE}
_OPTIONS = (
    *("source", "dataset", "items", "user", "item", "time", "item_id", "text", "image", "images"),
    "dedupe",
)


def inputs_of(request: Request) -> dict[str, Any]:
    """Give what a report is made of, as JSON has it.

    Parameters
    ----------
    request : Request
        Its budget and language are no part of it. Nor are its encoders: with another one the
        features are made anew, and all that follows.

    Returns
    -------
    dict
        ``given``: a text by option; ``files``: what tells a changed file.
    """
    options = {name: getattr(request, name) for name in _OPTIONS}
    paths = [request.source, request.items]
    if request.source is None:
        folder = options["data_path"] = request.data_path / str(request.dataset)
        paths = [folder / f"{request.dataset}.{ending}" for ending in ("inter", "item")]
    given = {name: _plain(value) for name, value in options.items()}
    reading = {**request.reading._asdict(), **request.reading.wanted._asdict()}
    given |= {name: _plain(value) for name, value in reading.items() if name != "wanted"}
    return {"given": given, "files": stamps(path for path in paths if path is not None)}


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_plain, value))
    return "" if value is None else str(value.absolute() if isinstance(value, Path) else value)


def stamps(paths: Iterable[Path]) -> list[list[Any]]:
    """Give what tells a changed file: its name, size and time."""
    found = []
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                status = file.stat()
                found.append([str(file.absolute()), status.st_size, status.st_mtime_ns])
    return found


def check_inputs(output: Path, inputs: dict[str, Any]) -> None:
    """See that a folder is new, or holds a report of the same inputs.

    Raises
    ------
    UserError
        It holds something else.
    """
    remedy = "Give another --output, or delete that folder."
    record = output / STEPS / _RECORD
    if not record.is_file():
        names = {path.name for path in output.iterdir()} if output.is_dir() else set()
        if REPORT in names or (names & _WRITTEN and STEPS not in names):
            raise UserError(
                f"--output is {output}, which holds {min(names & _WRITTEN)} of unknown origin.",
                remedy,
            )
        return
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
        given = {name: str(value) for name, value in before["given"].items()}
        files = before["files"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{record} cannot be read.", remedy) from None
    for name in {**inputs["given"], **given}:
        if name in _MAY_CHANGE:
            continue
        was, is_now = given.get(name, ""), inputs["given"].get(name, "")
        if was != is_now:
            option = "ORDERS" if name == "source" else f"--{name}"
            raise UserError(
                f"--output is {output}, which was made with {option}={was or None}, not with "
                f"{is_now or None}.",
                remedy,
            )
    if files != inputs["files"]:
        changed = next(file for file in [*files, *inputs["files"]] if file not in inputs["files"])
        raise UserError(
            f"--output is {output}, which was made before {changed[0]} was changed.", remedy
        )


def write_inputs(output: Path, inputs: dict[str, Any]) -> None:
    """Keep what a report is made of, once it is known to make sense."""
    write_json(output / STEPS / _RECORD, inputs)
