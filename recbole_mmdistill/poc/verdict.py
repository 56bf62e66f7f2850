"""Rules that turn numbers into a decision; the report states them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .encoding import NONE, SLOW

if TYPE_CHECKING:
    from .report import Measured

WORTH = 0.02  # relative gain of NDCG@10 from which a source is worth switching on
FEWEST_USERS = 100  # whom a gain can be claimed for
LEVEL = 0.05  # of the paired test, corrected by Holm
LACKING = 0.2  # share of purchases of items without a source that may be why it does not help
_TRIED = 3  # comparisons by which the best stage without sources is found
Sentence = tuple[str, dict[str, Any]]  # a key of the catalogues, and its values

ON, SMALL, NOT, HARM = "on", "small", "not", "harm"
UNCLEAR, UNFINISHED = "unclear", "unfinished"
NO_DATA, NO_TIME = "no_data", "no_time"


@dataclass(frozen=True)
class Rule:
    """When a comparison has an outcome.

    Attributes
    ----------
    outcome : str
        Its name, by which the catalogues hold the rule and the sentence.
    holds : callable
        Whether it is so of a gain, as :class:`.gains.Gain` has it.
    """

    outcome: str
    holds: Callable[[Mapping[str, Any]], bool]


# The first rule that holds decides.
RULES = (
    Rule(UNCLEAR, lambda g: g["n_users"] < FEWEST_USERS),
    Rule(UNFINISHED, lambda g: g["other_unfinished"]),
    Rule(ON, lambda g: g["low"] > 0 and g["p_corrected"] < LEVEL and g["relative"] >= WORTH),
    Rule(SMALL, lambda g: g["low"] > 0 and g["p_corrected"] < LEVEL),
    Rule(UNFINISHED, lambda g: g["unfinished"]),
    Rule(HARM, lambda g: g["high"] < 0 and g["p_corrected"] < LEVEL),
    Rule(NOT, lambda g: g["high"] < WORTH),
    Rule(UNCLEAR, lambda g: True),
)


def outcome(compared: Mapping[str, Any]) -> str:
    """Name what a comparison shows, by the first of :data:`RULES` that holds."""
    return next(rule.outcome for rule in RULES if rule.holds(compared))


def decide(
    stages: Mapping[str, Mapping[str, Any]],
    found: Mapping[str, Mapping[str, str]],
    health: Mapping[str, Any],
    measured: Measured,
    examples: Mapping[str, Any] | None,
    costs: Mapping[str, Any],
) -> dict[str, Any]:
    """Decide what is to be switched on, and say why.

    Parameters
    ----------
    stages : Mapping
        As the report has them.
    found : Mapping
        By modality where its features come from.
    health : Mapping
        What :func:`.health.describe` gave.
    measured : Measured
        For comparisons of other stages.
    examples : Mapping or None
        Their summary says how many recommendations a source changes.
    costs : Mapping
        Of the stages.

    Returns
    -------
    dict
        ``sources``: the outcome of each; ``recommended``: a stage; ``power``; and lists of
        sentences, each a key of the catalogues and its values: ``sentences``, ``numbers``,
        ``collect``, ``risks``.
    """
    sources = {}
    for name in ("text", "image", "all"):
        compared = stages[name]["gain"] if name in stages else None
        if name == "all" and compared is None:
            continue
        if compared is not None:
            result = outcome(compared)
        else:
            lacking = found[name]["how"] == NONE and found[name]["encoder"] != SLOW
            result = NO_DATA if lacking else NO_TIME
        sources[name] = {"outcome": result, **_changed(name, examples)}
    base = _base(measured)
    over_base = _over_base(sources, stages, measured, base)
    for name, compared in over_base.items():
        sources[name]["over_base"] = compared
    recommended = _recommended(sources, measured, base)
    decided: dict[str, Any] = {
        "sources": sources,
        "recommended": recommended,
        "base": base,
        "enough": health["test"]["users"] >= FEWEST_USERS,
        "power": {**health["power"], **_power(stages, health)},
    }
    decided["sentences"] = [*_sentences(decided, stages, found, health)]
    decided["numbers"] = [*_numbers(recommended, base, stages, costs, measured)]
    decided["collect"] = [*_collect(stages, found, health)]
    decided["risks"] = [*_risks(recommended, stages, found, health)]
    return decided


def _changed(name: str, examples: Mapping[str, Any] | None) -> dict[str, Any]:
    """How many recommendations a source changes, and those of which stage."""
    shown = examples or {}
    taken = (shown.get("summary") or {}).get("taken_away", {}).get(name)
    return {} if taken is None else {"changed": taken["replaced"], "changed_of": shown["stage"]}


def _base(measured: Measured) -> str:
    """The best that there is without texts and pictures, for which an interval speaks.

    What wins as it is wins, whether or not its training was finished; nothing is said of how much
    it would win by in the end.
    """
    best = "popular"
    for name in ("markov", "sasrec", "id"):
        if name in measured.ranks:
            compared = measured.compare(name, best)
            corrected = min(1.0, _TRIED * compared["p"])  # Bonferroni
            as_it_is = {**compared, "p_corrected": corrected, "other_unfinished": False}
            if outcome(as_it_is) == ON:
                best = name
    return best


def _over_base(
    sources: Mapping[str, Mapping[str, Any]],
    stages: Mapping[str, Any],
    measured: Measured,
    base: str,
) -> dict[str, dict[str, Any]]:
    """Hold what is to be switched on against the best stage without sources.

    Where that is what it was held against already, or where that has beaten it in turn, there is
    nothing to compare.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in ("text", "image", "all"):
        if sources.get(name, {}).get("outcome") != ON:
            continue
        other = stages[name]["against"]
        if other == base or (sources.get(other, {}).get("outcome") == ON and other not in found):
            continue
        compared = measured.compare(name, base)
        compared["p_corrected"] = min(1.0, _TRIED * compared["p"])  # Bonferroni
        found[name] = {**compared, "other": base, "outcome": outcome(compared)}
    return found


