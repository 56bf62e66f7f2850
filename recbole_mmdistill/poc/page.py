"""The report as one page, from its numbers and the sentences of a language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import pages
from ..pages import Picture
from . import tables, verdict
from .encoding import ENCODED, FALLBACK, NONE, READY
from .language import Texts

_TITLE = 40  # letters of a past purchase below a recommendation


def render(report: Mapping[str, Any], language: str) -> str:
    """Write the page.

    Parameters
    ----------
    report : Mapping
        As :func:`.report.summarise` gives it.
    language : str
        One of :data:`.language.LANGUAGES`.

    Returns
    -------
    str
        HTML.
    """
    t = Texts(language)
    decided = report["verdict"]
    return pages.render(
        "poc/page.html.j2",
        lang=language,
        title=t("title", dataset=report["dataset"]),
        t=t,
        report=report,
        spoken={kind: _spoken(decided[kind], t) for kind in ("sentences", "collect", "risks")},
        numbers=[
            (t(f"{key}_figure", **values), t(key, **values)) for key, values in decided["numbers"]
        ],
        data=_data(report, t),
        features=_features(report, t),
        tables=tables.stage_tables(report, t),
        charts=_charts(report, t),
        what_if=tables.what_if(report, t),
        costs=tables.costs(report, t),
        worst=tables.worst(report, t),
        examples=_examples(report, t),
        rules=_rules(t),
        commands=report["commands"],
        next_intro=_next_intro(report, t),
    )


def _next_intro(report: Mapping[str, Any], t: Texts) -> str:
    """Say what the commands are for, or why there are none."""
    if len(report["commands"]) > 1:
        return t("next_intro")
    if report["commands"]:
        return t("next_intro_again")
    return t("next_intro_sample", stage=report["verdict"]["recommended"])


def verdict_lines(report: Mapping[str, Any], language: str) -> list[str]:
    """Give the sentences of the verdict alone."""
    return _spoken(report["verdict"]["sentences"], Texts(language))


def missing_lines(found: Mapping[str, Mapping[str, str]], language: str) -> list[str]:
    """Say of each modality without features why it has none."""
    t = Texts(language)
    lacking = {name: of["encoder"] for name, of in found.items() if of["how"] == NONE}
    return [f"{t.name(name)}: {t(f'reason_{reason}')}" for name, reason in lacking.items()]


def _spoken(said: Sequence[tuple[str, Mapping[str, Any]]], t: Texts) -> list[str]:
    return [t(key, **values) for key, values in said]


def _percent(share: float) -> str:
    return f"{share:.0%}" if share in (0, 1) or 0.01 <= share <= 0.99 else f"{share:.1%}"


def _data(report: Mapping[str, Any], t: Texts) -> list[tuple[str, str]]:
    size, time, test = (report["health"][name] for name in ("size", "time", "test"))
    power = report["verdict"]["power"]
    days = " - ".join(time["days"])
    imported = report["health"].get("import")
    return [
        *([(t("data_read"), t("data_read_is", **imported))] if imported else []),
        (t("data_size"), t("data_size_is", **size)),
        (t("data_per_user"), t("data_per_user_is", **size)),
        (t("data_popularity"), t("data_popularity_is", share=size["share_of_head"])),
        (t("data_time"), t("data_time_real", days=days) if time["real"] else t("data_time_order")),
        (t("data_split"), t("data_split_time" if time["split_by_time"] else "data_split_last")),
        (t("data_test"), t("data_test_is", **test)),
        (t("data_new"), t("data_new_is", **test)),
        (t("data_power"), t("data_power_is" if power["needed"] else "data_power_unknown", **power)),
    ]


def _features(report: Mapping[str, Any], t: Texts) -> list[dict[str, Any]]:
    cards = []
    health = report["health"]
    for name, found in report["found"].items():
        facts = [(t("features_from"), t(f"features_{found['how']}", **_from(found, t)))]
        if name in health["features"]:
            of = health["features"][name]
            facts.append((t("features_coverage"), t("features_coverage_is", **of)))
            facts.append((t("features_alike"), t("features_alike_is", **of)))
            if of["beyond_chance"] is not None:
                key = "features_good" if of["beyond_chance"] else "features_bad"
                facts.append((t("features_neighbours"), t(key)))
        if name == "text" and health["texts"]:
            texts = health["texts"]
            spoken = [f"{t.name(k)} {_percent(share)}" for k, share in texts["languages"].items()]
            facts.append((t("texts_language"), t("comma").join(spoken)))
            facts.append((t("texts_state"), t("texts_state_is", **texts)))
            if found["how"] != READY:
                facts.append((t("texts_cleaned"), t("texts_cleaned_is", **texts)))
        if name == "image" and health["pictures"]:
            facts.append((t("pictures_state"), t("pictures_state_is", **health["pictures"])))
            if found["how"] == ENCODED:
                facts.append((t("texts_cleaned"), t("pictures_cleaned")))
        cards.append({"heading": t.name(name), "facts": facts})
    return cards


def _from(found: Mapping[str, str], t: Texts) -> dict[str, str]:
    if found["how"] == NONE:
        return {"reason": found["encoder"]}
    return {"encoder": t("tfidf") if found["how"] == FALLBACK else found["encoder"]}


def _charts(report: Mapping[str, Any], t: Texts) -> list[dict[str, Any]]:
    stages = report["stages"]
    chosen = t.name(report["verdict"]["recommended"], "stage")
    bars = pages.bar_chart(
        {t.name(name, "stage"): of["hit"] for name, of in stages.items()},
        t("chart_hit"),
        emphasised=[chosen],
        text="{:.1%}".format,
    )
    lines = {
        t.name(name, "stage"): ([x for x, _ in of["curve"]], [y for _, y in of["curve"]])
        for name, of in stages.items()
        if of["curve"]
    }
    charts = [{"svg": bars, "caption": t("chart_hit")}]
    if lines:
        svg = pages.line_chart(
            lines, t("chart_curve"), x_label=t("axis_seconds"), y_label="NDCG@10"
        )
        charts.append({"svg": svg, "caption": t("chart_curve")})
    return charts


def _examples(report: Mapping[str, Any], t: Texts) -> list[dict[str, Any]]:
    people = (report["examples"] or {}).get("people", [])
    cards = [card for person in people for card in (*person["history"], *person["recommendations"])]
    lacking = t("no_picture") if any(card["picture"] for card in cards) else None

    def shown(entry: Mapping[str, Any], below: str) -> tuple[Picture | str | None, str, str]:
        picture = Picture(**entry["picture"]) if entry["picture"] else lacking
        return picture, entry["title"], below

    return [
        {
            "history": [shown(entry, "") for entry in person["history"]],
            "recommended": [
                shown(entry, _carried(entry, t)) for entry in person["recommendations"]
            ],
        }
        for person in people
    ]


def _carried(entry: Mapping[str, Any], t: Texts) -> str:
    """Say what part of a score each source brings, and after which past purchase most of all."""
    shares = sorted(entry["shares"].items(), key=lambda of: -of[1])
    said = [t("carried_share", source=name, share=share) for name, share in shares if share]
    lines = [t("comma").join(said)] if said else []
    if entry["because"]:
        title = " ".join(entry["because"].split())
        if len(title) > _TITLE:
            title = title[: _TITLE - 1].rstrip() + "…"
        lines.append(t("because", title=title))
    return "; ".join(lines)


def _rules(t: Texts) -> list[str]:
    values = {"worth": verdict.WORTH, "users": verdict.FEWEST_USERS, "level": verdict.LEVEL}
    keys = [f"rule_{n}_{rule.outcome}" for n, rule in enumerate(verdict.RULES, 1)]
    return [t(key, **values) for key in (*keys, "rule_recommended")]
