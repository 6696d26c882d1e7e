"""Metrics against counting by hand, against each other, and against sacrebleu's own command."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.errors import DataError, MissingExtra
from liju.evaluate import (
    accuracy,
    accuracy_interval,
    bits_per_byte,
    bleu,
    chrf,
    confusion,
    f1,
    han_share,
    perplexity,
    spread,
)

labelled = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=20)


@settings(deadline=None)
@given(labelled)
def test_micro_f1_is_the_accuracy_and_the_diagonal_of_the_confusion(pairs):
    answers, expected = [a for a, _ in pairs], [b for _, b in pairs]
    table = confusion(answers, expected)
    diagonal = sum(table.counts[at][at] for at in range(len(table.labels)))
    assert f1(answers, expected, "micro") == pytest.approx(accuracy(answers, expected))
    assert diagonal / len(pairs) == accuracy(answers, expected)
    assert sum(map(sum, table.counts)) == len(pairs)


@settings(deadline=None)
@given(labelled)
def test_macro_f1_by_hand(pairs):
    labels = sorted({label for pair in pairs for label in pair})
    scores = []
    for label in labels:
        hit = sum(a == b == label for a, b in pairs)
        scores.append(2 * hit / (sum(a == label for a, _ in pairs) + sum(b == label for _, b in pairs)))
    assert f1([a for a, _ in pairs], [b for _, b in pairs]) == pytest.approx(sum(scores) / len(scores))


def test_rows_of_the_confusion_are_expected_and_keep_the_given_order():
    table = confusion(["x", "x", "y"], ["y", "x", "z"], labels=["z", "y"])
    assert table.labels == ("z", "y", "x")
    assert table.counts == ((0, 1, 0), (0, 0, 1), (0, 0, 1))


@pytest.mark.parametrize("metric", [accuracy, f1, confusion, bleu, chrf, accuracy_interval])
def test_lengths_that_differ_and_nothing_to_score_are_told(metric):
    with pytest.raises(DataError, match="2 answers for 3"):
        metric(["a", "b"], ["a", "b", "c"])
    with pytest.raises(DataError, match="no examples"):
        metric([], [])


def test_the_tokenizer_follows_the_references_not_the_answers():
    chinese = bleu(["the cat"] * 2, ["我喜欢猫。", "他在读一本书。"])
    english = bleu(["我喜欢猫。"], ["I like cats."])
    assert "tok:zh" in chinese.signature and "zh" in chinese.note
    assert "tok:13a" in english.signature
    assert "tok:char" in bleu(["猫"], ["猫"], tokenize="char").signature
    # With 13a a Chinese sentence is one word: one wrong character would make it all wrong.
    assert bleu(["他昨天在图书馆读一本书。"], ["他今天在图书馆读一本书。"]).score > 50


def test_bleu_by_the_formula():
    # Precisions 6/6, 4/5, 3/4, 2/3; six words for seven.
    score = bleu(["the cat sat on the mat"], ["the cat sat on the red mat"]).score
    assert score == pytest.approx(100 * math.exp(1 - 7 / 6) * (1 * 0.8 * 0.75 * 2 / 3) ** 0.25, rel=1e-9)


def test_han_share_counts_no_white_space_and_no_punctuation_as_han():
    assert han_share(["猫 猫\n"]) == 1.0
    assert han_share(["猫。"]) == 0.5
    assert han_share(["\U00020000a"]) == 0.5
    assert han_share(["", "  "]) == 0.0


def test_bits_per_byte_and_perplexity_of_a_uniform_guess():
    assert bits_per_byte(5 * math.log(256), 5) == pytest.approx(8)
    assert perplexity(5 * math.log(7), 5) == pytest.approx(7)
    assert perplexity(1e6, 1) == math.inf
    with pytest.raises(DataError):
        bits_per_byte(1.0, 0)
    with pytest.raises(DataError):
        perplexity(1.0, 0)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=7))
def test_spread_does_not_depend_on_the_order_of_the_seeds(values):
    assert spread(values) == spread(values[::-1])


def test_a_failed_run_is_not_averaged_away():
    assert math.isnan(spread([0.5, math.nan]).mean)
    assert math.isnan(spread([0.5]).deviation)
    assert spread([math.inf]).mean == math.inf
    with pytest.raises(DataError):
        spread([])


def test_interval_is_seeded_holds_the_accuracy_and_narrows_with_examples():
    few = accuracy_interval(["a"] * 7 + ["b"] * 3, ["a"] * 10)
    many = accuracy_interval(["a"] * 700 + ["b"] * 300, ["a"] * 1000)
    assert few == accuracy_interval(["a"] * 7 + ["b"] * 3, ["a"] * 10)
    assert few.low < many.low < 0.7 < many.high < few.high
    # The normal approximation for 1000 examples: 1.96 * sqrt(0.7 * 0.3 / 1000) = 0.0284
    assert many.high - many.low == pytest.approx(2 * 0.0284, abs=0.006)


def test_without_the_packages_the_extra_is_named(monkeypatch):
    import sys

    for module in ("sacrebleu.metrics.bleu", "sacrebleu.metrics.chrf"):
        monkeypatch.setitem(sys.modules, module, None)
    for metric in (bleu, chrf):
        with pytest.raises(MissingExtra) as error:
            metric(["a"], ["a"])
        assert error.value.hint == "pip install 'liju[evaluate]'"
