"""ROUGE against rouge-score; BLEU and chrF from summed counts against sacrebleu's whole corpus."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju.errors import DataError, MissingExtra
from liju.evaluate import bleu, chrf, rouge, rouge_scores
from liju.evaluate.metrics.corpus import bleu_counts, bleu_of_counts, chrf_counts, chrf_of_counts
from liju.evaluate.metrics.rouge import common_subsequence

words = st.lists(
    st.sampled_from(["was", "wa", "cat", "cats", "running", "on", "a", "mat.", "Mat's", "2,000", "ü", "猫"]),
    max_size=12,
).map(" ".join)
texts = st.lists(st.tuples(words, words), min_size=1, max_size=5)


@given(texts, st.booleans())
def test_rouge_is_rouge_scores(pairs, stem):
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stem)
    ours = rouge_scores([a for a, _ in pairs], [b for _, b in pairs], "en", stem)
    for (answer, reference), row in zip(pairs, ours, strict=True):
        theirs = scorer.score(reference, answer)
        for name, one in zip(("rouge1", "rouge2", "rougeL"), row, strict=True):
            assert (one.precision, one.recall, one.f1) == pytest.approx(tuple(theirs[name]), abs=1e-12)


@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=9))
def test_the_longest_common_subsequence_by_trying(first, second):
    table = np.zeros((len(first) + 1, len(second) + 1), int)
    for i, one in enumerate(first, 1):
        for j, other in enumerate(second, 1):
            table[i, j] = table[i - 1, j - 1] + 1 if one == other else max(table[i - 1, j], table[i, j - 1])
    assert common_subsequence(first, second) == table[-1, -1]


def test_chinese_rouge_is_by_character_and_says_so():
    scores = rouge(["房间非常干净"], ["房间很干净"])
    assert scores.note == "characters as 'zh', not stemmed"
    assert scores.rouge1.recall == pytest.approx(4 / 5) and scores.rouge1.precision == pytest.approx(4 / 6)
    assert scores.rouge2.f1 == pytest.approx(2 * 2 / (4 + 5))
    # As words of a-z there would be nothing of it.
    assert rouge(["房间非常干净"], ["房间很干净"], "en").rouge1.f1 == 0
    assert rouge(["GPU 很快"], ["gpu很快"]).rougeL.f1 == 1


def test_rouge_is_the_mean_over_pairs():
    scores = rouge(["the cat", "nothing alike"], ["the cat", "quite another"])
    assert scores.rouge1.f1 == scores.rougeL.recall == 0.5


@given(texts)
def test_bleu_from_counts_is_sacrebleus(pairs):
    answers, references = [a for a, _ in pairs], [b or "x" for _, b in pairs]
    for tokenize in ("13a", "zh"):
        ours = float(bleu_of_counts(bleu_counts(answers, references, tokenize).sum(0)))
        assert ours == pytest.approx(bleu(answers, references, tokenize).score, abs=1e-9)


@given(texts)
def test_chrf_from_counts_is_sacrebleus(pairs):
    answers, references = [a for a, _ in pairs], [b or "x" for _, b in pairs]
    ours = float(chrf_of_counts(chrf_counts(answers, references).sum(0)))
    assert ours == pytest.approx(chrf(answers, references).score, abs=1e-9)


def test_counts_of_many_resamples_at_once():
    draw = random.Random(0)
    answers = [" ".join(draw.choices(["the", "cat", "sat", "on"], k=7)) for _ in range(20)]
    references = [" ".join(draw.choices(["the", "cat", "sat", "on"], k=6)) for _ in range(20)]
    chosen = [[draw.randrange(20) for _ in range(20)] for _ in range(3)]
    for counts, formula, whole in (
        (bleu_counts(answers, references), bleu_of_counts, bleu),
        (chrf_counts(answers, references), chrf_of_counts, chrf),
    ):
        at_once = formula(np.stack([counts[rows].sum(0) for rows in chosen]))
        one_by_one = [whole([answers[i] for i in r], [references[i] for i in r]).score for r in chosen]
        assert at_once.tolist() == pytest.approx(one_by_one)


def test_mistakes_are_told(monkeypatch):
    for metric in (rouge, rouge_scores, bleu_counts, chrf_counts):
        with pytest.raises(DataError, match="2 answers for 1"):
            metric(["a", "b"], ["a"])
    import sys

    monkeypatch.setitem(sys.modules, "nltk.stem.porter", None)
    with pytest.raises(MissingExtra):
        rouge(["running"], ["runs"], stem=True)