def _is_better(source: Mapping[str, Any]) -> bool:
    """Whether a source is to be switched on, and no stage without sources is as good."""
    return source["outcome"] == ON and source.get("over_base", source)["outcome"] == ON


def _recommended(sources: Mapping[str, Mapping[str, Any]], measured: Measured, base: str) -> str:
    better = [name for name, source in sources.items() if _is_better(source)]
    if not better:
        return base
    return "all" if "all" in better else max(better, key=measured.valid)


def _sentences(
    decided: Mapping[str, Any],
    stages: Mapping[str, Any],
    found: Mapping[str, Mapping[str, str]],
    health: Mapping[str, Any],
) -> Iterator[Sentence]:
    power = _power(stages, health)
    if not decided["enough"]:
        needed = {"needed": max(power["needed"], FEWEST_USERS)}
        yield _known("too_few", power["needed"]), {"users": power["users"], **needed}
    open_ones = {UNCLEAR, UNFINISHED, NO_TIME}
    sources = decided["sources"]
    outcomes = {of.get("over_base", of)["outcome"] for of in sources.values()}
    is_open = not decided["enough"] or (
        not any(map(_is_better, sources.values())) and bool(outcomes & open_ones)
    )
    yield "recommended_unsure" if is_open else "recommended_now", {"stage": decided["recommended"]}
    for name, of in sources.items():
        result = of["outcome"]
        if result == NO_DATA:
            yield "no_data", {"source": name, "reason": found[name]["encoder"]}
            continue
        if result == NO_TIME:
            yield "no_time", {"source": name}
            continue
        compared = stages[name]["gain"]
        values = {
            "source": name,
            "other": stages[name]["against"],
            "gain": compared["relative"],
            "low": compared["low"],
            "high": compared["high"],
            "needed": max(compared["users_needed"], FEWEST_USERS),
            "users": compared["n_users"],
            "worth": WORTH,
        }
        key = f"{'both' if name == 'all' else 'source'}_{result}"
        if result == ON and not _is_better(of):
            over = of["over_base"]
            shown = {"over": over["relative"], "over_low": over["low"], "over_high": over["high"]}
            how = over["outcome"] if over["outcome"] in (SMALL, UNFINISHED) else "not_best"
            yield f"{key}_{how}", {**values, **shown, "stage": name, "best": over["other"]}
            continue
        if result == ON and decided["recommended"] not in (name, "all"):
            yield f"{key}_instead", {**values, "stage": decided["recommended"]}
            continue
        if key == "source_unclear":
            needed, n = compared["users_needed"], compared["n_users"]
            enough = needed and max(needed, FEWEST_USERS) <= n
            key = f"{key}_enough" if enough else _known(key, needed)
        yield key, values
        if result == ON and of.get("changed_of") == decided["recommended"]:
            yield "changed", {"source": name, "share": of["changed"]}
        lacking = 1 - health["features"].get(name, {}).get("purchases", 1.0)
        if result in (NOT, UNCLEAR, SMALL) and lacking > LACKING:
            yield "because_coverage", {"source": name, "lacking": lacking}
    if decided["enough"] and UNFINISHED in outcomes and power["needed"] > power["users"]:
        yield "time_alone", {"users": power["users"], "needed": power["needed"]}


