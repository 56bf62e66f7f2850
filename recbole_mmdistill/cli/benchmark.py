"""``recbole-mm benchmark``: models side by side, from one YAML to a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from .arguments import Parser, positive

EPILOG = """\
Every trial is kept in OUT/trials under the hash of its settings. Killed, and started again, the
command runs only what is missing; the report is made of what there is.

examples:
  recbole-mm benchmark properties/benchmark/movielens.yaml --out results/movielens --jobs 2
  recbole-mm benchmark properties/benchmark/movielens.yaml --out results/movielens --only_report
  recbole-mm benchmark mine.yaml --readme README.md     # and put the summary where README marks it
"""


def build_parser() -> Parser:
    """Describe the options of the verb."""
    parser = Parser(
        "benchmark",
        description="Runs the studies of a YAML and writes a report of them.",
        epilog=EPILOG,
    )
    parser.add_argument("plan", metavar="FILE", help="YAML of the benchmark")
    parser.add_argument("--out", metavar="OUT", help="folder of trials and report (results/<FILE>)")
    parser.add_argument("--jobs", type=positive, default=1, help="trials at a time (1)")
    parser.add_argument("--threads", type=positive, default=1, help="threads of a trial (1)")
    parser.add_argument(
        "--only", metavar="STUDY", action="append", help="run this study alone; may be repeated"
    )
    parser.add_argument("--only_report", action="store_true", help="run nothing")
    parser.add_argument("--readme", metavar="FILE", help="file whose summary table is renewed")
    return parser


def main(words: Sequence[str]) -> None:
    """Run the verb."""
    given = build_parser().parse_args(words)
    # These packages are optional: the options can be asked for without them, and a report that
    # cannot be drawn is no surprise at the end of all trials.
    import matplotlib  # noqa: F401

    from ..evaluation.benchmark import benchmark

    folder = Path(given.out or Path("results") / Path(given.plan).stem)
    failed, left_out = benchmark(
        given.plan,
        folder,
        jobs=0 if given.only_report else given.jobs,
        threads=given.threads,
        only=given.only or (),
        readme=given.readme,
    )
    print(f"{folder}/report.md, report.html, report.tex")
    if failed:
        raise UserError(
            f"{len(failed)} trials failed, the first is {failed[0]}.",
            f"What each said stands in {folder}/trials/*.failed.txt; run again to try once more.",
        )
    if left_out:
        name, error = next(iter(left_out.items()))
        raise UserError(f"{', '.join(left_out)} left out: of {name}, {error.what}", error.remedy)
