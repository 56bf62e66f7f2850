# ruff: noqa: RUF001  (letters that look like others are what is tested)
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_mmdistill.errors import UserError
from recbole_mmdistill.features.extraction import Template, clean

# clean


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("Q&amp;A", "Q&A"),
        ("AT&T", "AT&T"),
        ("a&b;c", "a&b;c"),
        ("caf&eacute; &#233; &#xe9;", "café é é"),
        ("&nbsp;a&nbsp;", "a"),
        ("Q&amp;amp;amp;A", "Q&A"),
        ("Q&amp;amp;amp;amp;A", "Q&amp;A"),
        ("&#x110000;&#0;a", "\ufffd\ufffda"),
        (f"&#{'9' * 5000};a", "\ufffda"),
    ],
)
def test_entities(raw, plain):
    assert clean(raw) == plain


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("<b>Bold</b>ly", "Boldly"),
        ("<B >Bold</B>ly", "Boldly"),
        ("x<sup>2</sup>", "x2"),
        ("one<br>two<br/>three", "one two three"),
        ("<p class='x'>one</p><p>two</p>", "one two"),
        ('<img src="x.png" alt="y"/>one', "one"),
        ("<a\nhref='x?y=1&z=2'>one</a>", "one"),
        ("<o:p></o:p><h1>one</h1>", "one"),
        ("<!DOCTYPE html><?xml version='1.0'?>one", "one"),
        ("&lt;i&gt;Psycho&lt;/i&gt;", "Psycho"),
        ("&amp;lt;i&amp;gt;Psycho&amp;lt;/i&amp;gt;", "Psycho"),
        ("<b>never closed", "never closed"),
        ("<br>", ""),
    ],
)
def test_tags(raw, plain):
    assert clean(raw) == plain


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("a<script>if (a<b && c>d) {}</script>b", "a b"),
        ("a<STYLE type='text/css'>\np {}\n</style >b", "a b"),
        ("a<!-- <b>\n -->b", "a b"),
        ("a<!-- x -->b<!-- y -->c", "a b c"),
        ("<script>x</script>a<style>y</style>b<script>z</script>", "a b"),
        ("<script>a", "a"),
        ("<!-- a", "<!-- a"),
    ],
)
def test_code_and_comments(raw, plain):
    assert clean(raw) == plain


@pytest.mark.parametrize(
    "text",
    [
        "a < b",
        "a<b",
        "I <3 you",
        "x<y and y>z",
        "1 < 2 > 0",
        "<Map of the Soul>",
        "cut off <a href=",
        "<someone@example.org>",
        "->-<-",
        "{title} [x] 100%",
    ],
)
def test_what_is_no_markup_stays(text):
    assert clean(text) == text


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("Ｆｕｌｌ　ｗｉｄｔｈ！", "Full width!"),
        ("ｶﾞﾝﾀﾞﾑ", "ガンダム"),
        ("ﬁne ﬂour", "fine flour"),
        ("𝐁𝐨𝐥𝐝 𝓢𝓬𝓻𝓲𝓹𝓽", "Bold Script"),
        ("cafe\u0301", "café"),
        ("cafe\u00ad\u0301", "café"),
        ("Ⅳ™ x²…", "IVTM x2..."),
    ],
)
def test_unicode_is_normalised(raw, plain):
    assert clean(raw) == plain


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("a\u200bb\u00adc\ufeffd\u2060e", "abcde"),
        ("\ufeffa", "a"),
        ("a\x00b\x1bc\x7fd\x85e", "a b c d e"),
        ("  a \t\r\n b\u00a0\u2003\u2028c ", "a b c"),
        ("a\ud800b\udfffc", "a b c"),
        ("\u200b \x00", ""),
    ],
)
def test_what_cannot_be_seen(raw, plain):
    assert clean(raw) == plain


@pytest.mark.parametrize(
    "text",
    [
        "👨\u200d👩\u200d👧 ❤\ufe0f 🏴\U000e0067\U000e007f",
        "می\u200cخواهم",
        "שלום עולם 7",
        "क्\u200dष",
        "東京物語",
    ],
)
def test_scripts_and_emoji_stay(text):
    assert clean(text) == text


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("Usual Suspects, The (1995)", "The Usual Suspects (1995)"),
        ("Usual Suspects, The", "The Usual Suspects"),
        ("Bug's Life, A (1998)", "A Bug's Life (1998)"),
        ("American in Paris, An (1951)", "An American in Paris (1951)"),
        ("Good, the Bad and the Ugly, The (1966)", "The Good, the Bad and the Ugly (1966)"),
        ("Avventura, L' (Adventure, The) (1960)", "L'Avventura (Adventure, The) (1960)"),
        ("Mariachi, El (1992)", "El Mariachi (1992)"),
        ("Boot, Das (1981)", "Das Boot (1981)"),
        ("Love, Theoretically", "Love, Theoretically"),
        ("Wait, The Bus Comes", "Wait, The Bus Comes"),
        (", The", ", The"),
        ("one , The", "one , The"),
        ("one, the", "one, the"),
    ],
)
def test_an_inverted_article_is_put_first(raw, plain):
    assert clean(raw) == plain


