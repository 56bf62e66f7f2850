"""The catalogues of texts say the same in each language."""

import string

import pytest

from recbole_mmdistill.poc import verdict
from recbole_mmdistill.poc.language import LANGUAGES, Texts, catalogue


def placeholders(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_keys_and_values_are_those_of_english(language):
    english, other = catalogue("en"), catalogue(language)
    assert {*other} == {*english}
    assert {key: placeholders(other[key]) for key in other if placeholders(other[key])} == {
        key: placeholders(english[key]) for key in english if placeholders(english[key])
    }


def test_japanese_is_japanese():
    english, japanese = catalogue("en"), catalogue("ja")
    same = {key for key in english if english[key] == japanese[key]}
    assert same <= {"column_ndcg", "column_p", "name_sasrec"} | {
        key for key in english if key.endswith("_figure") or english[key].startswith("{")
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_rule_is_stated(language):
    for number, rule in enumerate(verdict.RULES, 1):
        assert f"rule_{number}_{rule.outcome}" in catalogue(language)
        for kind in ("source", "both"):
            assert f"{kind}_{rule.outcome}" in catalogue(language)


def test_names_of_sources_and_stages_are_translated():
    assert Texts("en")("half_missing", source="text") == "half of the texts missing"
    assert Texts("ja")("half_missing", source="text") == "文章が半分ない"
    assert Texts("en")("left_out", stages=["sasrec", "all"]) == (
        "No time for the stages: SASRec, IDs + texts + pictures."
    )
