"""Intervals and paired tests: against definitions, scipy and sacrebleu, and under a null that is true."""

from __future__ import annotations

import math
import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju.errors import DataError
from liju.evaluate import (
    accuracy,
    accuracy_measure,
    approximate_randomisation,
    bits_per_byte,
    bits_per_byte_measure,
    bleu,
    bleu_measure,
    bootstrap,
    bootstrap_of_parts,
    chrf,
    chrf_measure,
    entity_measure,
    entity_scores,
    f1,
    f1_measure,
    holm,
    matthews,
    matthews_measure,
    mcnemar,
    mean_measure,
    paired_bootstrap,
    pearson,
    pearson_measure,
    spearman,
    spearman_measure,
)

WORDS = ["the", "cat", "sat", "on", "a", "mat"]
draw = random.Random(0)
LABELS = [(draw.choice("abc"), draw.choice("abc")) for _ in range(13)]
NUMBERS = [(draw.randint(0, 5), draw.randint(0, 5) + 0.5) for _ in range(13)]
TEXTS = [(" ".join(draw.choices(WORDS, k=6)), " ".join(draw.choices(WORDS, k=7))) for _ in range(13)]
TAGS = [
    (
        [draw.choice(["B-A", "I-A", "O"]) for _ in range(5)],
        [draw.choice(["B-A", "I-A", "O"]) for _ in range(5)],
    )
    for _ in range(13)
]
# A measure, the metric it must be, and pairs of an answer and what was expected.
METRICS = {
    "accuracy": (accuracy_measure, accuracy, LABELS),
    "macro F1": (f1_measure, f1, LABELS),
    "micro F1": (
        lambda a, b: f1_measure(a, b, "micro", labels=["z", "c"]),
        lambda a, b: f1(a, b, "micro"),
        LABELS,
    ),
    "matthews": (matthews_measure, matthews, LABELS),
    "pearson": (pearson_measure, pearson, NUMBERS),
    "spearman": (spearman_measure, spearman, NUMBERS),
    "entity F1": (entity_measure, lambda a, b: entity_scores(a, b).f1, TAGS),
    "bleu": (bleu_measure, lambda a, b: bleu(a, b).score, TEXTS),
    "chrf": (chrf_measure, lambda a, b: chrf(a, b).score, TEXTS),
    "bits per byte": (
        bits_per_byte_measure,
        lambda a, b: bits_per_byte(sum(a), sum(b)),
        [(3.5, 2), (1.0, 7)],
    ),
}


@pytest.mark.parametrize("name", METRICS)
def test_a_weight_is_an_example_repeated(name):
    """The law that all of it stands on: a weighting gives what the metric gives on the repeated examples."""
    measure_of, metric, pairs = METRICS[name]
    answers, expected = [a for a, _ in pairs], [b for _, b in pairs]
    measure = measure_of(answers, expected)
    assert measure.value == pytest.approx(metric(answers, expected), nan_ok=True)
    chance = np.random.default_rng(0)
    weights = chance.integers(0, 4, (5, len(pairs)))
    weights[:, 0] += 1
    repeated = [np.repeat(np.arange(len(pairs)), row) for row in weights]
    want = [metric([answers[i] for i in r], [expected[i] for i in r]) for r in repeated]
    assert measure.over(weights.astype(float)).tolist() == pytest.approx(want, nan_ok=True)
    chosen = sorted(set(repeated[0].tolist()))
    part = metric([answers[i] for i in chosen], [expected[i] for i in chosen])
    assert measure.take(chosen).value == pytest.approx(part, nan_ok=True)
    twice = metric(answers + answers, expected + expected)
    assert measure.joined(measure).value == pytest.approx(twice, nan_ok=True)


