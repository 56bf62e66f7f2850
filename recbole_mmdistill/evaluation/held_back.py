"""Tables of what happens when something is held back: features, items, or rare choices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from .document import Table
from .plan import FULL, Plan, Study
from .ranking import UNSEEN, WHOLE, WITHOUT_ID
from .results import HIT, NDCG, Result, Results
from .tables import mean

_APART = "‡"
Family = tuple[str, dict[float, str]]


def missing_families(plan: Plan, study: Study) -> Iterator[Family]:
    """Ways in which features are missing: in words, and the condition by the share of items."""
    families: dict[str, dict[float, str]] = {}
    for condition in study.conditions:
        missing = plan.conditions[condition].get("missing_features") or {}
        if missing:
            where = plan.conditions[condition].get("missing_from", "all")
            of_what = " and ".join(sorted(missing, reverse=True))
            family = f"{of_what}, {'at random' if where == 'all' else 'from the tail'}"
            families.setdefault(family, {})[max(missing.values())] = condition
    for family, by_share in families.items():
        yield family, {0.0: FULL, **dict(sorted(by_share.items()))}


def missing_table(results: Results, study: Study, dataset: str, family: Family) -> Table | None:
    """NDCG@10 of each model by the share of items without features."""
    what, by_share = family
    lacking = f"without {what.split()[0].rstrip(',')}"
    found = {share: results.of_study(study, dataset, name) for share, name in by_share.items()}
    rows = []
    for model in study.models:
        trials = {share: of_share.get(model) for share, of_share in found.items()}
        cells = {
            share: f"{result.by_seed().mean():.4f}" + _in_brackets(result, lacking, share)
            for share, result in trials.items()
            if result is not None
        }
        if cells:
            rows.append(_line(model, cells, trials))
    if not rows:
        return None
    return Table(
        caption=f"{dataset}: test NDCG@10 without the features of some items: {what}. In brackets "
        f"the rows whose target is {lacking}.{_legend(rows)}",
        columns=("model", *(f"{share:.0%}" for share in by_share), "made by"),
        rows=tuple(rows),
    )


def cold_table(results: Results, study: Study, dataset: str, condition: str) -> Table | None:
    """How items are ranked that training never saw; None if no trial is finished."""
    rows = []
    for model, result in results.of_study(study, dataset, condition).items():
        for variant in result.trials[0].variants():
            if variant == UNSEEN:
                continue
            cold = result.by_seed(HIT, variant, "item cold").mean()
            known = result.by_seed(NDCG, variant, "item known").mean()
            random = np.mean([10 / int(trial["n_items"]) for trial in result.trials])
            label = model if variant == WHOLE else f"{model}, {_words(variant)}"
            numbers = f"{cold:.4f}", f"{cold / random:.1f}", f"{known:.4f}"
            rows.append((label, *numbers, str(len(result.trials)), result.made_by))
    if not rows:
        return None
    share = results.plan.conditions[condition]["cold_item_ratio"]
    return Table(
        caption=f"{dataset}: {share:.0%} of the items never seen in training. Ranked among all "
        "items; by popularity such items come last, and have no hit at all.",
        columns=(
            *("model", "HR@10 of cold items", "times random ranking", "NDCG@10 of all others"),
            *("seeds", "made by"),
        ),
        rows=tuple(rows),
    )


def skew_table(results: Results, study: Study, dataset: str) -> Table | None:
    """NDCG@10 of each model by how much training data favour popular items."""
    by_skew = {
        float(results.plan.conditions[condition].get("popularity_skew", 0)): condition
        for condition in study.conditions
        if condition == FULL or "popularity_skew" in results.plan.conditions[condition]
    }
    found = {skew: results.of_study(study, dataset, name) for skew, name in by_skew.items()}
    rows = []
    for model in study.models:
        trials = {skew: of_skew.get(model) for skew, of_skew in found.items()}
        cells = {skew: mean(r.by_seed()) for skew, r in trials.items() if r is not None}
        if cells:
            rows.append(_line(model, cells, trials))
    if not rows:
        return None
    return Table(
        caption=f"{dataset}: test NDCG@10 after training on data of sharper popularity."
        + _legend(rows),
        columns=("model", *(f"skew {skew:g}" for skew in by_skew), "made by"),
        rows=tuple(rows),
    )


def _line(
    model: str, cells: Mapping[float, str], trials: Mapping[float, Result | None]
) -> tuple[str, ...]:
    """A line across conditions; a cell is marked if it cannot be joined with the newest."""
    results = [result for result in trials.values() if result is not None]
    newest = max((r.trials[0].behaviour for r in results), default=0)
    line = []
    for at, result in trials.items():
        apart = result is not None and result.trials[0].behaviour != newest
        line.append(cells.get(at, "") + (f" {_APART}" if apart else ""))
    return (model, *line, ", ".join(dict.fromkeys(r.made_by for r in results)))


def _legend(rows: list[tuple[str, ...]]) -> str:
    apart = any(cell.endswith(_APART) for row in rows for cell in row)
    return f" {_APART}: of an older behaviour than others of its line." if apart else ""


def _in_brackets(result: Result, group: str, share: float) -> str:
    value = result.by_seed(NDCG, WHOLE, group).mean()
    return f" ({value:.4f})" if share and not np.isnan(value) else ""


def _words(variant: str) -> str:
    return variant if variant == WITHOUT_ID else f"{variant} alone"
