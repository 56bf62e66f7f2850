"""A report as headings, paragraphs, tables and figures; as Markdown, as a page, and as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..pages import render


@dataclass(frozen=True)
class Table:
    """A table whose cells are texts.

    Attributes
    ----------
    caption : str
        What it shows.
    columns : tuple of str
        Their headings.
    rows : tuple of tuple of str
        One cell for each column.
    emphasised : frozenset of int
        Numbers of the rows that stand out.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    emphasised: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes
    ----------
    name : str
        Of its file, without suffix.
    caption : str
        What it shows.
    svg : str
        The drawing itself.
    """

    name: str
    caption: str
    svg: str


@dataclass
class Section:
    """A heading and what stands below it, in this order: paragraphs, tables, figures."""

    heading: str
    paragraphs: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    sections: Sequence[Section]

    def markdown(self) -> str:
        """As Markdown; figures are links to ``figures/<name>.svg``."""
        lines = [f"# {self.title}", ""]
        for section in self.sections:
            lines += [f"## {section.heading}", ""]
            for paragraph in section.paragraphs:
                lines += [paragraph, ""]
            for table in section.tables:
                lines += [f"**{table.caption}**", "", *markdown_table(table), ""]
            for figure in section.figures:
                lines += [f"![{figure.caption}](figures/{figure.name}.svg)", ""]
        return "\n".join(lines)

    def html(self) -> str:
        """As one page that needs no other file."""
        headings = {f"s{at}": section.heading for at, section in enumerate(self.sections, start=1)}
        return render(
            "evaluation/page.html.j2", title=self.title, headings=headings, sections=self.sections
        )

    def latex(self) -> str:
        """The tables alone, each a ``table`` for the package booktabs."""
        return "\n\n".join(
            latex_table(table) for section in self.sections for table in section.tables
        )


def markdown_table(table: Table) -> list[str]:
    """Lines of a table in Markdown: the first column to the left, all others to the right."""
    rule = ["---", *["---:"] * (len(table.columns) - 1)]
    rows = [
        [f"**{cell}**" if number in table.emphasised and cell else cell for cell in row]
        for number, row in enumerate(table.rows)
    ]
    return [f"| {' | '.join(row)} |" for row in ([*table.columns], rule, *rows)]


def latex_table(table: Table) -> str:
    """Give a table in LaTeX."""
    body = [
        " & ".join(
            rf"\textbf{{{_escape(cell)}}}" if number in table.emphasised else _escape(cell)
            for cell in row
        )
        + r" \\"
        for number, row in enumerate(table.rows)
    ]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escape(table.caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"\toprule",
            " & ".join(map(_escape, table.columns)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "<": r"$<$",
    ">": r"$>$",
}


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in text)
