"""The report as one page, from its numbers and a catalogue of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from textwrap import shorten
from typing import Any

import yaml

from .. import pages
from ..pages import Picture
from . import verdict
from .encoding import ENCODED, FALLBACK, NONE, READY

LANGUAGES = ("en", "ja")
_UNFINISHED = " †"
_TITLE = 40  # letters of a past purchase below a recommendation
_GAINS, _MOST_GAIN = {"gain", "low", "high", "over", "over_low", "over_high"}, 10.0
# Values that are translated, and the kind of name that they are.
_NAMED = {"source": "name", "stage": "stage", "other": "stage", "best": "stage"}


@cache
def catalogue(language: str) -> dict[str, str]:
    """Read the texts of a language."""
    path = resources.files(__package__) / "texts" / f"{language}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


class _Gain(float):
    """A share that reads as a number of that kind can be read: over almost nothing, it has none."""

    def __format__(self, spec: str) -> str:
        return f"> +{_MOST_GAIN:,.0%}" if self > _MOST_GAIN else super().__format__(spec)


class Texts:
    """Sentences of one language.

    Parameters
    ----------
    language : str
        One of :data:`LANGUAGES`.
    """

    def __init__(self, language: str) -> None:
        self._of = catalogue(language)

    def __call__(self, key: str, **values: Any) -> str:
        """Give a text, its values put in; those that are names of sources or stages translated."""
        values |= {name: _Gain(values[name]) for name in _GAINS & values.keys()}
        for name, kind in _NAMED.items():
            if name in values:
                values[name] = self.name(values[name], kind)
        if "stages" in values:
            names = [self.name(name, "stage") for name in values["stages"]]
            values["stages"] = self._of["comma"].join(names)
        if "reason" in values:
            values["reason"] = self._of[f"reason_{values['reason']}"]
        return self._of[key].format(**values)

    def name(self, name: str, kind: str = "name") -> str:
        """Translate the name of a source (``name``) or of a ``stage``."""
        return self._of.get(f"{kind}_{name}", self._of.get(f"name_{name}", name))


def render(report: Mapping[str, Any], language: str) -> str:
    """Write the page.

    Parameters
    ----------
    report : Mapping
        As :func:`.report.summarise` gives it.
    language : str
        One of :data:`LANGUAGES`.

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
        tables=_stage_tables(report, t),
        charts=_charts(report, t),
        what_if=_what_if(report, t),
        costs=_costs(report, t),
        worst=_worst(report, t),
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


def _interval(gain: Mapping[str, Any] | None) -> str:
    if gain is None:
        return ""
    relative, low, high = (_Gain(gain[name]) for name in ("relative", "low", "high"))
    return f"{relative:+.1%} ({low:+.1%}, {high:+.1%})"


def _stage_tables(report: Mapping[str, Any], t: Texts) -> list[dict[str, Any]]:
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


def _what_if(report: Mapping[str, Any], t: Texts) -> list[dict[str, Any]]:
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
                f"{of['hit']:.2%}",
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
                f"{of['ndcg_new']:.4f}",
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


def _costs(report: Mapping[str, Any], t: Texts) -> dict[str, Any] | None:
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


def _worst(report: Mapping[str, Any], t: Texts) -> list[dict[str, Any]]:
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
    lines = [t("carried", shares=t("comma").join(said))] if said else []
    if entry["because"]:
        title = shorten(entry["because"], _TITLE, placeholder="…")
        lines.append(t("because", title=title))
    return "; ".join(lines)


def _rules(t: Texts) -> list[str]:
    values = {"worth": verdict.WORTH, "users": verdict.FEWEST_USERS, "level": verdict.LEVEL}
    keys = [f"rule_{n}_{rule.outcome}" for n, rule in enumerate(verdict.RULES, 1)]
    return [t(key, **values) for key in (*keys, "rule_recommended")]
