"""From results on disk to a report: what is compared, in which groups, and how it is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..features.popularity import GROUPS, RULE
from ..files import write_text
from . import figures
from .document import Document, Figure, Section, Table
from .plan import FULL, Plan, Study
from .ranking import UNSEEN, WHOLE, WITHOUT_ID, hit, ndcg
from .results import Result, Results, gains_of, our_model
from .significance import Gain
from .training import training_figures

_COLD = GROUPS[0]
_DIFFERS = "†"
_HISTORY = ("shortest third", "middle third", "longest third")


def write_report(plan: Plan, results: Results, folder: Path) -> Document:
    """Write ``report.md``, ``report.html``, ``report.tex`` and ``figures/*.svg``.

    Parameters
    ----------
    plan : Plan
        The benchmark.
    results : Results
        What is on disk of it; what is missing is left out, and said to be.
    folder : Path
        Where to.

    Returns
    -------
    Document
    """
    shown: set[str] = set()
    studies = tqdm(plan.studies, desc="report", unit="study", leave=False)
    sections = [_study(plan, study, results, shown) for study in studies]
    sections.append(_machines(results))
    document = Document(plan.title, sections)
    write_text(folder / "report.md", document.markdown())
    write_text(folder / "report.html", document.html())
    write_text(folder / "report.tex", document.latex() + "\n")
    for section in sections:
        for figure in section.figures:
            write_text(folder / "figures" / f"{figure.name}.svg", figure.svg)
    return document


def _study(plan: Plan, study: Study, results: Results, shown: set[str]) -> Section:
    """One study; ``shown`` are the data sets on which our model's training has been shown."""
    section = Section(study.name, [study.about] if study.about else [])
    held_back = {name: plan.conditions[name] for name in study.conditions if name != FULL}
    for dataset in study.datasets:
        if not held_back:  # else the whole data are only what the rest is held against
            _compare_models(plan, study, dataset, results, section, shown)
        if any("missing_features" in settings for settings in held_back.values()):
            _missing_features(plan, study, dataset, results, section)
        for condition, settings in held_back.items():
            if settings.get("cold_item_ratio"):
                _cold_items(plan, study, dataset, condition, results, section)
        if any("popularity_skew" in settings for settings in held_back.values()):
            _skew(plan, study, dataset, results, section)
    return section


def _machines(results: Results) -> Section:
    where = "; ".join(f"{name}: {n}" for name, n in results.machines().most_common())
    about = "Seconds and memory are of the trials that ran without a GPU."
    return Section("Machines", [f"Finished trials by what they ran on. {where}. {about}"])


# Comparison of models


def _compare_models(
    plan: Plan, study: Study, dataset: str, results: Results, section: Section, shown: set[str]
) -> None:
    found = results.of_study(study, dataset)
    if not found:
        section.paragraphs.append(f"{dataset}: no trial is finished.")
        return
    section.tables.append(_quality_table(plan, dataset, found))
    ours = our_model(plan, found)
    section.figures.append(
        Figure(
            _name(study.name, dataset, "models"),
            f"{dataset}: test NDCG@10, mean and standard deviation over seeds.",
            figures.bars(
                {name: (r.by_seed().mean(), _deviation(r.by_seed())) for name, r in found.items()},
                ours,
                "NDCG@10",
            ),
        )
    )
    section.tables.append(_groups_table(plan, dataset, found))
    section.tables += _branches_table(plan, dataset, found)
    section.tables.append(_cost_table(plan, dataset, found))
    timed = {name: result for name, result in found.items() if result.timed}
    if timed:
        section.figures.append(_learning_curves(study, dataset, timed))
    if ours is not None and dataset not in shown:
        shown.add(dataset)
        section.figures += [
            Figure(_name(study.name, dataset, part), caption, svg)
            for part, caption, svg in training_figures(dataset, found[ours])
        ]


def _quality_table(plan: Plan, dataset: str, found: Mapping[str, Result]) -> Table:
    """All models of a study on a dataset, each against ours."""
    ours, best = our_model(plan, found), _best_baseline(plan, found)
    gains = {} if ours is None else gains_of(found[ours], found)
    unseen = _having(found, UNSEEN)
    gains_unseen = gains_of(unseen[ours], unseen, UNSEEN) if ours in unseen else {}
    return Table(
        caption=f"{dataset}: test metrics, mean ± standard deviation over seeds"
        + (f"; gain of {ours} over each" if ours else ""),
        columns=(
            "model",
            "NDCG@10",
            "HR@10",
            "gain",
            "p",
            "unseen: NDCG@10",
            "gain",
            "p",
            "seeds",
        ),
        rows=tuple(
            (
                name + (" (best baseline)" if name == best else ""),
                *(_mean(result.by_seed(m)) for m in (ndcg, hit)),
                *_gain(gains.get(name)),
                _unseen(unseen.get(name), len(result.records)),
                *_gain(gains_unseen.get(name)),
                str(len(result.records)),
            )
            for name, result in found.items()
        ),
        emphasised=_places(found, ours),
    )


def _cost_table(plan: Plan, dataset: str, found: Mapping[str, Result]) -> Table:
    """What each model costs; without the seconds of those whose seeds all ran on a GPU."""
    best = _best_baseline(plan, found)
    quality = None if best is None else found[best].best_valid
    return Table(
        caption=f"{dataset}: cost, in CPU seconds of training but for the test's",
        columns=(
            "model",
            "best epoch",
            "an epoch",
            "to its best",
            f"to the best of {best}" if best else "to the best baseline's best",
            "of test",
            "peak MiB",
        ),
        rows=tuple(
            (name, f"{result.epochs_to_best:.0f}", *_cost(result, quality))
            for name, result in found.items()
        ),
        emphasised=_places(found, our_model(plan, found)),
    )


def _best_baseline(plan: Plan, found: Mapping[str, Result]) -> str | None:
    baselines = [name for name in found if plan.models[name].kind == "baseline"]
    return max(baselines, key=lambda name: found[name].by_seed().mean(), default=None)


def _places(found: Mapping[str, Result], ours: str | None) -> frozenset[int]:
    return frozenset(number for number, name in enumerate(found) if name == ours)


def _cost(result: Result, quality: float | None) -> tuple[str, ...]:
    if not result.timed:
        return ("",) * 5
    epochs = [epoch for record in result.timed for epoch in record["epochs"]]
    return (
        f"{np.median([epoch['train_cpu_seconds'] for epoch in epochs]):.1f}",
        _seconds(result.seconds_to(), result),
        "" if quality is None else _seconds(result.seconds_to(quality), result),
        f"{np.median([record['test_cpu_seconds'] for record in result.timed]):.2f}",
        f"{max(record['peak_memory_mib'] for record in result.timed)}",
    )


def _learning_curves(study: Study, dataset: str, found: Mapping[str, Result]) -> Figure:
    lines = {}
    for name, result in found.items():
        epochs = result.timed[0]["epochs"]
        spent = np.cumsum([epoch["train_cpu_seconds"] for epoch in epochs])
        lines[name] = (spent, np.maximum.accumulate([epoch["valid"] for epoch in epochs]))
    return Figure(
        _name(study.name, dataset, "learning"),
        f"{dataset}: best validation NDCG@10 so far against CPU seconds of training, first seed"
        " that no GPU ran.",
        figures.panels({dataset: lines}, "CPU seconds of training", logarithmic=True),
    )


# Groups


def _groups_table(plan: Plan, dataset: str, found: Mapping[str, Result]) -> Table:
    rows = next(iter(found.values())).rows[0]
    groups: dict[str, np.ndarray] = {}
    popularity = np.array(rows.popularity)
    for group in GROUPS:
        groups[f"item {group}"] = popularity == group
    cuts = np.quantile(rows.history, [1 / 3, 2 / 3])
    third = np.searchsorted(cuts, rows.history, side="left")
    for number, name in enumerate(_HISTORY):
        groups[f"history: {name}"] = third == number
    for modality, has in rows.has.items():
        groups[f"with {modality}"] = np.array(has)
        groups[f"without {modality}"] = ~np.array(has)
    groups = {name: chosen for name, chosen in groups.items() if chosen.any()}
    ours = our_model(plan, found)
    return Table(
        caption=f"{dataset}: NDCG@10 by group of test rows. {RULE} Counted are training targets."
        + _legend(ours, "row"),
        columns=("group", "rows", *found),
        rows=tuple(
            (group, str(chosen.sum()), *_marked(ours, found, chosen=chosen).values())
            for group, chosen in groups.items()
        ),
    )


def _branches_table(plan: Plan, dataset: str, found: Mapping[str, Result]) -> list[Table]:
    """What each branch can do without the others, where a model has several."""
    known = (name for result in found.values() for name in result.records[0]["ranks"])
    variants = [name for name in dict.fromkeys(known) if name not in (WHOLE, UNSEEN)]
    if not variants:
        return []
    ours = our_model(plan, found)
    columns = [_marked(ours, _having(found, variant), variant) for variant in variants]
    return [
        Table(
            caption=f"{dataset}: NDCG@10 of each branch alone." + _legend(ours, "column"),
            columns=("model", *variants),
            rows=tuple(
                (name, *(column.get(name, "") for column in columns))
                for name in found
                if any(name in column for column in columns)
            ),
        )
    ]


def _having(found: Mapping[str, Result], variant: str) -> dict[str, Result]:
    return {name: it for name, result in found.items() if (it := result.having(variant))}


def _marked(
    ours: str | None,
    found: Mapping[str, Result],
    variant: str = WHOLE,
    chosen: np.ndarray | slice = slice(None),
) -> dict[str, str]:
    """NDCG@10 of each model, marked where ours differs from it."""
    gains = gains_of(found[ours], found, variant, chosen) if ours and ours in found else {}
    cells = {}
    for name, result in found.items():
        value = np.mean([ndcg(ranks[chosen]).mean() for ranks in result.ranks(variant)])
        differs = name in gains and gains[name].p < 0.05
        cells[name] = f"{value:.4f}" + (f" {_DIFFERS}" if differs else "")
    return cells


def _legend(ours: str | None, together: str) -> str:
    if ours is None:
        return ""
    return f" {_DIFFERS}: {ours} differs (p < 0.05; corrected for the {together})."


# Held back


def _missing_features(
    plan: Plan, study: Study, dataset: str, results: Results, section: Section
) -> None:
    content: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    rows = []
    full = results.of_study(study, dataset)
    for condition in study.conditions:
        missing = plan.conditions[condition].get("missing_features") or {}
        found = results.of_study(study, dataset, condition)
        if not missing or not found:
            continue
        where = plan.conditions[condition].get("missing_from", "all")
        of_what = " and ".join(sorted(missing, reverse=True))
        family = f"{of_what}, {'at random' if where == 'all' else 'from the tail'}"
        share = max(missing.values())
        for model, result in found.items():
            value = result.by_seed().mean()
            lines = content.setdefault(family, {})
            x, y = lines.setdefault(model, ([], []))
            if not x and model in full:
                x.append(0.0)
                y.append(full[model].by_seed().mean())
            x.append(share)
            y.append(value)
            kept = f"{value / y[0]:.1%}" if x[0] == 0 and y[0] else ""
            rows.append((f"{model}, {share:.0%} of {family}", f"{value:.4f}", kept))
    if not rows:
        section.paragraphs.append(f"{dataset}: no trial with missing features is finished.")
        return
    section.tables.append(
        Table(
            f"{dataset}: test NDCG@10 when features are missing in training and test",
            ("", "NDCG@10", "of that with all features"),
            tuple(rows),
        )
    )
    section.figures.append(
        Figure(
            _name(study.name, dataset, "missing"),
            f"{dataset}: test NDCG@10 against the share of items without features.",
            figures.panels(content, "share of items without features"),
        )
    )


def _cold_items(
    plan: Plan, study: Study, dataset: str, condition: str, results: Results, section: Section
) -> None:
    found = results.of_study(study, dataset, condition)
    rows = []
    for model, result in found.items():
        for variant in (WHOLE, WITHOUT_ID, *_branches(result)):
            if variant not in result.records[0]["ranks"]:
                continue
            cold, warm, random = [], [], []
            for ranks, about in zip(result.ranks(variant), result.rows):
                is_cold = np.array(about.popularity) == _COLD
                cold.append(hit(ranks)[is_cold].mean())
                warm.append(ndcg(ranks)[~is_cold].mean())
                random.append(10 / about.n_items)
            label = model if variant == WHOLE else f"{model}, {variant}"
            times = f"{np.mean(cold) / np.mean(random):.1f}"
            rows.append((label, f"{np.mean(cold):.4f}", times, f"{np.mean(warm):.4f}"))
    if not rows:
        section.paragraphs.append(f"{dataset}, {condition}: no trial is finished.")
        return
    share = plan.conditions[condition]["cold_item_ratio"]
    section.tables.append(
        Table(
            f"{dataset}: {share:.0%} of the items never seen in training. Ranked among all items; "
            "by popularity such items come last, and have no hit at all",
            ("model", "HR@10 of cold items", "times random ranking", "NDCG@10 of all others"),
            tuple(rows),
        )
    )


def _branches(result: Result) -> list[str]:
    known = result.records[0]["ranks"]
    return [name for name in known if name not in (WHOLE, WITHOUT_ID, UNSEEN)]


def _skew(plan: Plan, study: Study, dataset: str, results: Results, section: Section) -> None:
    by_condition = {
        condition: results.of_study(study, dataset, condition)
        for condition in study.conditions
        if condition == FULL or "popularity_skew" in plan.conditions[condition]
    }
    models = [m for m in study.models if any(m in found for found in by_condition.values())]
    cell: Callable[[str, Mapping[str, Result]], str] = lambda model, found: (  # noqa: E731
        f"{found[model].by_seed().mean():.4f}" if model in found else ""
    )
    section.tables.append(
        Table(
            f"{dataset}: test NDCG@10 after training on data of sharper popularity",
            ("model", *(_skew_name(plan, condition) for condition in by_condition)),
            tuple((m, *(cell(m, found) for found in by_condition.values())) for m in models),
        )
    )


def _skew_name(plan: Plan, condition: str) -> str:
    return f"skew {plan.conditions[condition].get('popularity_skew', 0)}"


# Cells


def _deviation(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _mean(values: Sequence[float] | np.ndarray) -> str:
    values = np.asarray(values)
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{values.mean():.4f} ± {_deviation(values):.4f}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _gain(gain: Gain | None) -> tuple[str, str]:
    return ("", "") if gain is None else (f"{gain.relative:+.1%}", _p(gain.p))


def _seconds(values: Sequence[float], result: Result) -> str:
    """Mean over the timed seeds that got there, and how many of them if not all did."""
    if not values:
        return "never"
    return f"{np.mean(values):.0f}" + _of_seeds(len(values), len(result.timed))


def _unseen(result: Result | None, n_seeds: int) -> str:
    """NDCG@10 of the seeds that were ranked among unseen items, and how many if not all were."""
    if result is None:
        return ""
    return _mean(result.by_seed(variant=UNSEEN)) + _of_seeds(len(result.records), n_seeds)


def _of_seeds(n_seeds: int, n_all: int) -> str:
    return f" ({n_seeds} of {n_all})" if n_seeds < n_all else ""


def _name(*parts: str) -> str:
    words = "-".join(parts).lower()
    return "".join(c if c.isalnum() or c == "-" else "-" for c in words)
