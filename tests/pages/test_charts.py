"""Charts: well-formed SVG in which every value has its place."""

import xml.etree.ElementTree as ElementTree

import pytest

from recbole_mmdistill.pages import bar, bar_chart, column_chart, line_chart

SVG = "{http://www.w3.org/2000/svg}"


def elements(chart, kind):
    return list(ElementTree.fromstring(chart).iter(SVG + kind))


def texts(chart):
    return [element.text for element in elements(chart, "text") if element.text]


def percentages(element, *names):
    return tuple(float(element.get(name).removesuffix("%")) for name in names)


def bars(chart):
    """Give where each bar begins and how long it is, in percent, without the tracks."""
    return [percentages(bar, "x", "width") for bar in elements(chart, "rect")[1::2]]


def test_a_bar_below_a_text():
    text, _, chart = bar(0.25, "<25%>").partition("<svg")
    assert text.strip() == "&lt;25%&gt;"
    assert 'x="0%" y="0" width="25.0%"' in chart


def test_bars_are_as_long_as_their_values():
    chart = bar_chart({"a": 0.5, "b": 1, "c": 0}, "shares")
    assert bars(chart) == [(0, 50), (0, 100), (0, 0)]
    assert texts(chart) == ["a", "0.5", "b", "1", "c", "0"]


def test_bars_of_negative_values_go_to_the_left():
    chart = bar_chart({"a": 3, "b": -1}, "parts", text="{:+d}".format)
    assert bars(chart) == [(25, 75), (0, 25)]
    assert texts(chart) == ["a", "+3", "b", "-1"]


def test_a_deviation_is_a_line_within_the_chart():
    chart = bar_chart({"a": 3, "b": 3}, "means", deviations={"b": 1})
    (line,) = elements(chart, "line")
    assert percentages(line, "x1", "x2") == (50, 100)


def test_columns_are_as_tall_as_their_values_and_never_invisible():
    chart = column_chart([0, 1, 1000], "sizes", ends=("0.1", "9"), texts=["none", "one", "all"])
    assert [float(rect.get("height")) for rect in elements(chart, "rect")] == [0, 1, 96]
    assert [rect[0].text for rect in elements(chart, "rect")] == ["none", "one", "all"]
    assert texts(chart) == ["0.1", "9"]


def test_lines_go_through_their_points():
    chart = line_chart({"m": ([0, 1, 2], [0.1, 0.3, 0.2])}, "curves", x_label="x", y_label="y")
    line, dots = elements(chart, "path")
    assert line.get("d") == "M0.0000 1.0000L0.5000 0.0000L1.0000 0.5000"
    assert dots.get("d").count("h0") == 3
    assert {"x", "y", "m", "0", "0.5", "2", "0.1", "0.2", "0.3"} <= {*texts(chart)}


def test_points_that_cannot_be_drawn_are_left_out():
    points = ([0, 10, 100, 1000], [1, 2, float("nan"), 3])
    line, _ = elements(line_chart({"m": points}, "curves", logarithmic=True), "path")
    assert line.get("d").startswith("M0.0000 ") and line.get("d").count("L") == 1


@pytest.mark.parametrize("points", [([], []), ([1], [5]), ([1, 2], [5, 5]), ([1, 1], [5, 6])])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_few_points_are_no_error(points, logarithmic):
    assert "curves" in line_chart({"m": points}, "curves", logarithmic=logarithmic)


@pytest.mark.parametrize("draw", [bar_chart, column_chart, line_chart])
def test_an_empty_chart_is_no_error(draw):
    assert ElementTree.fromstring(draw({}, "nothing")).get("aria-label") == "nothing"


def test_names_are_escaped_and_long_ones_cut():
    name = "<b>" + "x" * 60
    for chart in (bar_chart({name: 1}, name), line_chart({name: ([1, 2], [1, 2])}, name)):
        assert "<b>" not in chart
        assert any(text.startswith("<b>x") and text.endswith("…") for text in texts(chart))
        assert any(title.text == name for title in elements(chart, "title"))