def _known(key: str, needed: int) -> str:
    """Choose a sentence that does not say how many users are needed, if it cannot be told."""
    return key if needed else f"{key}_unknown"


def _power(stages: Mapping[str, Any], health: Mapping[str, Any]) -> dict[str, Any]:
    """Users who were tested, and who are needed to see 5 %: by two models' spread, if known."""
    for name in ("text", "image", "id"):
        compared = stages.get(name, {}).get("gain")
        if compared and compared["users_needed"]:
            return {"users": compared["n_users"], "needed": compared["users_needed"]}
    return {"users": health["power"]["users"], "needed": health["power"]["needed"]}


def _numbers(
    recommended: str,
    base: str,
    stages: Mapping[str, Any],
    costs: Mapping[str, Any],
    measured: Measured,
) -> Iterator[Sentence]:
    yield (
        "number_hits_popular" if recommended == "popular" else "number_hits",
        {
            "hits": stages[recommended]["hit"],
            "popular": stages["popular"]["hit"],
            "stage": recommended,
        },
    )
    other = base if recommended != base else "popular"
    if recommended != other:
        compared = measured.gain(recommended, other)
        yield (
            "number_gain",
            {
                "gain": compared.relative,
                "low": compared.low,
                "high": compared.high,
                "stage": recommended,
                "other": other,
            },
        )
    else:
        yield "number_no_gain", {"stage": recommended}
    cost = costs.get(recommended, {})
    if "p99_ms" in cost:
        minutes = stages[recommended]["cpu_minutes"]
        p99 = math.ceil(cost["p99_ms"])
        yield "number_cost", {"minutes": minutes, "p99": p99, "size": cost["megabytes"]}
    elif stages[recommended]["cpu_minutes"]:
        yield "number_minutes", {"minutes": stages[recommended]["cpu_minutes"]}
    else:
        yield "number_free", {"stage": recommended}


def _collect(
    stages: Mapping[str, Any],
    found: Mapping[str, Mapping[str, str]],
    health: Mapping[str, Any],
) -> Iterator[Sentence]:
    power = _power(stages, health)
    if power["needed"] > power["users"]:
        factor = power["needed"] / max(power["users"], 1)
        yield (
            "collect_users",
            {
                "needed": power["needed"],
                "users": power["users"],
                "orders": int(factor * health["size"]["interactions"]),
            },
        )
    for name, of in found.items():
        if of["how"] == NONE:
            yield f"collect_{of['encoder']}", {"source": name}
        elif of["how"] == "fallback":
            yield "collect_encoder", {"source": name}
        covered = health["features"].get(name, {"coverage": 1.0})
        if covered["coverage"] < 0.9:
            items, purchases = 1 - covered["coverage"], 1 - covered["purchases"]
            yield "collect_coverage", {"source": name, "lacking": items, "purchases": purchases}
    if not health["time"]["real"]:
        yield "collect_time", {}
    texts, pictures = health["texts"], health["pictures"]
    if texts and texts["short"] + texts["empty"] > 0.05 * texts["items"]:
        share = (texts["short"] + texts["empty"]) / texts["items"]
        yield "collect_texts", {"share": share}
    if pictures and pictures["largest_group"] > max(2, 0.01 * pictures["items"]):
        yield "collect_placeholder", {"n": pictures["largest_group"]}


def _risks(
    recommended: str,
    stages: Mapping[str, Any],
    found: Mapping[str, Mapping[str, str]],
    health: Mapping[str, Any],
) -> Iterator[Sentence]:
    yield "risk_offline", {}
    if not health["time"]["split_by_time"]:
        yield "risk_leave_one_out", {}
    if max((of["seeds"] for of in stages.values() if of["epochs"]), default=0) == 1:
        yield "risk_one_seed", {}
    unfinished = [name for name, of in stages.items() if of["unfinished"]]
    if unfinished:
        yield "risk_budget", {"stages": unfinished}
    for name, of in found.items():
        if of["how"] == "ready" and of.get("untrained"):
            yield "risk_untrained", {"source": name, "encoder": of["encoder"]}
        elif of["how"] == "ready":
            yield "risk_ready", {"source": name, "encoder": of["encoder"]}
    if health["time"].get("same_moment", 0.0) > 0.1:
        yield "risk_same_moment", {"share": health["time"]["same_moment"]}
    read = health.get("import")
    if read and read["dropped"] > 0.05 * read["read"]:
        yield "risk_dropped", {"share": read["dropped"] / read["read"]}
    if health["test"]["repeats"] > 0.1:
        yield "risk_repeats", {"share": health["test"]["repeats"]}
    if health["test"]["new"] > 0.1:
        yield "risk_new", {"share": health["test"]["new"]}