PIECES = ["<", ">", "</", "b", "<br>", "&", "amp;", "#60;", "<!--", "-->", "script", "=", ", The"]
RAW = st.one_of(
    st.text(st.characters()),  # lone surrogates among them
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(st.characters(), max_size=2))).map("".join),
)


@given(RAW)
def test_any_text_becomes_one_normalised_line_that_utf8_can_hold(raw):
    text = clean(raw)
    text.encode("utf-8")
    assert text == " ".join(text.split())
    assert unicodedata.is_normalized("NFKC", text)
    assert all(c.isprintable() or unicodedata.category(c) == "Cf" for c in text)


@given(RAW)
def test_cleaned_twice_it_is_the_same_unless_it_looks_like_raw_text_again(raw):
    text = clean(raw)
    if not any(sign in text for sign in ("&", "<", ", ")):
        assert clean(text) == text


@pytest.mark.parametrize(
    "raw",
    [
        "<" * 200_000,
        "<a " * 100_000,
        "<a " + "=" * 200_000,
        "<a" + " " * 200_000,
        "</" * 100_000,
        "<script" * 50_000,
        "<script>" * 50_000,
        "<script><style>" * 25_000,
        "<script>" + "</script " * 50_000,
        "<!--" * 50_000,
        "<!-->" * 50_000,
        "&" * 1_000_000,
        "&" + "amp;" * 100_000,
        "&#" + "9" * 1_000_000,
        "&#x" + "9" * 100_000,
        "a, " * 100_000,
        "a, The" * 100_000,
        " " * 1_000_000,
    ],
    ids=lambda raw: repr(raw[:16]),
)
def test_no_text_takes_long(raw):
    before = time.process_time()
    clean(raw)
    assert time.process_time() - before < 2


# Template

HEAT = {"title": "Heat", "year": "1995", "genres": "Crime Drama"}


def test_fields_are_joined_by_full_stops():
    template = Template.of_fields("title, year,genres")
    assert template.fields == ("title", "year", "genres")
    assert template.fill(HEAT) == "Heat. 1995. Crime Drama"
    assert template.fill({**HEAT, "year": ""}) == "Heat. Crime Drama"
    assert template.fill(dict.fromkeys(HEAT, "")) == ""


def test_a_field_named_twice_is_read_once():
    assert Template.of_fields("title,title").fields == ("title",)
    template = Template.of_text("{title}, {year}, {title}")
    assert template.fields == ("title", "year")
    assert template.fill(HEAT) == "Heat, 1995, Heat"


@pytest.mark.parametrize("given", ["", "title,,year", "title year", "title:token", "{title}"])
def test_what_is_no_list_of_fields(given):
    with pytest.raises(UserError, match=r"--fields is .* is no name of a field"):
        Template.of_fields(given)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "Film: Heat (1995). Crime Drama"),
        ({"year": ""}, "Film: Heat. Crime Drama"),
        ({"genres": ""}, "Film: Heat (1995)"),
        ({"year": "", "genres": ""}, "Film: Heat"),
        ({"title": ""}, "Film: (1995). Crime Drama"),
        ({"title": "", "year": "", "genres": ""}, ""),
    ],
)
def test_a_section_is_left_out_where_a_field_is_empty(values, expected):
    template = Template.of_text("Film: {title}[ ({year})][. {genres}]")
    assert template.fill({**HEAT, **values}) == expected


def test_a_section_of_two_fields_needs_both():
    template = Template.of_text("{title}[ ({year}, {genres})]")
    assert template.fill(HEAT) == "Heat (1995, Crime Drama)"
    assert template.fill({**HEAT, "genres": ""}) == "Heat"


@pytest.mark.parametrize(
    "value", ["{year}", "[x]", "]", "{", "{0}", "{year.__class__}", r"\1 \g<0>", "%s"]
)
@pytest.mark.parametrize("text", ["{title} {year}", "{title}[ {year}]"])
def test_nothing_in_a_value_has_a_meaning(value, text):
    assert Template.of_text(text).fill({**HEAT, "title": value}) == f"{value} 1995"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no field",
        "{}",
        "{0.__class__}",
        "{title.__class__}",
        "{title} {year.__class__}",
        "{title[0]}",
        "{title!r}",
        "{title} {year:>9}",
        "{{title}}",
        "{title}[ ({year})",
        "{title} ({year})]",
        "]{title}[",
        "[{title}[ {year}]]",
        "{title} }",
        "{ti[tl]e}",
    ],
)
def test_what_is_no_template(text):
    with pytest.raises(UserError, match=r"--template is .* close its brackets"):
        Template.of_text(text)


def test_it_says_how_it_joins():
    assert str(Template.of_fields("title")) == "fields joined by '. '"
    assert str(Template.of_text("{title}!")) == "template '{title}!'"
