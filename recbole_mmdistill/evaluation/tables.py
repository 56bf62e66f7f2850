"""Tables of a study in which nothing is held back: quality, cost, groups of rows, branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..features.popularity import RULE
from .document import Table
from .plan import Plan, Study
from .ranking import UNSEEN, WHOLE
from .results import HIT, NDCG, Gain, Result, Results, our_model
from .rows import ALL

Found = Mapping[str, Result]  # by model
_DIFFERS, _APART = "†", "‡"
_NO_RANKS = "?"
_AMONG = {UNSEEN: "items that the user has not seen", WHOLE: "all items"}
# Kinds of groups: how the names of such groups begin, and what the table says.
_KINDS = {
    "popularity": (
        "item",
        f"by popularity of the target. {RULE} Counted are training targets",
    ),
    "history": ("history", "by length of the user's history"),
    "features": ("with", "by what the target has"),
}


def summary_table(results: Results, study: Study, variant: str) -> Table:
    """Test NDCG@10 of all models in rows, on all datasets in columns."""
    finished = [results.of_study(study, dataset) for dataset in study.datasets]
    by_dataset = [_having(found, variant) for found in finished]
    ours = our_model(results.plan, study.models)
    gains = [results.gains(ours, found, variant) for found in by_dataset]
    rows = []
    for model in study.models:
        cells = []
        for of_dataset, found, gain in zip(finished, by_dataset, gains):
            if model not in found:
                cells.append("" if model in of_dataset else "not run")
                continue
            cell = f"{found[model].by_seed(NDCG, variant).mean():.4f}"
            is_compared = ours in found and model != ours
            cells.append(cell + (f" ({_brief_gain(gain.get(model))})" if is_compared else ""))
        made_by = dict.fromkeys(found[model].made_by for found in by_dataset if model in found)
        rows.append((model, *cells, ", ".join(made_by)))
    return Table(
        caption=f"Test NDCG@10 among {_AMONG[variant]}"
        + (f"; in brackets the gain of {ours}, *: p < 0.05." if ours else "."),
        columns=("model", *study.datasets, "made by"),
        rows=tuple(rows),
        emphasised=_places(study.models, ours),
    )


def quality_table(results: Results, dataset: str, found: Found, variant: str) -> Table:
    """All models of a study on a dataset, each against ours."""
    ranked = _having(found, variant)
    ours, best = our_model(results.plan, found), _best_baseline(results.plan, ranked, variant)
    gains = results.gains(ours, ranked, variant)
    rows = []
    for name, result in ranked.items():
        is_compared = ours in ranked and name != ours
        rows.append(
            (
                name + (" (best baseline)" if name == best else ""),
                *(mean(result.by_seed(measure, variant)) for measure in (NDCG, HIT)),
                *(_gain(gains.get(name)) if is_compared else ("", "")),
                str(len(result.trials)),
                result.made_by,
            )
        )
    return Table(
        caption=f"{dataset}: test metrics among {_AMONG[variant]}, mean ± standard deviation over "
        + (f"seeds; gain of {ours} over each." if ours else "seeds.")
        + _legend(rows),
        columns=("model", "NDCG@10", "HR@10", "gain", "p", "seeds", "made by"),
        rows=tuple(rows),
        emphasised=_places(ranked, ours),
    )


def groups_tables(results: Results, dataset: str, found: Found) -> Iterator[tuple[str, Table]]:
    """NDCG@10 of all models by group of test rows, for each kind of groups."""
    ours = our_model(results.plan, found)
    sizes = next(iter(found.values())).trials[0].groups()
    for kind, (prefix, about) in _KINDS.items():
        groups = [g for g in sizes if g.startswith(prefix) and g != "item known"]
        if len(groups) > 1:
            columns = [_marked(results, ours, found, group=group) for group in groups]
            yield (
                kind,
                Table(
                    caption=f"{dataset}: NDCG@10 {about}." + _legend_of_marks(ours),
                    columns=("model", *(f"{_short(group)} ({sizes[group]})" for group in groups)),
                    rows=tuple((name, *(column[name] for column in columns)) for name in found),
                ),
            )


def branches_table(results: Results, dataset: str, found: Found) -> Table | None:
    """What each branch can do without the others; None if no model has several."""
    known = [name for result in found.values() for name in result.trials[0].variants()]
    variants = [name for name in dict.fromkeys(known) if name not in (WHOLE, UNSEEN)]
    ours = our_model(results.plan, found)
    columns = [_marked(results, ours, _having(found, name), name) for name in variants]
    rows = [
        (name, *(column.get(name, "") for column in columns))
        for name in found
        if any(name in column for column in columns)
    ]
    if not rows:
        return None
    return Table(
        caption=f"{dataset}: NDCG@10 of each branch alone." + _legend_of_marks(ours),
        columns=("model", *variants),
        rows=tuple(rows),
    )


def cost_table(plan: Plan, dataset: str, found: Found) -> Table:
    """What each model costs; without the seconds of those whose seeds all ran on a GPU."""
    best = _best_baseline(plan, found)
    quality = None if best is None else found[best].best_valid
    return Table(
        caption=f"{dataset}: cost, in CPU seconds of training but for the test's.",
        columns=(
            *("model", "best epoch", "an epoch", "to its best"),
            f"to the best of {best}" if best else "to the best baseline's best",
            *("of test", "peak MiB"),
        ),
        rows=tuple(
            (name, f"{result.epochs_to_best:.0f}", *_cost(result, quality))
            for name, result in found.items()
        ),
        emphasised=_places(found, our_model(plan, found)),
    )


def mean(values: np.ndarray) -> str:
    """Mean over seeds, with their standard deviation if there are several."""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{values.mean():.4f} ± {values.std(ddof=1):.4f}"


def _having(found: Found, variant: str) -> dict[str, Result]:
    return {name: it for name, result in found.items() if (it := result.having(variant))}


def _best_baseline(plan: Plan, found: Found, variant: str = WHOLE) -> str | None:
    baselines = [name for name in found if plan.models[name].kind == "baseline"]
    return max(baselines, key=lambda name: found[name].by_seed(NDCG, variant).mean(), default=None)


def _places(models: Sequence[str] | Found, ours: str | None) -> frozenset[int]:
    return frozenset(number for number, name in enumerate(models) if name == ours)


def _marked(
    results: Results, ours: str | None, found: Found, variant: str = WHOLE, group: str = ALL
) -> dict[str, str]:
    """NDCG@10 of each model, marked where ours differs from it, or cannot be compared with it."""
    gains = results.gains(ours, found, variant, group)
    cells = {}
    for name, result in found.items():
        mark = ""
        if ours in found and name != ours:
            mark = _APART if name not in gains else _DIFFERS if gains[name].is_significant else ""
        cells[name] = f"{result.by_seed(NDCG, variant, group).mean():.4f} {mark}".rstrip()
    return cells


def _short(group: str) -> str:
    return group.removeprefix("item ").removeprefix("history: ")


def _gain(gain: Gain | None) -> tuple[str, str]:
    if gain is None:
        return _APART, ""
    p = _NO_RANKS if gain.p is None else "< 0.001" if gain.p < 0.001 else f"{gain.p:.3f}"
    return f"{gain.relative:+.1%}", p


def _brief_gain(gain: Gain | None) -> str:
    return _APART if gain is None else f"{gain.relative:+.0%}{'*' if gain.is_significant else ''}"


def _legend(rows: Sequence[tuple[str, ...]]) -> str:
    cells = {cell for row in rows for cell in row}
    apart = f" {_APART}: of another behaviour or of other test rows, so not compared."
    unknown = f" {_NO_RANKS}: not tested, the ranks of single rows are on another machine."
    return (apart if _APART in cells else "") + (unknown if _NO_RANKS in cells else "")


def _legend_of_marks(ours: str | None) -> str:
    if ours is None:
        return ""
    return f" {_DIFFERS}: {ours} differs (p < 0.05; corrected for the column)."


def _cost(result: Result, quality: float | None) -> tuple[str, ...]:
    if not result.timed:
        return ("",) * 5
    epochs = np.concatenate([trial.cpu_seconds for trial in result.timed])
    tests = [float(trial["test_cpu_seconds"]) for trial in result.timed]
    return (
        f"{np.median(epochs):.1f}",
        _seconds(result.seconds_to(), result),
        "" if quality is None else _seconds(result.seconds_to(quality), result),
        f"{np.median(tests):.2f}",
        f"{max(int(trial['peak_memory_mib']) for trial in result.timed)}",
    )


def _seconds(values: Sequence[float], result: Result) -> str:
    """Mean over the timed seeds that got there, and how many of them if not all did."""
    if not values:
        return "never"
    n_all = len(result.timed)
    return f"{np.mean(values):.0f}" + (
        f" ({len(values)} of {n_all})" if len(values) < n_all else ""
    )
