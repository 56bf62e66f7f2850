"""From results on disk to a report."""

from __future__ import annotations

from collections.abc import Iterator

from tqdm import tqdm

from ..files import write_text
from . import figures
from .document import Document, Figure, Section, Table
from .held_back import cold_table, missing_families, missing_table, skew_table
from .plan import FULL, Study
from .ranking import UNSEEN, WHOLE
from .results import Results, our_model
from .tables import (
    branches_table,
    cost_table,
    groups_tables,
    quality_table,
    summary_table,
)

_MADE_BY = (
    "Each line says which version of this package made it, and in brackets which behaviour: a "
    "number that is raised whenever the same settings and seed give other results. Seeds of "
    "different behaviours are not joined, and models of different behaviours are not compared; "
    "RecBole's own models only count as different where data or evaluation have changed, models "
    "without features where these or what IDs alone give have. "
    "`before 1` is all that is older than this number: whether the same code made all of it is "
    "not known."
)


def tables_of(results: Results) -> dict[str, Table]:
    """Make all tables of a report.

    Parameters
    ----------
    results : Results
        What is on disk; what is missing is left out.

    Returns
    -------
    dict of str to Table
        By ``study / summary`` and ``study / dataset / kind``.
    """
    studies = tqdm(results.plan.studies, desc="report", unit="study", leave=False)
    return {
        f"{study.name} / {name}": table
        for study in studies
        for name, table in _tables(study, results)
        if table is not None
    }


def write_report(results: Results) -> dict[str, Table]:
    """Write ``report.md``, ``report.html``, ``report.tex`` and ``figures/*.svg``.

    Parameters
    ----------
    results : Results
        What is on disk; the report goes to its folder.

    Returns
    -------
    dict of str to Table
        See :func:`tables_of`.
    """
    tables = tables_of(results)
    shown: set[str] = set()
    sections = [Section("What made these numbers", [_MADE_BY, _machines(results)])]
    for study in results.plan.studies:
        paragraphs = [study.about] if study.about else []
        for dataset in study.datasets:
            if not any(name.startswith(f"{study.name} / {dataset} / ") for name in tables):
                paragraphs.append(f"{dataset}: no trial is finished.")
        of_study = [t for name, t in tables.items() if name.startswith(f"{study.name} / ")]
        drawn = [*_figures(study, results, shown)]
        sections.append(Section(study.name, paragraphs, of_study, drawn))
    document = Document(results.plan.title, sections)
    folder = results.folder
    write_text(folder / "report.md", document.markdown())
    write_text(folder / "report.html", document.html())
    write_text(folder / "report.tex", document.latex() + "\n")
    for section in sections:
        for figure in section.figures:
            write_text(folder / "figures" / f"{figure.name}.svg", figure.svg)
    return tables


def _machines(results: Results) -> str:
    where = "; ".join(f"{name}: {n}" for name, n in results.machines().most_common())
    return f"Finished trials by what they ran on. {where}. Seconds and memory are without a GPU."


def _tables(study: Study, results: Results) -> Iterator[tuple[str, Table | None]]:
    conditions = results.plan.conditions
    held_back = {name: conditions[name] for name in study.conditions if name != FULL}
    if not held_back:  # else the whole data are only what the rest is held against
        yield "unseen", summary_table(results, study, UNSEEN)
        yield "summary", summary_table(results, study, WHOLE)
    for dataset in study.datasets:
        found = {} if held_back else results.of_study(study, dataset)
        if found:
            yield f"{dataset} / unseen", quality_table(results, dataset, found, UNSEEN)
            yield f"{dataset} / quality", quality_table(results, dataset, found, WHOLE)
            for kind, table in groups_tables(results, dataset, found):
                yield f"{dataset} / {kind}", table
            yield f"{dataset} / branches", branches_table(results, dataset, found)
            yield f"{dataset} / cost", cost_table(results.plan, dataset, found)
        for family in missing_families(results.plan, study):
            yield f"{dataset} / {family[0]}", missing_table(results, study, dataset, family)
        for condition, settings in held_back.items():
            if settings.get("cold_item_ratio"):
                yield f"{dataset} / {condition}", cold_table(results, study, dataset, condition)
        if any("popularity_skew" in settings for settings in held_back.values()):
            yield f"{dataset} / skew", skew_table(results, study, dataset)


def _figures(study: Study, results: Results, shown: set[str]) -> Iterator[Figure]:
    """Figures of a study; ``shown`` are the datasets on which our model's training was shown."""
    for dataset in study.datasets:
        families = [*missing_families(results.plan, study)]
        if families:
            yield figures.missing(_name(study.name, dataset, "missing"), study, dataset, results)
        found = results.of_study(study, dataset)
        if study.conditions != (FULL,) or not found:
            continue
        timed = {name: result.timed[0] for name, result in found.items() if result.timed}
        if timed:
            yield figures.learning(_name(study.name, dataset, "learning"), dataset, timed)
        ours = our_model(results.plan, found)
        if ours is not None and dataset not in shown:
            shown.add(dataset)
            yield from figures.branches(
                _name(study.name, dataset, "branches"), dataset, found[ours], results
            )


def _name(*parts: str) -> str:
    words = "-".join(parts).lower()
    return "".join(c if c.isalnum() or c == "-" else "-" for c in words)
