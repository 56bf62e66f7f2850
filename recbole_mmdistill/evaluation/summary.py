"""The table of a benchmark that stands in a README, between two marks."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from ..files import write_text
from .document import Table, markdown_table
from .plan import Plan
from .results import Results, gains_of, our_model

BEGIN = "<!-- benchmark summary: begin -->"
END = "<!-- benchmark summary: end -->"


def summary_table(plan: Plan, results: Results) -> Table:
    """Test NDCG@10 of the first study: models in rows, datasets in columns.

    Parameters
    ----------
    plan : Plan
        The benchmark.
    results : Results
        What is on disk of it.

    Returns
    -------
    Table
        Beside each NDCG@10 how much better the plan's ``model`` is; an asterisk where that is
        significant (p < 0.05, corrected).
    """
    study = plan.studies[0]
    found = {dataset: results.of_study(study, dataset) for dataset in study.datasets}
    cells: dict[str, list[str]] = {model: [] for model in study.models}
    ours = our_model(plan, study.models)
    for of_dataset in found.values():
        gains = gains_of(of_dataset[ours], of_dataset) if ours in of_dataset else {}
        for model in study.models:
            if model not in of_dataset:
                cells[model].append("not run")
                continue
            text = f"{of_dataset[model].by_seed().mean():.4f}"
            if model in gains:
                gain = gains[model]
                mark = r"\*" if gain.p < 0.05 else ""
                text += f" ({gain.relative:+.0%}{mark})"
            cells[model].append(text)
    return Table(
        caption=f"Test NDCG@10, mean over seeds; in brackets the gain of {ours} over it",
        columns=("", *study.datasets),
        rows=tuple((model, *of_model) for model, of_model in cells.items()),
        emphasised=frozenset(n for n, model in enumerate(study.models) if model == ours),
    )


def renew_summary(plan: Plan, results: Results, readme: Path) -> None:
    """Put the summary table between the marks of a Markdown file.

    Parameters
    ----------
    plan : Plan
        The benchmark.
    results : Results
        What is on disk of it.
    readme : Path
        The file.

    Raises
    ------
    UserError
        It does not exist or has no such marks.
    """
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise UserError(
            f"{readme} has no place for the summary.",
            f"Put the lines {BEGIN} and {END} where it shall stand.",
        )
    table = "\n".join(markdown_table(summary_table(plan, results)))
    write_text(readme, f"{text[: begin + len(BEGIN)]}\n\n{table}\n\n{text[end:]}")
