"""Plots are well-formed SVG, draw gaps as gaps, and stay within their frame."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.errors import DataError
from liju.evaluate import (
    Bar,
    Series,
    bar_chart,
    calibration,
    calibration_plot,
    confusion_plot,
    line_plot,
    standalone,
)
from liju.evaluate.plot import HEIGHT, WIDTH, ticks, whisker

anything = st.floats(allow_nan=True, allow_infinity=True, width=32)


def inside(plot: str) -> None:
    """Well-formed, no NaN coordinate, every mark within the frame."""
    tree = ElementTree.fromstring(plot)
    width, height = (float(part) for part in tree.attrib["viewBox"].split()[2:])
    for element in tree.iter():
        for name, value in element.attrib.items():
            if name in ("x", "x1", "x2", "cx"):
                assert -1 <= float(value) <= width + 1
            if name in ("y", "y1", "y2", "cy"):
                assert -1 <= float(value) <= height + 1
            if name == "points":
                for point in value.split():
                    x, y = map(float, point.split(","))
                    assert 0 <= x <= width and 0 <= y <= height


@settings(deadline=None)
@given(st.lists(st.tuples(anything, anything), max_size=8))
def test_any_numbers_can_be_drawn(points):
    inside(line_plot([Series("<a>", [x for x, _ in points], [y for _, y in points])], "t & t", "<x>", "y"))


@settings(deadline=None)
@given(st.lists(st.tuples(anything, anything), max_size=4))
def test_any_bars_can_be_drawn(bars):
    inside(bar_chart([Bar(f"<{at}>", value, abs(wide)) for at, (value, wide) in enumerate(bars)], "<t>"))


def test_no_point_says_so_and_one_point_is_a_dot():
    assert "no values" in line_plot([], "empty")
    assert "no values" in line_plot([Series("a", [1.0], [math.nan])], "empty")
    one = line_plot([Series("a", [3.0], [5.0])], "one")
    assert "<polyline" not in one and 'r="2.6"' in one and "a, x 3: 5" in one


def test_a_nan_is_a_gap_and_not_a_zero():
    plot = line_plot([Series("a", [0, 1, 2, 3, 4], [5.0, 6.0, math.nan, 5.0, 6.0])], "gap")
    assert plot.count("<polyline") == 2
    assert ": 0" not in plot


def test_a_thinned_line_keeps_its_spike_and_stays_small():
    values = [1.0] * 50_000
    values[31_234] = 9.0
    plot = line_plot([Series("a", range(50_000), values)], "spike")
    heights = [float(point.split(",")[1]) for point in re.search(r'points="([^"]+)"', plot)[1].split()]  # type: ignore[index]
    assert len(heights) <= WIDTH * 1.1 and len(plot) < 30_000
    assert min(heights) < HEIGHT * 0.3


def test_axes_go_up_and_to_the_right():
    plot = line_plot([Series("a", [0, 10], [0.0, 1.0])], "up")
    (x0, y0), (x1, y1) = (
        tuple(map(float, point.split(",")))
        for point in re.search(r'points="([^"]+)"', plot)[1].split()  # type: ignore[index]
    )
    assert x1 > x0 and y1 < y0


@settings(deadline=None)
@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_within_and_few(low, wide):
    found = ticks(low, low + wide)
    assert 1 <= len(found) <= 12 or low + wide == low
    assert all(low - 1e-6 * wide <= at <= low + wide * (1 + 1e-6) for at in found) or wide < 1e-6 * abs(low)


def test_confusion_shows_every_count_for_few_labels_and_titles_for_many():
    inside(confusion_plot(["消极", "积极"], [[7, 3], [2, 5]], "answers"))
    labels = [f"label-{at}" for at in range(40)]
    plot = confusion_plot(labels, [[at + across for across in range(40)] for at in range(40)], "many")
    inside(plot)
    assert "expected label-39, answered label-1: 40 of" in plot
    with pytest.raises(DataError):
        confusion_plot(["a"], [[1, 2]], "torn")


def test_series_of_different_lengths_are_told():
    with pytest.raises(DataError, match="series 'a' has 2 x for 1 y"):
        line_plot([Series("a", [1, 2], [1.0])], "torn")


def test_standalone_is_a_whole_file():
    plot = standalone(line_plot([Series("a", [1, 2], [1.0, 2.0])], "file"))
    assert ElementTree.fromstring(plot).tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme" in plot


@settings(deadline=None)
@given(anything, anything, anything, st.tuples(anything, anything), anything)
def test_any_interval_can_be_drawn(value, low, high, reach, whole):
    if all(map(math.isfinite, reach)):
        inside(whisker(value, low, high, reach, whole, "<a>"))


def test_a_whisker_may_be_an_interval_and_stands_where_it_says():
    found = re.search(r'd="M([\d.]+) 9.0H([\d.]+)"', whisker(0.5, 0.25, 0.75, (0, 1)))
    assert found is not None
    ends = [float(part) for part in found.groups()]
    assert ends == [40, 110]
    assert "whisker" in bar_chart([Bar("a", 5.0, low=4.0, high=7.0)], "t")
    assert "whisker" not in bar_chart([Bar("a", 5.0)], "t")
    inside(bar_chart([Bar("a", 83.0, low=88.0, high=95.0)], "an interval beside its bar"))


def test_calibration_is_drawn():
    found = calibration([0.55, 0.95, 0.95, 0.0], [True, True, False, False], bins=10)
    plot = calibration_plot(found.bins, "<calibration>")
    inside(plot)
    assert "sure 95 %, right 50 % of 2" in plot and "4 answers" in plot
    inside(calibration_plot([], "none"))
