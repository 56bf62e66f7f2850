"""The results that are kept, and the tables of the documents that are made of them."""

from functools import cache
from pathlib import Path

import pytest

from recbole_mmdistill.evaluation.document import markdown_table
from recbole_mmdistill.evaluation.in_markdown import renew_tables
from recbole_mmdistill.evaluation.plan_file import read_plan
from recbole_mmdistill.evaluation.report import tables_of
from recbole_mmdistill.evaluation.results import Results

ROOT = Path(__file__).parents[2]
KEPT = sorted(file.parent for file in ROOT.glob("results/*/results.csv"))
DOCUMENTS = [
    file
    for file in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))
    if "<!-- table: " in file.read_text(encoding="utf-8")
]


@cache
def tables(folder):
    plan = read_plan(ROOT / "properties" / "benchmark" / f"{folder.name}.yaml")
    return tables_of(Results(plan, folder))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_a_document_has_the_tables_of_the_results(document, tmp_path):
    everything = {f"{f.name} / {name}": table for f in KEPT for name, table in tables(f).items()}
    copy = tmp_path / document.name
    copy.write_text(document.read_text(encoding="utf-8"), encoding="utf-8")
    renew_tables(copy, everything)
    assert copy.read_text(encoding="utf-8") == document.read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_a_report_has_the_tables_of_the_results(folder):
    report = (folder / "report.md").read_text(encoding="utf-8")
    for name, table in tables(folder).items():
        assert "\n".join(markdown_table(table)) in report, name
    for figure in (folder / "figures").iterdir():
        assert f"(figures/{figure.name})" in report


def test_results_are_small():
    left_out = {"trials", "report.html", "report.tex"}  # as .gitignore says
    files = [
        file
        for file in ROOT.glob("results/**/*")
        if file.is_file() and not left_out & {*file.relative_to(ROOT).parts}
    ]
    assert files and sum(file.stat().st_size for file in files) < 2e6
