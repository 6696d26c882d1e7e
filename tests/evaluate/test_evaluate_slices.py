"""Slices: every example in one part of each cut, the metric of the part, and the worst mistakes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju.errors import DataError
from liju.evaluate import (
    Average,
    accuracy,
    accuracy_measure,
    f1,
    f1_measure,
    groups_of,
    length_buckets,
    mean_measure,
    slices,
    spearman_measure,
    worst,
)


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=40), st.integers(1, 6))
def test_every_text_lies_within_its_bucket(lengths, most):
    names = length_buckets(["x" * n for n in lengths], most)
    assert len(set(names)) <= most
    for length, name in zip(lengths, names, strict=True):
        low, _, high = name.partition("-")
        assert int(low) <= length <= int(high or low)


def test_buckets_are_about_equally_large_and_their_bounds_can_be_read():
    names = length_buckets(["x" * n for n in range(1, 1001)])
    sizes = {name: names.count(name) for name in dict.fromkeys(names)}
    assert list(sizes) == ["1-250", "251-500", "501-750", "751-1000"]
    assert set(sizes.values()) == {250}
    assert length_buckets(["same"] * 5) == ["4"] * 5 and length_buckets([]) == []


def test_what_examples_can_be_cut_by():
    examples = [
        {"text": "很好", "label": "pos"},
        {"text": "very good indeed, I like it", "label": "pos"},
        {"text": "bad", "label": "neg", "language": "de"},
    ]
    groups = groups_of(examples)
    assert groups["label"] == ["pos", "pos", "neg"] and groups["language"] == ["zh", "en", "de"]
    assert list(groups) == ["length", "label", "language"]
    # A cut into one part is none.
    assert groups_of([{"source": "a"}, {"source": "b"}]) == {}
    assert groups_of([]) == {}
    assert groups_of([{"question": "a", "context": "x" * 50}, {"question": "b", "context": "x"}])["length"]


def test_a_slice_has_the_metric_of_its_examples():
    answers, expected = list("aabbabab"), list("abababaa")
    parts = ["x", "y", "x", "x", "y", "z", "x", "y"]
    for measure_of, metric in ((accuracy_measure, accuracy), (f1_measure, f1)):
        found = slices(measure_of(answers, expected), {"part": parts}, resamples=50)
        assert [one.name for one in found] == ["x", "y", "z"]
        assert sum(one.count for one in found) == len(parts)
        for one in found:
            own = [at for at, name in enumerate(parts) if name == one.name]
            assert one.value == pytest.approx(metric([answers[i] for i in own], [expected[i] for i in own]))
            assert one.interval is None if one.count == 1 else one.interval.low <= one.interval.high


def test_lengths_stand_in_order_and_the_rest_by_size():
    names = ["21-90"] * 3 + ["1-20"] + ["91-200"] * 2
    found = slices(mean_measure([1.0] * 6), {"length": names, "label": ["a"] + ["b"] * 5}, resamples=9)
    assert [one.name for one in found] == ["1-20", "21-90", "91-200", "b", "a"]
    many = slices(mean_measure([1.0] * 70), {"label": [f"l{at}" for at in range(70)]})
    assert len(many) == 30


def test_what_has_no_value_has_none():
    found = slices(spearman_measure([1, 1, 2, 3], [1, 2, 3, 4]), {"part": ["flat", "flat", "up", "up"]})
    flat, up = found
    assert math.isnan(flat.value) and flat.interval is None
    assert up.value == 1.0
    with pytest.raises(DataError, match="3 names of part for 4 examples"):
        slices(mean_measure([1.0] * 4), {"part": ["a", "b", "c"]})
    with pytest.raises(DataError, match="0 buckets"):
        length_buckets(["a"], 0)


def test_seeds_are_averaged_on_the_same_examples():
    one, other = mean_measure([1.0, 0, 0, 1]), mean_measure([1.0, 1, 0, 1])
    both = Average([one, other])
    assert both.value == 0.625 and both.take([1]).value == 0.5
    assert both.joined(both).value == 0.625
    with pytest.raises(DataError, match="measures of 4, 2 examples"):
        Average([one, mean_measure([1.0, 0])])
    with pytest.raises(DataError, match="measures of no examples"):
        Average([])
    with pytest.raises(DataError, match="2 systems beside 1"):
        both.joined(one)


def test_the_worst_come_first_and_what_is_unknown_not_at_all():
    assert worst([0.3, math.nan, -2.0, 0.1, 0.1]) == [2, 3, 4, 0]
    assert worst([]) == []
