"""What would be if: less data, fewer texts or pictures, new items, other weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.ranking import hit
from ..evaluation.store import Store
from ..files import write_text
from ..serving import Recommender
from .gains import gain, quality, seed_variance
from .lists import Questions, answer, last_purchases
from .plan import MARGIN, MOST_EPOCHS
from .report import Measured
from .sample import ITEM, TIME, USER, Sample
from .stages import ID, Stage, settings_of, train
from .steps import Steps

FACTORS = (0.0, 0.5, 1.0, 2.0, 4.0)
COLD = 0.1
_SHARES = {"half": 0.5, "quarter": 0.25}
_USERS = 1000


@dataclass(frozen=True)
class Task:
    """What all of them start from.

    Attributes
    ----------
    sample : Sample
    modalities : sequence of str
        That have features.
    common : Mapping
        Settings of all stages.
    store : Store
        Of descriptions of test rows.
    output : Path
        The folder of the job.
    """

    sample: Sample
    modalities: Sequence[str]
    common: Mapping[str, Any]
    store: Store
    output: Path


def try_all(task: Task, steps: Steps, measured: Measured, stop_at: float) -> dict[str, Any]:
    """Try what there is time for.

    Parameters
    ----------
    task : Task
        What to start from.
    steps : Steps
        Does what was not done before.
    measured : Measured
        The stages, a seed of each.
    stop_at : float
        Nothing begins that would end after so many seconds, if it takes as long as the stage did.

    Returns
    -------
    dict
        ``new_items``, ``policy``, ``missing`` by modality, ``less_data``, each if there was time;
        and ``left_out``, names of what there was no time for.
    """
    name = measured.multimodal
    if name is None:
        return {"left_out": []}
    stage = Stage(name, "IDMMDistill", tuple(task.modalities if name == "all" else (name,)))
    seconds = MARGIN * steps.seconds(f"{name} seed 1")
    of_both = seconds + MARGIN * steps.seconds(f"{ID} seed 1")
    done: dict[str, Any] = {"stage": name, "left_out": []}

    def attempt(what: str, needed: float, work: Callable[[], Any]) -> Any:
        """Try what there is time for; None if the budget ended it, against expectation."""
        if steps.spent + needed <= stop_at:
            with suppress(_Unfinished):
                return work()
        done["left_out"].append(what)
        return None

    found = attempt("new_items", seconds, lambda: _new_items(task, steps, stage, measured))
    if found:
        done["new_items"] = found
        done["policy"] = steps.do(
            "what if policy",
            {"of": found},
            lambda: _policy(task, stage, found["checkpoint"]),
        )
    found = attempt("less_data", 0.75 * of_both, lambda: _less_data(task, steps, stage, measured))
    if found:
        done["less_data"] = found
    for modality in stage.modalities:
        found = attempt(
            f"missing_{modality}",
            seconds,
            partial(_missing, task, steps, stage, modality, measured),
        )
        if found:
            done.setdefault("missing", {})[modality] = found
    return done


class _Unfinished(Exception):
    """The budget ended a training that the stage itself had time for: nothing can be compared."""


def _trained(
    task: Task, steps: Steps, name: str, stage: Stage, measured: Measured, **more: Any
) -> dict[str, Any]:
    """Train a stage once more, as long as it was trained before."""
    whole = measured.records[stage.name][0]
    epochs = len(whole["curve"]) if whole["unfinished"] else MOST_EPOCHS
    settings = settings_of(stage, task.common, epochs=epochs, seed=2023, **more)
    record = steps.do(
        name,
        {"settings": settings},
        lambda: train(
            *(stage, task.sample.dataset, settings, task.modalities, task.store),
            task.output / "models" / name.replace(" ", "-"),
            steps.left,
        ),
    )
    if len(record["curve"]) < epochs and record["unfinished"]:
        raise _Unfinished
    return record


def _missing(
    task: Task, steps: Steps, stage: Stage, modality: str, measured: Measured
) -> dict[str, Any]:
    """Half of the items lose a source: what is left of the quality, on the same rows."""
    record = _trained(
        *(task, steps, f"what if half of {modality} missing", stage, measured),
        missing_features={modality: 0.5},
    )
    whole = quality(measured.ranks[stage.name][:1])
    variance = 2 * seed_variance({stage.name: 1})
    compared = gain(quality([record["ranks"]]), whole, measured.rows.users, variance)
    return asdict(compared)


def _new_items(task: Task, steps: Steps, stage: Stage, measured: Measured) -> dict[str, Any]:
    """A tenth of the items is never seen in training: how often they are hit."""
    record = _trained(task, steps, "what if new items", stage, measured, cold_item_ratio=COLD)
    rows = task.store.read_rows(record["rows"])
    cold = rows.groups().get("item cold", np.zeros(len(rows.items), dtype=bool))
    return {
        "hit": float(hit(np.array(record["ranks"])[cold]).mean()) if cold.any() else None,
        "random": 10 / rows.n_items,
        "rows": int(cold.sum()),
        "share": COLD,
        "checkpoint": record["checkpoint"],
    }


def _policy(task: Task, stage: Stage, checkpoint: str) -> list[dict[str, Any]]:
    """Other weights of the sources: what they do to the quality, and to the share of new items."""
    recommender = Recommender.from_checkpoint(checkpoint)
    known = recommender.popularity > 0
    new = [str(token) for token in recommender.items[1:][~known[1:]]]
    asked = last_purchases(task.sample.inter, _USERS, _boundary(task))
    if not len(asked):
        return []
    is_new = set(new)
    wants_new = np.array([target in is_new for target in asked.targets])
    found = []
    for modality in stage.modalities:
        for factor in FACTORS:
            items, reached = answer(recommender, asked, {modality: factor})
            share = np.mean([item in is_new for item in items.ravel().tolist() if item])
            found.append(
                {
                    "source": modality,
                    "factor": factor,
                    "ndcg": float(reached.mean()),
                    "ndcg_new": float(reached[wants_new].mean()) if wants_new.any() else None,
                    "new": float(share),
                }
            )
    return found


def _boundary(task: Task) -> float:
    """The time after which purchases are tested on; minus infinity for leave-one-out."""
    if not task.sample.split_by_time:
        return -np.inf
    return float(np.percentile(task.sample.inter[TIME], 90))


def _less_data(task: Task, steps: Steps, stage: Stage, measured: Measured) -> list[dict[str, Any]]:
    """A half and a quarter of the users: how good models are for the users of the quarter."""
    checkpoints: dict[str, dict[str, str]] = {"all": {}}
    stages = [stage] if ID not in measured.records else [Stage(ID, "IDMMDistill"), stage]
    for one in stages:
        checkpoints["all"][one.name] = measured.records[one.name][0]["checkpoint"]
    for name, share in _SHARES.items():
        part = _part(task, name, share)
        smaller = Task(part, task.modalities, _common(task, part), task.store, task.output)
        checkpoints[name] = {
            one.name: _trained(
                *(smaller, steps, f"what if {name} {one.name}", one, measured),
            )["checkpoint"]
            for one in stages
        }
    return steps.do("what if less data", {"of": checkpoints}, lambda: _compare(task, checkpoints))


def _compare(task: Task, checkpoints: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    few = _chosen(task.sample, _SHARES["quarter"])
    only = few[ITEM].astype(str).unique().tolist()
    asked: Questions = last_purchases(few, 2 * _USERS, _boundary(task))
    return [
        {
            "share": name,
            "stage": stage,
            "ndcg": float(answer(Recommender.from_checkpoint(path), asked, only=only)[1].mean()),
            "users": len(asked),
        }
        for name, of_stage in checkpoints.items()
        for stage, path in of_stage.items()
        if len(asked)
    ]


def _chosen(sample: Sample, share: float) -> Any:
    """The interactions of some users; those of a smaller share are among those of a larger one."""
    n = len(sample.inter[USER].cat.categories)
    place = np.random.default_rng(11).permutation(n)
    return sample.inter[place[sample.inter[USER].cat.codes.to_numpy()] < share * n]


def _part(task: Task, name: str, share: float) -> Sample:
    """Write a dataset of some of the users."""
    chosen = _chosen(task.sample, share)
    dataset = f"{task.sample.dataset}-{name}"
    folder = task.output / "samples" / dataset
    columns = (chosen[USER].astype(str), chosen[ITEM].astype(str), chosen[TIME])
    lines = [f"{u}\t{i}\t{t!r}" for u, i, t in zip(*(of.tolist() for of in columns))]
    header = f"{USER}:token\t{ITEM}:token\t{TIME}:float"
    write_text(folder / f"{dataset}.inter", "\n".join([header, *lines]) + "\n")
    return Sample(dataset, folder, chosen)


def _common(task: Task, part: Sample) -> dict[str, Any]:
    return {**task.common, "data_path": str(part.folder.parent)}
