"""What to do next, as command lines."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..files import write_text
from .stages import ALL, ID, SASREC
from .verdict import NO_TIME, UNFINISHED

SETTINGS = "train.yaml"
_KEPT = ("data_path", "MAX_ITEM_LIST_LENGTH", "eval_args")
_ALL_ROWS = {"RS": [1, 0, 0]}


def write_commands(
    output: Path,
    report: Mapping[str, Any],
    modalities: list[str],
    words: Sequence[str] = (),
    images: Path | None = None,
) -> list[str]:
    """Give the command lines to go on with, and write the settings that they train with.

    All rows are trained on, for as many epochs as were best while some were held back.

    Parameters
    ----------
    output : Path
        The folder of the job, which gets ``train.yaml``.
    report : Mapping
        Has the verdict, the settings, the dataset, and of each stage the best number of epochs.
    modalities : list of str
        That have features.
    words : sequence of str
        Of the command that made the report.
    images : Path or None
        Folder of the pictures, to be shown.

    Returns
    -------
    list of str
        To train, explain, export and serve. Where no model is recommended, the same command with
        more time, if it was one and lacked time.
    """
    stage = report["verdict"]["recommended"]
    if stage not in (SASREC, ID, ALL, *modalities):
        sources = report["verdict"]["sources"].values()
        outcomes = {of.get("over_base", of)["outcome"] for of in sources}
        if not words or not outcomes & {UNFINISHED, NO_TIME}:
            return []
        kept = [
            word
            for word, before in zip(words, ["", *words])
            if not word.startswith("--budget") and before != "--budget"
        ]
        hours = max(2, math.ceil(4 * report["plan"]["budget"] / 3600))
        return [shlex.join(["recbole-mm", "poc", *kept, f"--budget={hours}h"])]
    settings = {name: report["settings"][name] for name in _KEPT}
    settings["eval_args"] = {**settings["eval_args"], "split": dict(_ALL_ROWS)}
    settings["epochs"] = report["plan"]["best_epochs"][stage]
    model = "SASRec" if stage == SASREC else "IDMMDistill"
    if stage == SASREC:
        settings["train_neg_sample_args"] = None
    else:
        read = modalities if stage == ALL else [name for name in modalities if name == stage]
        paths = report["settings"]["feature_path"]
        settings["modalities"] = read
        settings["feature_path"] = {name: paths[name] for name in read} or None
    write_text(output / SETTINGS, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    file, dataset = (shlex.quote(str(of)) for of in (output / SETTINGS, report["dataset"]))
    lines = [f"recbole-mm run --model={model} --dataset={dataset} --config_files={file}"]
    shown = f" --images={shlex.quote(str(images))}" if images is not None else ""
    if model == "IDMMDistill":
        lines.append(f"recbole-mm explain CHECKPOINT --output=why.html{shown}")
    lines.append(f"recbole-mm export CHECKPOINT served/{shown}")
    lines.append("recbole-mm serve served/")
    return lines
