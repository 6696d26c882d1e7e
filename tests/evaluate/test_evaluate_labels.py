"""Metrics of labels and of numbers against scikit-learn and scipy, on any labels that hypothesis finds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju.errors import DataError
from liju.evaluate import (
    accuracy,
    confusion,
    f1,
    label_scores,
    matthews,
    multilabel_f1,
    pearson,
    spearman,
    subset_accuracy,
)

labelled = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=30)
sets = st.frozensets(st.sampled_from("abc"), max_size=3)
points = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=20)


@given(labelled)
def test_f1_of_labels_is_scikit_learns(pairs):
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    answers, expected = [a for a, _ in pairs], [b for _, b in pairs]
    for average in ("macro", "micro", "weighted"):
        theirs = f1_score(expected, answers, average=average, zero_division=0)
        assert f1(answers, expected, average) == pytest.approx(theirs, abs=1e-12)
    rows = zip(*precision_recall_fscore_support(expected, answers, zero_division=0), strict=True)
    for ours, theirs in zip(label_scores(answers, expected), rows, strict=True):
        assert (ours.precision, ours.recall, ours.f1, ours.support) == pytest.approx(theirs, abs=1e-12)


@given(labelled)
def test_matthews_is_scikit_learns(pairs):
    from sklearn.metrics import matthews_corrcoef

    answers, expected = [a for a, _ in pairs], [b for _, b in pairs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one label alone: 0, there with a warning
        theirs = matthews_corrcoef(expected, answers)
    assert matthews(answers, expected) == pytest.approx(theirs, abs=1e-9)


@given(st.lists(st.tuples(sets, sets), min_size=1, max_size=20))
def test_f1_of_sets_of_labels_is_scikit_learns(pairs):
    from sklearn.metrics import f1_score
    from sklearn.preprocessing import MultiLabelBinarizer

    answers, expected = [a for a, _ in pairs], [b for _, b in pairs]
    labels = sorted(set().union(*answers, *expected))
    if not labels:
        assert multilabel_f1(answers, expected) == 0
        assert multilabel_f1(answers, expected, "samples") == 1
        return
    table = MultiLabelBinarizer(classes=labels)
    want, got = table.fit_transform(expected), table.transform(answers)
    assert subset_accuracy(answers, expected) == np.mean([a == b for a, b in pairs])
    if len(labels) == 1:
        return  # scikit-learn takes one column for one label an example
    for average in ("macro", "micro", "weighted"):
        theirs = f1_score(want, got, average=average, zero_division=0)
        assert multilabel_f1(answers, expected, average) == pytest.approx(theirs, abs=1e-9)
    theirs = f1_score(want, got, average="samples", zero_division=1)
    assert multilabel_f1(answers, expected, "samples") == pytest.approx(theirs, abs=1e-9)


@given(points)
def test_correlations_are_scipys(pairs):
    from scipy.stats import pearsonr, spearmanr

    x, y = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert np.isnan(pearson(x, y)) and np.isnan(spearman(x, y))
        return
    assert pearson(x, y) == pytest.approx(pearsonr(x, y).statistic, abs=1e-9)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-9)


def test_a_constant_that_is_not_exact_in_binary_has_no_correlation():
    assert np.isnan(pearson([0.1] * 7, [1.0, 2, 3, 4, 5, 6, 7]))
    assert pearson([1e9, 1e9 + 1, 1e9 + 2], [1.0, 2, 3]) == pytest.approx(1)


def test_spearman_sees_the_order_alone_and_pearson_does_not():
    x = [1.0, 2, 3, 4, 5]
    assert spearman(x, np.exp(x).tolist()) == 1.0
    assert pearson(x, np.exp(x).tolist()) < 0.95


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_named(bad):
    with pytest.raises(DataError, match="answer 2 is"):
        pearson([1.0, bad], [1.0, 2.0])
    with pytest.raises(DataError, match="expected value 1 is"):
        spearman([1.0, 2.0], [bad, 2.0])
    with pytest.raises(DataError, match="not a number"):
        spearman(["good", "bad"], [1.0, 2.0])  # type: ignore[list-item]


def test_the_commonest_mistakes_come_first():
    table = confusion(["b", "b", "c", "a"], ["a", "a", "a", "a"])
    assert table.commonest() == [("a", "b", 2), ("a", "c", 1)]
    assert table.commonest(1) == [("a", "b", 2)]


@pytest.mark.parametrize(
    "metric", [f1, matthews, label_scores, multilabel_f1, subset_accuracy, accuracy, pearson, spearman]
)
def test_lengths_that_differ_and_nothing_to_score(metric):
    with pytest.raises(DataError, match="1 answers for 2"):
        metric(["1"], ["1", "2"])
    with pytest.raises(DataError, match="no examples"):
        metric([], [])
