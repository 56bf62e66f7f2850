"""The whole way of a benchmark: read, run what is missing, report."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..datasets import dataset_folder
from ..errors import UserError, near
from ..features.locate import PRELOADED, check_feature_path, find_features
from ..files import alone_in, is_taken
from ..settings import check_settings
from .document import Table
from .plan import Plan, Trial
from .plan_file import read_plan
from .pool import run_plan
from .report import write_report
from .results import Results


class Ran(NamedTuple):
    """What came of :func:`benchmark`.

    Attributes
    ----------
    tables : dict of str to Table
        The report's, see :func:`~.report.write_report`.
    failed : list of Trial
        Those that failed.
    left_out : dict of str to UserError
        Data sets whose files are not there, and what to do about it.
    """

    tables: dict[str, Table]
    failed: list[Trial]
    left_out: dict[str, UserError]


def benchmark(
    plan_file: str | Path,
    folder: str | Path,
    jobs: int = 1,
    threads: int = 1,
    only: Sequence[str] = (),
    renew: bool = False,
) -> Ran:
    """Run a benchmark, but for the data sets whose files are missing, and write its report.

    Parameters
    ----------
    plan_file : str or Path
        YAML of the benchmark, see properties/benchmark.
    folder : str or Path
        Holds the report, ``results.csv`` and ``comparisons.csv``, of which it is made, and
        ``trials/`` with all that the trials of this machine have left.
    jobs : int
        Trials at a time; 0 runs none and reports what there is.
    threads : int
        Threads of a trial.
    only : sequence of str
        Studies to run; by default all. The report holds all of them.
    renew : bool
        Whether to run again what an older behaviour made.

    Returns
    -------
    Ran

    Raises
    ------
    UserError
        The YAML has no sense, a trial's settings are wrong, or a study has no such name.
    """
    plan = read_plan(plan_file)
    results = Results(plan, Path(folder))
    failed, left_out = [], {}
    if jobs:
        chosen = _only(plan, only)
        _check_settings(chosen, plan_file)
        left_out = _find_missing_data(chosen)
        if not _without(chosen, left_out).studies:
            error = next(iter(left_out.values()))
            raise UserError(f"None of the data sets is there. {error.what}", error.remedy)
    with alone_in(Path(folder), is_taken(Path(folder), "--out")):
        if jobs:
            failed = run_plan(_without(chosen, left_out), results, jobs, threads, renew)
        tables = write_report(results)
        results.write()
    return Ran(tables, failed, left_out)


def _only(plan: Plan, names: Sequence[str]) -> Plan:
    known = [study.name for study in plan.studies]
    for name in names:
        if name not in known:
            raise UserError(
                f"There is no study {name!r}.",
                f"Give one of {', '.join(known)}{near(name, known)}.",
            )
    chosen = tuple(study for study in plan.studies if not names or study.name in names)
    return replace(plan, studies=chosen)


def _check_settings(plan: Plan, plan_file: str | Path) -> None:
    """Check the settings of all trials, before hours are spent."""
    checked = set()
    for trial in (*plan.tuning(), *plan.measuring({})):
        name = str(replace(trial, seed=0))
        if name not in checked:
            checked.add(name)
            source = f"{plan_file}, {trial.model} on {trial.dataset}, {trial.condition}"
            layers = [(source, trial.spec["settings"])]
            check_settings(trial.spec["model"], trial.spec["dataset"], layers)


def _find_missing_data(plan: Plan) -> dict[str, UserError]:
    """Data sets of the studies whose ratings or features are not there, before hours are spent."""
    missing: dict[str, UserError] = {}
    for trial in (*plan.tuning(), *plan.measuring({})):
        if trial.dataset in missing:
            continue
        settings, dataset = trial.spec["settings"], trial.spec["dataset"]
        try:
            folder = dataset_folder(dataset, settings.get("data_path", "dataset/"))
            given = settings.get("feature_path")
            read = settings.get("modalities") or []
            read = [read] if isinstance(read, str) else read
            modalities = list(dict.fromkeys([*read, *trial.spec["grouped_by"]]))
            check_feature_path(given, modalities)
            for modality in modalities:
                file = given.get(modality) if isinstance(given, dict) else None
                if not str(file).startswith(PRELOADED):  # which RecBole reads
                    find_features(dataset, modality, folder, given)
        except UserError as error:
            missing[trial.dataset] = error
    return missing


def _without(plan: Plan, datasets: Container[str]) -> Plan:
    studies = [
        replace(study, datasets=tuple(d for d in study.datasets if d not in datasets))
        for study in plan.studies
    ]
    return replace(plan, studies=tuple(study for study in studies if study.datasets))
