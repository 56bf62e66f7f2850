"""How the branches of a model learn: who teaches whom, and whether one dominates."""

from __future__ import annotations

from collections.abc import Iterator

from . import figures
from .results import Result

_PANELS = {
    "ndcg@10": "NDCG@10 of each branch (validation)",
    "loss": "cross entropy of each branch (training)",
    "kl": "KL(teacher || student) (validation)",
    "overlap@10": "common items among two branches' first ten",
    "gradient_norm": "gradient norm of each sequence encoder",
    "taught": "divergence from the teacher (training)",
}


def training_figures(dataset: str, result: Result) -> Iterator[tuple[str, str, str]]:
    """Draw what was watched of a model's branches.

    Parameters
    ----------
    dataset : str
        For the caption.
    result : Result
        The model's; its first seed is drawn.

    Yields
    ------
    name, caption, svg : str
        One figure, or none if the branches were not watched.
    """
    watched = [epoch["branches"] for epoch in result.records[0]["epochs"] if "branches" in epoch]
    if not watched:
        return
    content: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for kind, title in _PANELS.items():
        names = [name for name in watched[0] if name.startswith(kind + "/")]
        if names:
            content[title] = {
                name.partition("/")[2].replace("-", " → " if kind in ("kl", "taught") else " & "): (
                    [float(n + 1) for n in range(len(watched))],
                    [epoch[name] for epoch in watched],
                )
                for name in names
            }
    caption = f"{dataset}: {result.model}'s branches by epoch, first seed."
    yield "branches", caption, figures.panels(content, "epoch")
