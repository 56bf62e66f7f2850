"""What a report decides, and its page."""

import re
import shutil
from pathlib import Path

import pytest

from recbole_mmdistill.poc.language import LANGUAGES, Texts
from recbole_mmdistill.poc.page import render
from tests.poc.builders import report

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
BASE = {"popular": 0.05, "markov": 0.1}


@pytest.fixture
def made():
    Path("shop.inter").write_text(
        "user_id:token\titem_id:token\ttimestamp:float\n"
        + "".join(f"u{n // 4}\ti{n % 30}\t{n}\n" for n in range(120))
    )
    return lambda shares, **more: report({**BASE, "id": 0.2, **shares}, folder=Path(), **more)


def keys(report, kind="sentences"):
    return [key for key, _ in report["verdict"][kind]]


def test_a_source_that_helps_is_switched_on(made):
    found = made({"text": 0.3, "image": 0.2, "all": 0.3})
    assert found["verdict"]["recommended"] == "text"
    assert keys(found) == [
        *("recommended_now", "source_on", "source_not", "both_not"),
    ]
    gain = found["verdict"]["numbers"][1][1]
    assert (gain["stage"], gain["other"]) == ("text", "id")
    assert gain["low"] < 0.5 < gain["high"]


def test_both_are_recommended_where_both_together_are_best(made):
    found = made({"text": 0.3, "image": 0.3, "all": 0.4})
    assert found["verdict"]["recommended"] == "all"
    assert "both_on" in keys(found)


def test_what_beats_ids_but_no_simpler_stage_is_not_recommended(made):
    found = made({"popular": 0.05, "markov": 0.4, "text": 0.3, "image": 0.2, "all": 0.3})
    assert found["verdict"]["sources"]["text"]["outcome"] == "on"  # over IDs
    assert found["verdict"]["recommended"] == "markov"
    assert keys(found)[:2] == ["recommended_now", "source_on_not_best"]
    page = render(found, "en")
    assert "Leave texts for later" in page and "Switch on texts" not in page


def test_whether_it_beats_a_simpler_stage_may_be_open(made):
    found = made({"markov": 0.3, "text": 0.31, "image": 0.2, "all": 0.31})
    assert found["verdict"]["recommended"] == "markov"
    assert keys(found)[:2] == ["recommended_unsure", "source_on_not_best"]


def test_both_together_must_beat_ids_not_only_a_source_that_harms(made):
    found = made({"text": 0.1, "image": 0.05, "all": 0.15})
    assert found["verdict"]["sources"]["all"]["outcome"] == "on"  # over texts
    assert found["verdict"]["recommended"] == "id"
    assert "both_on_not_best" in keys(found) and "both_on" not in keys(found)


def test_both_together_may_beat_ids_where_neither_does_alone(made):
    found = made({"text": 0.2, "image": 0.2, "all": 0.4})
    assert found["verdict"]["recommended"] == "all"
    stage, other = (found["verdict"]["numbers"][1][1][name] for name in ("stage", "other"))
    assert (stage, other) == ("all", "id")


def test_without_a_gain_it_stays_with_the_best_of_the_rest(made):
    found = made({"text": 0.2, "image": 0.2, "all": 0.2})
    assert found["verdict"]["recommended"] == "id"
    assert keys(found)[0] == "recommended_now"


def test_that_each_was_trained_once_is_said_only_where_it_is_so(made):
    assert "risk_one_seed" in keys(made({"text": 0.3}, seeds=1), "risks")
    assert "risk_one_seed" not in keys(made({"sasrec": 0.1, "text": 0.3}, seeds=2), "risks")


def test_pictures_that_could_not_be_encoded_in_time_are_open(made):
    found = made({"text": 0.2}, image={"how": "none", "encoder": "slow_encoder"})
    assert found["verdict"]["sources"]["image"]["outcome"] == "no_time"
    assert keys(found)[0] == "recommended_unsure"
    assert "collect_slow_encoder" in keys(found, "collect")
    assert "takes longer than the budget allows" in render(found, "en")


def test_what_helps_only_without_the_other_is_left_for_later(made):
    """Texts and pictures both help, and say the same."""
    found = made({"text": 0.3, "image": 0.28, "all": 0.305}, n=3000)
    assert found["verdict"]["recommended"] == "text"
    assert keys(found)[:2] == ["recommended_now", "source_on"]
    assert "source_on_instead" in keys(found)
    page = render(found, "en")
    assert "Switch on texts" in page and "Switch on pictures" not in page
    assert "By themselves pictures help, too" in page


def test_over_a_training_that_was_cut_a_gain_is_not_called_unclear(made):
    found = made({"sasrec": 0.25, "text": 0.3}, n=9000, unfinished=["sasrec"])
    assert found["verdict"]["base"] == "sasrec"
    assert "source_on_unfinished" in keys(found) and "source_on_not_best" not in keys(found)
    assert "before “IDs + texts” could be held against “SASRec”" in render(found, "en")


def test_what_was_changed_by_a_source_is_said_of_the_recommended_stage_only(made):
    """The examples are of all sources together."""
    assert "changed" in keys(made({"text": 0.3, "image": 0.3, "all": 0.4}))
    assert "changed" not in keys(made({"text": 0.3, "image": 0.2, "all": 0.3}))


