"""Words of a command line are data."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.settings import as_typed, literal, parse_command_line


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("True", True),
        ("false", False),
        ("None", None),
        ("~", None),
        ("SASRec", "SASRec"),
        ("[text, image]", ["text", "image"]),
        ("['text']", ["text"]),
        ("{'LS': 'test_only'}", {"LS": "test_only"}),
        ("{id: 1, text: 2}", {"id": 1, "text": 2}),
        ("a=b=c", "a=b=c"),
        ("[2024-13-45]", ["2024-13-45"]),
        ("[!!int x]", "[!!int x]"),
        ("[!!timestamp x]", "[!!timestamp x]"),
        ("[" * 700, "[" * 700),
        (f"[{'9' * 5000}]", f"[{'9' * 5000}]"),
        ("max", "max"),  # the name of a function is a word like any other
        ("__import__('os').system('touch run')", "__import__('os').system('touch run')"),
    ],
)
def test_values_are_read_as_they_are_typed(typed, read):
    assert literal(typed) == read and type(literal(typed)) is type(read)
    assert not Path("run").exists()


@given(st.text(max_size=30))
def test_whatever_is_typed_is_read(text):
    literal(text)


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_the_value_is_all_that_follows_the_first_equals_sign(value):
    assert parse_command_line([f"--key={value}"])[0]["key"] == literal(value)


def test_both_ways_to_write_an_option():
    settings, rest = parse_command_line(["--a=1", "--b", "2", "odd", "--c=x=y", "--flag"])
    assert settings == {"a": 1, "b": 2, "c": "x=y"}
    assert rest == ["odd", "--flag"]


def test_one_option_with_two_values_is_refused():
    assert parse_command_line(["--a=1", "--a", "1"])[0] == {"a": 1}
    with pytest.raises(UserError, match="--a is given twice, as 1 and as 2"):
        parse_command_line(["--a=1", "--a=2"])


@pytest.mark.parametrize(
    ("typed", "read"),
    [("007", "007"), ("1e5", "1e5"), ("'x'", "x"), ("None", None), ("~", None), (" ", " ")],
)
def test_what_can_only_be_a_text_stays_as_it_stands(typed, read):
    assert as_typed(typed) == read
