"""Tables of the report's page, from its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .language import GainText, Texts

_UNFINISHED = " †"
_LACKING = "-"


def _interval(gain: Mapping[str, Any] | None) -> str:
    if gain is None:
        return ""
    relative, low, high = (GainText(gain[name]) for name in ("relative", "low", "high"))
    return f"{relative:+.1%} ({low:+.1%}, {high:+.1%})"


def stage_tables(report: Mapping[str, Any], t: Texts) -> list[dict[str, Any]]:
    """Show the quality of each stage: on the whole, and by popularity.

    Parameters
    ----------
    report : Mapping
        As :func:`.report.summarise` gives it.
    t : Texts
        Of a language.

    Returns
    -------
    list of dict
        As the template takes a table: ``caption``, ``columns``, ``rows``, ``emphasised``, ``left``.
    """
    stages = report["stages"]
    chosen = report["verdict"]["recommended"]
    emphasised = [n for n, name in enumerate(stages) if name == chosen]
    main = [
        [
            t.name(name, "stage") + (_UNFINISHED if of["unfinished"] else ""),
            f"{of['ndcg']:.4f}",
            f"{of['hit']:.1%}",
            t.name(of["against"], "stage") if of["against"] else "",
            _interval(of["gain"]),
            f"{of['gain']['p_corrected']:.3f}" if of["gain"] else "",
            str(of["seeds"]),
        ]
        for name, of in stages.items()
    ]
    groups = list(next(iter(stages.values()))["groups"])
    rows = {group: next(iter(stages.values()))["groups"][group]["rows"] for group in groups}
    by_group = [
        [t.name(name, "stage"), *(f"{of['groups'][group]['ndcg']:.4f}" for group in groups)]
        for name, of in stages.items()
    ]
    return [
        {
            "caption": t("stages_caption", mark=_UNFINISHED.strip()),
            "columns": [
                t(f"column_{c}") for c in ("stage", "ndcg", "hit", "against", "gain", "p", "seeds")
            ],
            "rows": main,
            "emphasised": emphasised,
            "left": [3],
        },
        {
            "caption": t("groups_caption"),
            "columns": [
                t("column_stage"),
                *(t(f"group_{g.replace(' ', '_')}", rows=rows[g]) for g in groups),
            ],
            "rows": by_group,
            "emphasised": emphasised,
        },
    ]


def what_if(report: Mapping[str, Any], t: Texts) -> list[dict[str, Any]]:
    """Show what was tried beside the stages.

    Parameters
    ----------
    report, t
        See :func:`stage_tables`.

    Returns
    -------
    list of dict
        As :func:`stage_tables` gives them.
    """
    tried = report["what_if"]
    tables = []
    if tried.get("missing"):
        rows = [
            [t("half_missing", source=name), _interval(of)] for name, of in tried["missing"].items()
        ]
        tables.append(_table(t, "missing", ("what", "change"), rows, stage=tried["stage"]))
    if tried.get("new_items"):
        of = tried["new_items"]
        rows = [
            [
                t("new_items", share=of["share"]),
                _LACKING if of["hit"] is None else f"{of['hit']:.2%}",
                f"{of['random']:.2%}",
                f"{of['rows']:,}",
            ]
        ]
        tables.append(
            _table(t, "new_items", ("what", "hit", "random", "rows"), rows, stage=tried["stage"])
        )
    if tried.get("less_data"):
        names = list(dict.fromkeys(of["stage"] for of in tried["less_data"]))
        shares = list(dict.fromkeys(of["share"] for of in tried["less_data"]))[::-1]
        found = {(of["share"], of["stage"]): of["ndcg"] for of in tried["less_data"]}
        rows = [[t.name(n, "stage"), *(f"{found[s, n]:.4f}" for s in shares)] for n in names]
        columns = [t("column_stage"), *(t(f"share_{share}") for share in shares)]
        caption = t("what_if_less_data", users=tried["less_data"][0]["users"])
        tables.append({"caption": caption, "columns": columns, "rows": rows, "emphasised": []})
    if tried.get("policy"):
        rows = [
            [
                t("policy_weight", source=of["source"], factor=of["factor"]),
                f"{of['ndcg']:.4f}",
                _LACKING if of["ndcg_new"] is None else f"{of['ndcg_new']:.4f}",
                f"{of['new']:.1%}",
            ]
            for of in tried["policy"]
        ]
        shown = ("what", "ndcg", "ndcg_new", "new")
        tables.append(_table(t, "policy", shown, rows, stage=tried["stage"]))
    return tables


def _table(
    t: Texts, name: str, columns: tuple[str, ...], rows: list[Any], **values: Any
) -> dict[str, Any]:
    return {
        "caption": t(f"what_if_{name}", **values),
        "columns": [t(f"column_{column}") for column in columns],
        "rows": rows,
        "emphasised": [],
    }


def costs(report: Mapping[str, Any], t: Texts) -> dict[str, Any] | None:
    """Show what each stage costs.

    Parameters
    ----------
    report, t
        See :func:`stage_tables`.

    Returns
    -------
    dict or None
        As :func:`stage_tables` gives them, with ``error``; None if nothing was measured.
    """
    rows = []
    for name in report["stages"]:
        if name not in report["costs"]:
            continue
        of = report["costs"][name]
        minutes = f"{report['stages'][name]['cpu_minutes']:.1f}"
        if "error" in of:
            rows.append([t.name(name, "stage"), minutes, "-", "-", "-"])
        else:
            numbers = f"{of['megabytes']:,.1f}", f"{of['p99_ms']:.1f}", f"{of['per_second']:,}"
            rows.append([t.name(name, "stage"), minutes, *numbers])
    if not rows:
        return None
    return {
        "caption": t("costs_caption"),
        "columns": [
            t(f"column_{c}") for c in ("stage", "minutes", "megabytes", "p99", "per_second")
        ],
        "rows": rows,
        "emphasised": [],
        "error": next(
            (
                t("costs_error", error=of["error"])
                for of in report["costs"].values()
                if "error" in of
            ),
            "",
        ),
    }


def worst(report: Mapping[str, Any], t: Texts) -> list[dict[str, Any]]:
    """Show the texts and pictures that deserve better data first.

    Parameters
    ----------
    report, t
        See :func:`stage_tables`.

    Returns
    -------
    list of dict
        As :func:`stage_tables` gives them.
    """
    tables = []
    for kind in ("texts", "pictures"):
        of = report["health"][kind]
        if of and of["worst"]:
            rows = [[w["item"], f"{w['purchases']:,}", _told(w, t)] for w in of["worst"]]
            tables.append(
                {
                    "caption": t(f"worst_{kind}"),
                    "columns": [t(f"column_{c}") for c in ("item", "purchases", "said")],
                    "rows": rows,
                    "emphasised": [],
                    "left": [2],
                }
            )
    return tables


def _told(worst: Mapping[str, Any], t: Texts) -> str:
    if worst.get("why"):
        return t("picture_unusable", said=worst["said"], why=worst["why"])
    return worst["said"] or "-"
