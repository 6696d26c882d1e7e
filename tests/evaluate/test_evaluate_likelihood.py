"""Calibration, ranking and multiple choice: by hand, by the definition, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju.errors import DataError
from liju.evaluate import (
    brier,
    calibration,
    choice_scores,
    chosen,
    gold_ranks,
    mean_reciprocal_rank,
    recall_at,
    reciprocal_ranks,
)

answered = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30)


@given(answered, st.integers(1, 12))
def test_calibration_error_by_the_definition(rows, bins):
    sure, right = [a for a, _ in rows], [b for _, b in rows]
    error = 0.0
    for at in range(bins):
        low, high = np.linspace(0, 1, bins + 1)[at : at + 2]
        own = [i for i, c in enumerate(sure) if low < c <= high or (at == 0 and c == 0)]
        if own:
            gap = np.mean([right[i] for i in own]) - np.mean([sure[i] for i in own])
            error += len(own) / len(sure) * abs(gap)
    found = calibration(sure, right, bins)
    assert found.error == pytest.approx(error, abs=1e-12)
    assert sum(one.count for one in found.bins) == len(rows)
    assert found.error <= found.largest + 1e-12
    even = calibration(sure, right, bins, "count")
    assert sum(one.count for one in even.bins) == len(rows)


def test_a_confidence_on_an_edge_lies_in_the_bin_below():
    found = calibration([0.5, 0.75, 0.0, 1.0], [True] * 4, bins=4)
    assert [(one.low, one.high, one.count) for one in found.bins] == [
        (0, 0.25, 1),
        (0.25, 0.5, 1),
        (0.5, 0.75, 1),
        (0.75, 1, 1),
    ]


def test_sure_and_right_is_calibrated_and_sure_and_wrong_is_not():
    assert calibration([1.0] * 5, [True] * 5).error == 0
    assert calibration([1.0] * 5, [False] * 5).error == 1
    chance = np.random.default_rng(0)
    sure = chance.uniform(size=20000)
    assert calibration(sure.tolist(), (chance.uniform(size=20000) < sure).tolist()).error < 0.015
    assert calibration(sure.tolist(), (chance.uniform(size=20000) < sure**2).tolist()).error > 0.1


def test_bins_of_equal_count_hold_equally_many():
    sure = np.linspace(0.5, 1, 100)
    counts = [one.count for one in calibration(sure.tolist(), [True] * 100, 4, "count").bins]
    assert counts == [25, 25, 25, 25]


def test_brier_is_scikit_learns():
    from sklearn.metrics import brier_score_loss

    chance = np.random.default_rng(1)
    table = chance.dirichlet(np.ones(3), size=7)
    right = chance.integers(0, 3, 7)
    theirs = brier_score_loss(right, table, labels=[0, 1, 2], scale_by_half=False)
    assert brier(table, right.tolist()) == pytest.approx(theirs)
    assert brier(np.array([[0.0, 1.0]]), [0]) == 2


def test_a_tie_is_no_find():
    scores = np.array([[0.5, 0.5, 0.5], [0.9, 0.1, 0.2], [np.nan, 0.1, 0.2]])
    assert gold_ranks(scores, [0, 0, 0]).tolist() == [3, 1, 3]


def test_recall_and_reciprocal_rank():
    found, relevant = [["b", "a", "c"], ["d", "e"]], [["a", "c"], ["x"]]
    assert recall_at(1, found, relevant) == 0
    assert recall_at(2, found, relevant) == 0.25
    assert recall_at(3, found, relevant) == 0.5
    assert reciprocal_ranks(found, relevant) == [0.5, 0]
    assert mean_reciprocal_rank(found, relevant) == 0.25


@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 99))
def test_ranks_and_lists_agree(documents, queries, seed):
    scores = np.random.default_rng(seed).permuted(np.tile(np.arange(documents), (queries, 1)), axis=1)
    gold = [seed % documents] * queries
    ranks = gold_ranks(scores, gold)
    found = np.argsort(-scores, axis=1).tolist()
    assert mean_reciprocal_rank(found, [[g] for g in gold]) == pytest.approx(np.mean(1 / ranks))
    for k in (1, 2):
        assert recall_at(k, found, [[g] for g in gold]) == pytest.approx(np.mean(ranks <= k))


def test_the_two_normalisations_differ_where_bytes_and_characters_do():
    # Four characters of 12 bytes beside six of 6: a character favours the first less than a byte does.
    assert chosen([-6.0, -8.0], ["例句例句", "sample"]) == (0, 1, 0)
    scores = choice_scores([[-6.0, -8.0], [-3.0, -1.0]], [["例句例句", "sample"], ["a", "b"]], [0, 1])
    assert (scores.accuracy, scores.accuracy_by_character, scores.accuracy_by_byte) == (1, 0.5, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibration([1.2], [True]), "confidence 1 is 1.2"),
        (lambda: calibration([0.5, float("nan")], [True, True]), "confidence 2 is nan"),
        (lambda: calibration([0.5], [True], bins=0), "0 bins"),
        (lambda: brier(np.ones((1, 2)), [2]), "labels 2 to 2"),
        (lambda: gold_ranks(np.ones((1, 2)), [2]), "documents 2 to 2"),
        (lambda: recall_at(0, [["a"]], [["a"]]), "recall at 0"),
        (lambda: recall_at(1, [["a"], ["b"]], [["a"], []]), "query 2 has no relevant"),
        (lambda: chosen([-1.0, -2.0], ["a", ""]), "a choice is empty"),
        (lambda: choice_scores([[-1.0]], [["a"]], [1]), "question 1: no choice 1 among 1"),
    ],
)
def test_mistakes_are_told(call, message):
    with pytest.raises(DataError, match=message):
        call()
