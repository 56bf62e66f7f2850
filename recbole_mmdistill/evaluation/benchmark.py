"""The whole way of a benchmark: read, run what is missing, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import UserError, near
from .plan import Plan, Trial, read_plan
from .pool import Cache, choose_options, run_plan
from .report import write_report
from .results import Results
from .summary import renew_summary


def benchmark(
    plan_file: str | Path,
    folder: str | Path,
    jobs: int = 1,
    threads: int = 1,
    only: Sequence[str] = (),
    readme: str | Path | None = None,
) -> list[Trial]:
    """Run a benchmark and write its report.

    Parameters
    ----------
    plan_file : str or Path
        YAML of the benchmark, see properties/benchmark.
    folder : str or Path
        Trials go to ``trials/`` in it, beside the report.
    jobs : int
        Trials at a time; 0 runs none and reports what there is.
    threads : int
        Threads of a trial.
    only : sequence of str
        Studies to run; by default all. The report holds all of them.
    readme : str or Path, optional
        A Markdown file whose summary table is renewed.

    Returns
    -------
    list of Trial
        Those that failed.

    Raises
    ------
    UserError
        The YAML has no sense, or a study has no such name.
    """
    plan, folder = read_plan(plan_file), Path(folder)
    cache = Cache(folder / "trials")
    failed = run_plan(_only(plan, only), cache, jobs, threads) if jobs else []
    results = Results(plan, cache, choose_options(plan, cache))
    write_report(plan, results, folder)
    if readme is not None:
        renew_summary(plan, results, Path(readme))
    return failed


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
