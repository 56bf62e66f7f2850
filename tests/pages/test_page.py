"""What every page has: texts stay texts, and only the page's own script runs."""

import json
import re

import pytest
from jinja2 import UndefinedError
from markupsafe import escape

from recbole_mmdistill.pages import Picture, environment, render

HOSTILE = "</title></script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
PAGE = """
{% extends "pages/base.html.j2" %}
{% import "pages/parts.html.j2" as parts %}
{% block lead %}{{ parts.contents([("id", text)]) }}{{ parts.notice(text, [text]) }}{% endblock %}
{% block main %}
{% call parts.section("id", text) %}
{{ parts.table([text, text], [[text, text]], text) }}
{% call parts.card(text) %}{{ parts.facts([(text, text)]) }}{% endcall %}
{% call parts.figure(text) %}{{ text }}{% endcall %}
{{ parts.items([(text, text, text)]) }}
{% endcall %}
{% endblock %}
"""


def page(source=PAGE, **content):
    return environment().from_string(source).render(title="A page", **content)


def test_texts_never_become_markup():
    shown = page(text=HOSTILE, script_data=HOSTILE)
    assert shown.count("<script") == 1  # which holds the data
    assert "<img" not in shown
    assert shown.count(str(escape(HOSTILE))) == 18


def test_data_for_a_script_come_back_as_they_were():
    shown = page(text="", script_data={"title": HOSTILE})
    (data,) = re.findall('<script type="application/json" id="data">(.*)</script>', shown)
    assert json.loads(data) == {"title": HOSTILE}


def test_no_line_ends_within_an_option():
    shown = page("{{ text | whole_options }}", text="Give <a> larger --budget (--time), a--b.")
    whole = '<span class="whole">{}</span>'.format
    assert shown == f"Give &lt;a&gt; larger {whole('--budget')} ({whole('--time')}), a--b."


def test_a_page_fetches_nothing():
    shown = page(text="x")
    assert not re.search(r"<link|<iframe|@import|url\(|https?:|src=", shown)
    assert "default-src 'none'" in shown and "connect-src 'none'" in shown


def test_its_own_script_is_allowed_by_its_digest():
    shown = page(PAGE + "{% block script %}let x = 1;{% endblock %}", text="")
    assert "<script>let x = 1;</script>" in shown
    assert "sha256-qtc3jf64UXA5J6U02kfQ0Cvn9Uz4wXUaN3NNUVgR2v4=" in shown.replace("&#43;", "+")


def test_the_language_of_the_page():
    assert '<html lang="en">' in page(text="")
    assert '<html lang="de">' in page(text="", lang="de")


def test_a_name_that_is_not_given_is_an_error():
    with pytest.raises(UndefinedError, match="'title' is undefined"):
        render("pages/base.html.j2")


def test_a_table_says_which_rows_stand_out_and_which_columns_are_texts():
    source = '{% import "pages/parts.html.j2" as parts %}{{ parts.table(c, r, "", [1], [1]) }}'
    shown = page(source, c=["model", "kind"], r=[["a", "x"], ["b", "y"]])
    assert '<th scope="col">model</th><th scope="col" class="left">kind</th>' in shown
    assert '<tr><th scope="row">a</th><td class="left">x</td></tr>' in shown
    assert '<tr class="emphasised"><th scope="row">b</th>' in shown
    assert "<figcaption>" not in shown


def test_items_have_a_picture_or_say_why_not_or_neither():
    source = '{% import "pages/parts.html.j2" as parts %}{{ parts.items(entries) }}'
    image = Picture("data:image/jpeg;base64,AA==", 64, 96)
    shown = page(
        source, entries=[(image, "Heat", "0.9"), ("no picture", "Alien", ""), ("", "M", "")]
    )
    assert 'src="data:image/jpeg;base64,AA==" width="64" height="96" alt="Heat"' in shown
    assert '<span class="lacking" title="no picture">no picture</span>' in shown
    assert shown.count('class="picture"') == 2
    assert shown.count("<li>") == 3