def test_the_interval_is_scipys_percentile_bootstrap():
    from scipy.stats import bootstrap as theirs

    values = np.random.default_rng(3).exponential(size=70)
    ours = bootstrap(mean_measure(values.tolist()), 0.9, resamples=20000)
    other = theirs(
        (values,), np.mean, confidence_level=0.9, n_resamples=20000, method="percentile", rng=0
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((other.low, other.high), abs=0.01)


@pytest.mark.slow
def test_the_interval_holds_the_truth_as_often_as_it_says():
    chance, held = np.random.default_rng(0), 0
    for _ in range(400):
        right = chance.uniform(size=150) < 0.7
        interval = bootstrap(mean_measure(right.astype(float).tolist()), resamples=400)
        held += interval.low <= 0.7 <= interval.high
    assert 0.92 <= held / 400 <= 0.97


def test_it_is_seeded_and_narrows_with_examples():
    few, many = ([0.9 + at / 700 for at in range(7)] * n + [0.0] * 3 * n for n in (3, 300))
    assert bootstrap(mean_measure(few)) == bootstrap(mean_measure(few))
    assert bootstrap(mean_measure(few), seed=1) != bootstrap(mean_measure(few), seed=2)
    assert bootstrap(mean_measure(many)).high - bootstrap(mean_measure(many)).low < 0.08
    assert bootstrap(mean_measure(few), 0.5).high < bootstrap(mean_measure(few), 0.99).high


def sentences(seed, good):
    own = random.Random(seed)
    references = [" ".join(random.Random(i).choices(WORDS, k=8)) for i in range(60)]
    return [
        " ".join(w if own.random() < good else own.choice(WORDS) for w in text.split()) for text in references
    ], references


def test_p_values_are_sacrebleus():
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.significance import PairedTest

    (one, references), (other, _) = sentences(1, 0.75), sentences(2, 0.8)
    for kind, ours in (("bs", paired_bootstrap), ("ar", approximate_randomisation)):
        metric = {"BLEU": BLEU(references=[references])}
        systems = [("one", one), ("other", other)]
        theirs = PairedTest(systems, metric, None, kind, 4000)()[1]["BLEU"][1].p_value
        theirs *= 2 if kind == "bs" else 1  # sacrebleu's bootstrap counts one side
        found = ours(bleu_measure(one, references), bleu_measure(other, references), seed=5)
        assert found.difference == pytest.approx(bleu(other, references).score - bleu(one, references).score)
        # Both draw a few thousand times: the p-values differ by chance alone.
        assert found.p_value == pytest.approx(theirs, abs=0.03)
        assert 0.001 < theirs < 0.999


@pytest.mark.parametrize("test", [paired_bootstrap, approximate_randomisation])
def test_of_systems_that_do_not_differ_few_differ(test):
    """Under a null that is true, p < 0.05 in about a twentieth of the cases."""
    chance = np.random.default_rng(0)
    small = 0
    for _ in range(200):
        one, other = (mean_measure((chance.uniform(size=100) < 0.7).astype(float).tolist()) for _ in range(2))
        small += test(one, other).p_value < 0.05
    assert small <= 20


@pytest.mark.parametrize("test", [paired_bootstrap, approximate_randomisation])
def test_a_difference_is_found_and_its_sign_is_the_second_minus_the_first(test):
    expected = ["a"] * 200
    worse = accuracy_measure(["a"] * 140 + ["b"] * 60, expected)
    better = accuracy_measure(["a"] * 170 + ["b"] * 30, expected)
    found = test(worse, better)
    assert found.difference == pytest.approx(0.15) and found.p_value < 0.001
    assert test(better, worse).difference == pytest.approx(-0.15)
    assert test(worse, worse).p_value == 1.0


def test_lower_may_be_better():
    one, other = (bits_per_byte_measure([n * x for x in (1.0, 2, 3)] * 9, [2] * 27) for n in (2, 1))
    found = paired_bootstrap(one, other)
    assert found.difference < 0 and found.better == 1.0
    assert paired_bootstrap(other, one).better == 0.0


@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_the_exact_binomial_test(only_first, only_second):
    from scipy.stats import binomtest

    first = [True] * (only_first + 3) + [False] * (only_second + 2)
    second = [False] * only_first + [True] * (3 + only_second) + [False] * 2
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    number = only_first + only_second
    theirs = binomtest(only_first, number, 0.5).pvalue if number else 1.0
    assert found.p_value == pytest.approx(theirs)


def test_mcnemar_of_many():
    assert mcnemar([True] * 6000 + [False] * 4000, [False] * 6000 + [True] * 4000).p_value < 1e-80
    assert mcnemar([True, False] * 5000, [False, True] * 5000).p_value == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []
    assert math.isnan(holm([0.01, math.nan])[1]) and holm([0.01, math.nan])[0] == 0.01


def test_ten_thousand_examples_take_seconds():
    own = random.Random(0)
    expected = [f"label-{own.randrange(15)}" for _ in range(10_000)]
    one, other = ([e if own.random() < good else "label-0" for e in expected] for good in (0.80, 0.82))
    labels = sorted(set(expected))
    begin = time.process_time()
    a, b = f1_measure(one, expected, labels=labels), f1_measure(other, expected, labels=labels)
    assert bootstrap(a, resamples=1000).low < a.value
    assert paired_bootstrap(a, b, resamples=1000).p_value < 0.05
    assert approximate_randomisation(a, b, 1000).p_value < 0.05
    assert time.process_time() - begin < 20


def test_mistakes_are_told():
    with pytest.raises(DataError, match="2 examples beside 3"):
        paired_bootstrap(mean_measure([0, 1]), mean_measure([0, 1, 1]))
    with pytest.raises(DataError, match="2 examples beside 3"):
        approximate_randomisation(mean_measure([0, 1]), mean_measure([0, 1, 1]))
    with pytest.raises(DataError, match="different metrics"):
        mean_measure([1.0]).joined(pearson_measure([1.0], [1.0]))
    with pytest.raises(DataError, match="different metrics"):
        f1_measure(["a"], ["b"]).joined(mean_measure([1.0]))
    with pytest.raises(DataError, match="1 answers beside 2"):
        mcnemar([True], [True, False])
    with pytest.raises(DataError, match="confidence of 95"):
        bootstrap(mean_measure([1.0]), confidence=95)
    with pytest.raises(DataError, match="0 resamples"):
        bootstrap(mean_measure([1.0]), resamples=0)
    with pytest.raises(DataError, match="no resample"):
        bootstrap(pearson_measure([1.0, 1.0], [1.0, 2.0]))
    with pytest.raises(DataError, match="no examples"):
        mean_measure([])


def test_the_interval_of_parts_is_that_of_their_mean():
    """A correlation over all examples is another number than the mean of those of the parts."""
    chance = np.random.default_rng(1)
    parts = []
    for level in range(4):  # within each part nothing, between them all
        answers, expected = chance.normal(size=12) + 9 * level, chance.normal(size=12) + 9 * level
        parts.append((answers.tolist(), expected.tolist()))
    measures = [pearson_measure(*part) for part in parts]
    mean = float(np.mean([measure.value for measure in measures]))
    together = pearson_measure(*[[one for part in parts for one in part[side]] for side in (0, 1)])
    found = bootstrap_of_parts(measures, resamples=400)
    assert found.low < mean < found.high < 0.8 < bootstrap(together, resamples=400).low
    alone = [bootstrap(measure, resamples=400) for measure in measures]
    assert all(
        found.high - found.low < one.high - one.low for one in alone
    )  # a mean moves less than its parts
    assert bootstrap_of_parts(measures[:1], seed=3) == bootstrap(measures[0], seed=3)
