"""``recbole-mm benchmark``: models side by side, from one YAML to a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from .arguments import Parser, positive

EPILOG = """\
Every trial is kept in OUT/trials. Killed, and started again, the command runs only what is
missing. The report is made of OUT/results.csv and OUT/comparisons.csv, which the command writes.
--readme renews tables in other Markdown files, between lines such as
<!-- table: movielens / Comparison / unseen --> and <!-- end of table -->.

examples:
  recbole-mm benchmark properties/benchmark/movielens.yaml --jobs 2
  recbole-mm benchmark properties/benchmark/*.yaml --only_report --readme docs/benchmark.md
"""


def build_parser() -> Parser:
    """Describe the options of the verb."""
    parser = Parser(
        "benchmark",
        description="Runs the studies of a YAML and writes a report of them.",
        epilog=EPILOG,
    )
    parser.add_argument("plans", metavar="FILE", nargs="+", help="YAML of a benchmark")
    parser.add_argument("--out", metavar="OUT", help="folder of results (results/<FILE>)")
    parser.add_argument("--jobs", type=positive, default=1, help="trials at a time (1)")
    parser.add_argument("--threads", type=positive, default=1, help="threads of a trial (1)")
    parser.add_argument(
        "--only", metavar="STUDY", action="append", help="run this study alone; may be repeated"
    )
    parser.add_argument("--only_report", action="store_true", help="run nothing")
    parser.add_argument(
        "--renew", action="store_true", help="run again what an older behaviour made"
    )
    parser.add_argument(
        "--readme", metavar="FILE", action="append", help="put tables there; may be repeated"
    )
    return parser


def main(words: Sequence[str]) -> None:
    """Run the verb."""
    given = build_parser().parse_args(words)
    if given.out and len(given.plans) > 1:
        raise UserError(
            "--out is one folder for several benchmarks.", "Give one FILE, or no --out."
        )
    # These packages are optional: the options can be asked for without them, and a report that
    # cannot be drawn is no surprise at the end of all trials.
    import matplotlib  # noqa: F401

    from ..evaluation.benchmark import benchmark
    from ..evaluation.in_markdown import renew_tables

    tables: dict[str, Any] = {}
    wrong = []
    for plan in map(Path, given.plans):
        folder = Path(given.out or Path("results") / plan.stem)
        ran = benchmark(
            plan,
            folder,
            jobs=0 if given.only_report else given.jobs,
            threads=given.threads,
            only=given.only or (),
            renew=given.renew,
        )
        print(f"{folder}/report.md, report.html, report.tex")
        tables |= {f"{plan.stem} / {name}": table for name, table in ran.tables.items()}
        if ran.failed:
            what = f"{len(ran.failed)} trials failed, the first is {ran.failed[0]}."
            remedy = f"What each said stands in {folder}/trials/*.failed.txt; run again to try"
            wrong.append(UserError(what, f"{remedy} once more."))
        if ran.left_out:
            name, error = next(iter(ran.left_out.items()))
            what = f"{', '.join(ran.left_out)} left out: of {name}, {error.what}"
            wrong.append(UserError(what, error.remedy))
    for file in given.readme or ():
        renew_tables(Path(file), tables)
    if wrong:
        raise wrong[0]
