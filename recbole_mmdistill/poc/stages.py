"""The stages of a proof of concept: from the most popular items to all sources."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from ..evaluation.ranking import UNSEEN, rank_targets
from ..evaluation.rows import describe_rows
from ..evaluation.store import Store
from ..evaluation.trial import run_trial
from ..integration.config import make_config
from ..integration.monitoring import rows_and_targets
from ..pipeline import Seconds, load_data
from .baselines import MARKOV, POPULAR, fit_baselines
from .steps import OutOfTime

SASREC, ID, ALL = "sasrec", "id", "all"


@dataclass(frozen=True)
class Stage:
    """A step on the way from nothing to all sources.

    Attributes
    ----------
    name : str
        ``popular``, ``markov``, ``sasrec``, ``id``, a modality, or ``all``.
    model : str or None
        Name of the model that is trained; None: there is nothing to train.
    modalities : tuple of str
        That it reads beside the ID.
    """

    name: str
    model: str | None = None
    modalities: tuple[str, ...] = ()


def stages_of(modalities: Sequence[str]) -> list[Stage]:
    """List the stages, each of which asks for more than the one before."""
    stages = [Stage(POPULAR), Stage(MARKOV), Stage(SASREC, "SASRec"), Stage(ID, "IDMMDistill")]
    stages += [Stage(name, "IDMMDistill", (name,)) for name in modalities]
    if len(modalities) > 1:
        stages.append(Stage(ALL, "IDMMDistill", tuple(modalities)))
    return stages


def settings_of(stage: Stage, common: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Give the settings that a stage is trained with."""
    settings = {**common, **more}
    if stage.model == "IDMMDistill":
        return settings | {"modalities": list(stage.modalities)}
    return settings | {"train_neg_sample_args": None}


def rank_baselines(
    dataset: str, common: Mapping[str, Any], modalities: Sequence[str], store: Store
) -> dict[str, Any]:
    """Rank the test targets by what needs no training, and describe the test rows.

    Parameters
    ----------
    dataset : str
        Its name.
    common : Mapping
        Settings of all stages.
    modalities : sequence of str
        By whose presence rows are told apart.
    store : Store
        Where the description of the rows goes.

    Returns
    -------
    dict
        ``rows``: the name of their description; ``ranks`` by name; ``n_train``, ``n_valid``;
        ``repeats``: share of targets that stand in the history.
    """
    from ..data import MultiModalSequentialDataset
    from ..data.features import load_features

    present = {}

    def make_dataset(config: Any) -> MultiModalSequentialDataset:
        whole = MultiModalSequentialDataset(config)
        present.update({name: f.present for name, f in load_features(whole, modalities).items()})
        return whole

    config = make_config("SASRec", dataset, settings_of(Stage(SASREC, "SASRec"), common))
    whole, train, valid, test = load_data(config, make_dataset)
    rows = describe_rows(train.dataset, test.dataset, present)
    fitted = fit_baselines(train, whole.item_num)
    return {
        "rows": store.write_rows(rows),
        "ranks": {
            name: rank_targets(model, test, "cpu", unseen_only=True)
            for name, model in fitted.items()
        },
        "n_train": len(train.dataset),
        "n_valid": len(valid.dataset),
        "repeats": _share_of_repeats(test),
    }


def _share_of_repeats(test: Any) -> float:
    """Share of the test targets that stand in the history already."""
    found = [
        (interaction[test.dataset.item_id_list_field] == target[:, None]).any(dim=1)
        for interaction, target in rows_and_targets(test)
    ]
    return float(torch.cat(found).float().mean())


def train(
    stage: Stage,
    dataset: str,
    settings: Mapping[str, Any],
    modalities: Sequence[str],
    store: Store,
    folder: Path,
    seconds: Seconds,
) -> dict[str, Any]:
    """Train a stage, and rank the test targets among the items that each user has not seen.

    Parameters
    ----------
    stage : Stage
        One that is trained.
    dataset : str
        Its name.
    settings : Mapping
        See :func:`settings_of`.
    modalities : sequence of str
        By whose presence rows are told apart.
    store : Store
        Where the description of the test rows goes.
    folder : Path
        Of its checkpoint; what lies there is removed first.
    seconds : float or callable
        After the first epoch, none begins that would end later, see
        :meth:`recbole_mmdistill.pipeline.Prepared.fit`.

    Returns
    -------
    dict
        ``ranks``, ``rows``, ``valid`` (the best epoch's NDCG@10), ``curve`` (CPU seconds and
        validation NDCG@10 by epoch), ``unfinished`` (more epochs would have helped),
        ``cpu_seconds``, ``parameters`` and ``checkpoint``.

    Raises
    ------
    OutOfTime
        It is unfinished; this result holds until there is a larger budget.
    """
    assert stage.model is not None
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    record = run_trial(
        *(stage.model, dataset, {**settings, "checkpoint_dir": str(folder)}, modalities, store),
        seconds=seconds,
        with_variants=False,
    )
    epochs = record["epochs"]
    valid = [epoch.get("valid", 0.0) for epoch in epochs]
    spent = list(accumulate(epoch["train_cpu_seconds"] for epoch in epochs))
    found = {
        "ranks": record["ranks"][UNSEEN],
        "rows": record["rows"],
        "valid": record["valid"].get("ndcg@10", 0.0),
        "curve": [list(point) for point in zip(spent, valid)],
        "unfinished": _was_cut(valid, settings) and still_rising(valid),
        "cpu_seconds": spent[-1] + sum(epoch.get("valid_cpu_seconds", 0.0) for epoch in epochs),
        "parameters": record["parameters"],
        "checkpoint": str(next(iter(sorted(folder.glob("*.pth"))), "")),
    }
    if found["unfinished"]:
        raise OutOfTime(found)
    return found


def _was_cut(valid: Sequence[float], settings: Mapping[str, Any]) -> bool:
    """Whether a training ended before RecBole's trainer would have ended it."""
    since_best = len(valid) - 1 - max(range(len(valid)), key=valid.__getitem__, default=-1)
    return since_best <= settings["stopping_step"]


def still_rising(valid: Sequence[float]) -> bool:
    """Whether the last fifth of the epochs, three at least, has brought more than 0.5 %.

    That is a quarter of the gain from which a source is worth it.

    Parameters
    ----------
    valid : sequence of float
        The validation metric of each epoch; of fewer than six it is true.
    """
    first = len(valid) - max(3, len(valid) // 5)
    return len(valid) < 6 or max(valid[first:]) > 1.005 * max(valid[:first])
