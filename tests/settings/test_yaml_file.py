"""YAML files of settings: plain data, every key once."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.settings import parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a: 1e-3", {"a": 1e-3}),  # RecBole reads it as a number, plain YAML does not
        ("a: 2024-13-45", {"a": "2024-13-45"}),
        ("a: [text, 1, ~, yes]", {"a": ["text", 1, None, True]}),
        ("b: &b {x: 1}\na: {<<: *b, y: 2}", {"b": {"x": 1}, "a": {"x": 1, "y": 2}}),
        ("# nothing", None),
    ],
)
def test_plain_data_is_read(text, read):
    assert parse_yaml(text) == read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: 'a' stands twice, first in line 1"),
        ("a: {b: 1, b: 2}", "line 1: 'b' stands twice"),
        ("\na: !!python/object/apply:os.getcwd []", "line 2: the tag .* is not read"),
        ("a: !!timestamp x", "the tag .* is not read"),
        ("a: !!int x", "'x' is no int"),
        ("a: [1", "no YAML"),
        ("[" * 1000, "nested too deeply"),
        ("a: &a [*a]", "nested too deeply"),
        ("a: " + "9" * 5000, "is no int"),
        ("\x00", "no YAML"),
        ("[a]: 1", "a key is no word"),
    ],
)
def test_everything_else_is_refused_with_its_line(text, said):
    with pytest.raises(UserError, match=said):
        parse_yaml(text)


@pytest.mark.parametrize("merge", ["[*{0}, *{0}]", "{{<<: [*{0}, *{0}]}}"])
def test_anchors_do_not_grow_without_end(merge):
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {merge.format(f'a{n - 1}')}" for n in range(1, 40)]
    with pytest.raises(UserError, match="too large"):
        parse_yaml("\n".join(lines))


@pytest.mark.parametrize("content", [b"- 1", b"1: 2", b"\xff\xfe", b"x" * 2**21])
def test_a_file_that_holds_no_settings_is_named(content):
    Path("bad.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.yaml"):
        read_yaml("bad.yaml")


def test_a_file_that_is_none_is_refused():
    Path("folder").mkdir()
    for name in ("folder", "absent.yaml", "a\0b"):
        with pytest.raises(UserError, match=r"config file|cannot be read"):
            read_yaml(name)


@settings(max_examples=200)
@given(st.text("a1:-.[]{}&*!<>'\"#~| \n\t\0", max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        parse_yaml(text)
    except UserError:
        pass
