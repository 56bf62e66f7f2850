"""Whatever an option is given, there is an answer: it is taken or refused in a sentence."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.settings import check_settings, literal, options_of
from recbole_mmdistill.settings.check import wrong_value

NUMBERS = st.one_of(st.integers(), st.floats(), st.just(2**70))
WORDS = st.one_of(
    st.text(max_size=8),
    st.text(st.characters(), max_size=4),
    st.sampled_from(["RS", "LS", "full", "uni5", "[5,inf)", "*", "None", "id", "mean", "../x"]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, st.binary(max_size=3))
KEYS = st.one_of(
    WORDS,
    st.sampled_from(["split", "order", "mode", "valid", "distribution", "max_norm", "inter"]),
    st.integers(),
    st.none(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
OPTIONS = {
    **options_of("KD_DAGFM"),
    **options_of("S3Rec"),
    **options_of("IDMMDistill", "ml-100k"),
}


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(OPTIONS)), VALUES)
def test_any_value_of_any_option_is_right_or_said_to_be_wrong(name, value):
    for sentence in wrong_value(OPTIONS[name], value):
        assert name in sentence and "\n" not in sentence
        sentence.encode()


@pytest.mark.parametrize("value", [1e999, "\udcff", -(2**70), ["x\0"], {"a": b"x"}, [[[]] * 3] * 9])
def test_what_no_option_can_be_is_refused(value):
    for option in OPTIONS.values():
        free = value == [[[]] * 3] * 9 and "list" in option.kind.types
        assert free or list(wrong_value(option, value)), option


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.one_of(KEYS, st.sampled_from(sorted(OPTIONS))), VALUES, max_size=4))
def test_any_settings_are_taken_or_refused(given_settings):
    try:
        check_settings("IDMMDistill", "shop", [("plan.yaml", given_settings)])
    except UserError as error:
        assert "\n" not in str(error)


@settings(max_examples=100, deadline=None)
@given(WORDS, WORDS)
def test_any_name_is_known_or_refused(model, dataset):
    with pytest.raises(UserError):
        check_settings(model, dataset, [])
    assert list(Path().iterdir()) == []


@settings(max_examples=150)
@given(st.text("[]{}()'\",:-!~019eE.xj ", max_size=30))
def test_any_word_is_read_as_data(text):
    literal(text)