def test_enough_customers_for_a_gain_of_5_percent_may_be_too_few_for_less(made):
    found = made({"text": 0.203, "image": 0.2, "all": 0.203}, n=30_000)
    assert "source_unclear_enough" in keys(found)
    assert "Its 30,000 customers would show a gain of 5 %" in render(found, "en")


def test_rows_that_were_not_used_are_a_risk(made):
    found = made({"text": 0.3})
    found["health"]["import"] = {"read": 100, "dropped": 40, "file": "shop.import.json"}
    assert "100 rows of orders, 40 of them not used (why: shop.import.json)" in render(found, "en")


def test_what_carries_a_suggestion_is_said_in_shares(made):
    page = render(made({"text": 0.3}), "en")
    assert "75% texts, 25% the item&#39;s ID; after “Pot”" in page


def test_a_long_title_without_spaces_is_cut(made):
    found = made({"text": 0.3})
    found["examples"]["people"][0]["recommendations"][0]["because"] = "あ" * 50
    assert f"after “{'あ' * 39}…”" in render(found, "en")


def test_missing_pictures_are_a_reason(made):
    found = made({"text": 0.3, "image": 0.2, "all": 0.3}, coverage=0.5)
    assert "because_coverage" in keys(found)
    assert keys(found, "collect").count("collect_coverage") == 2


def test_how_many_are_needed_is_not_said_where_it_cannot_be_told(made):
    """Of two rankings that are the same nothing follows about others."""
    found = made({"text": 0.2}, n=99)
    assert "source_unclear_unknown" in keys(found)
    assert "about 100 would" not in render(found, "en")


def test_a_small_sample_decides_nothing(made):
    found = made({"text": 0.9, "image": 0.2, "all": 0.9}, n=99)
    assert keys(found)[:2] == ["too_few", "recommended_unsure"]
    assert found["verdict"]["recommended"] == "popular"


def test_an_unfinished_training_decides_nothing(made):
    found = made({"text": 0.9, "image": 0.2, "all": 0.9}, unfinished=["id"])
    assert keys(found)[:3] == ["recommended_unsure", "source_unfinished", "source_unfinished"]
    assert "risk_budget" in keys(found, "risks")


@pytest.mark.parametrize(("n", "said"), [(200, True), (100_000, False)])
def test_of_few_customers_a_larger_budget_alone_is_not_promised_to_tell(made, n, said):
    found = made({"text": 0.22, "image": 0.2, "all": 0.22}, n=n, unfinished=["id"])
    assert "source_unfinished" in keys(found)
    assert ("time_alone" in keys(found)) == said
    assert ("More time alone may not settle it" in render(found, "en")) == said


def test_an_unfinished_stage_that_wins_as_it_is_is_the_base(made):
    found = made({"text": 0.3, "image": 0.2, "all": 0.3}, unfinished=["id", "text", "image", "all"])
    assert found["verdict"]["base"] == "id" == found["verdict"]["recommended"]
    assert "IDs alone †</th>" in render(found, "en")
    assert keys(found)[0] == "recommended_unsure"


def test_a_gain_over_almost_nothing_is_not_written_out():
    assert Texts("en")("number_gain_figure", gain=3.4e9) == "> +1,000%"
    assert Texts("en")("number_gain_figure", gain=0.5) == "+50.0%"


def test_p_values_are_corrected_together(made):
    stages = made({"text": 0.3, "image": 0.21, "all": 0.3})["stages"]
    gains = [of["gain"] for of in stages.values() if of["gain"]]
    assert all(of["p_corrected"] >= of["p"] for of in gains)
    assert max(of["p_corrected"] / of["p"] for of in gains) == pytest.approx(len(gains))


def test_nothing_english_is_left_in_japanese_but_names(made):
    found = made({"text": 0.3})
    found["found"]["text"] = {"how": "fallback", "encoder": "TF-IDF and truncated SVD"}
    page = render(found, "ja")
    assert "TF-IDFと特異値分解" in page and "truncated" not in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_whole_and_fetches_nothing(made, language):
    page = render(made({"text": 0.3, "image": 0.2, "all": 0.3}), language)
    assert f'<html lang="{language}">' in page
    assert "<b>" not in page and "&lt;b&gt;Pot&lt;/b&gt;" in page
    assert not re.search(r"<link|<iframe|<script|@import|(src|href)=.http", page)
    assert "recbole-mm run --model=IDMMDistill" in page
    assert page.count("<h2") == 9


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [400, 1200])
def test_in_a_browser_the_verdict_comes_first_and_nothing_overflows(made, width):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    Path("index.html").write_text(render(made({"text": 0.3, "image": 0.2, "all": 0.3}), "en"))
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": width, "height": 900})
        errors = []
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.on("request", lambda request: errors.append(request.url[:40]))
        opened.goto(Path("index.html").absolute().as_uri())
        verdict = opened.locator(".verdict p").first
        assert verdict.inner_text() == "Recommended for now: IDs + texts."
        assert verdict.bounding_box()["y"] < 400
        assert opened.locator(".numbers strong").count() == 3
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        assert [error for error in errors if not error.startswith(("file:", "data:"))] == []
        browser.close()
