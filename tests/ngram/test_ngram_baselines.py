"""Counting, stupid backoff, the classifier and the translation memory."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.errors import DataError, RequestError
from liju.ngram import KneserNey, NgramClassifier, StupidBackoff, TranslationMemory, count

texts = st.lists(st.lists(st.integers(0, 3), max_size=7), max_size=7)


@settings(max_examples=60, deadline=None)
@given(texts, st.integers(1, 4))
def test_counts_are_those_of_a_dictionary(sequences, order):
    counts = count(sequences, order, vocabulary=4)
    start, end, base = counts.words.start, counts.words.end, counts.words.base
    for k in range(1, order + 1):
        expected = Counter()
        for sequence in sequences:
            row = [start, *sequence, end]
            expected.update(tuple(row[i : i + k]) for i in range(len(row) - k + 1))
        grams: list[tuple] = [()]
        for table in counts.tables[:k]:
            grams = [(*(grams[key // base] if grams != [()] else ()), int(key % base)) for key in table.keys]
        table = counts.tables[k - 1]
        assert dict(zip(grams, table.counts.tolist(), strict=True)) == expected
        assert table.opens.tolist() == [gram[0] == start for gram in grams]


@settings(max_examples=40, deadline=None)
@given(texts.filter(any), st.lists(st.integers(0, 4), max_size=5), st.integers(1, 4))
def test_stupid_backoff_is_its_formula(training, sequence, order):
    raw = Counter()
    for s in training:
        row = ["<s>", *s, "</s>"]
        raw.update(tuple(row[i : i + k]) for k in range(1, order + 1) for i in range(len(row) - k + 1))
    total = sum(n for gram, n in raw.items() if len(gram) == 1 and gram != ("<s>",))

    def score(word, history):
        if raw[(*history, word)]:
            return raw[(*history, word)] / (raw[history] if history else total)
        return 0.4 * score(word, history[1:]) if history else 0.4 / total

    row = ["<s>", *sequence, "</s>"]
    expected = [score(row[i], tuple(row[max(0, i - order + 1) : i])) for i in range(1, len(row))]
    model = StupidBackoff(order).fit(training)
    np.testing.assert_allclose(np.exp(model.scores(sequence)), expected, rtol=1e-12)


def test_stupid_backoff_refuses_what_it_cannot_know():
    model = StupidBackoff(3).fit(["abab", "abba"])
    # After "a" the scores of a, b, </s> and an unseen word sum to more than one: no probabilities.
    after = [np.exp(model.scores("a" + word)[-2]) for word in "abx"] + [np.exp(model.scores("a")[-1])]
    assert sum(after) > 1.05
    for what in ("perplexity", "bits", "bits_per_byte"):
        with pytest.raises(RequestError, match="do not sum to one") as refused:
            getattr(model, what)(["ab"])
        assert "KneserNey" in refused.value.hint


def test_classifier_weighs_the_prior_and_the_text():
    model = NgramClassifier(order=3).fit(["很好", "好极了", "很差", "好"], ["好评", "好评", "差评", "好评"])
    assert model.labels == ["好评", "差评"] or model.labels == ["差评", "好评"]
    assert model.predict(["真好", "太差"]) == ["好评", "差评"]
    np.testing.assert_allclose(np.exp(model.prior).sum(), 1)
    np.testing.assert_allclose(model.probabilities(["好", "未见"]).sum(axis=1), 1)
    joint = model.logprob(["差"])[0]
    assert joint.shape == (2,) and (joint < model.prior).all()


def test_classifier_is_bayes_rule():
    texts, labels = [[0, 1, 2], [0, 1], [2, 2, 0]], ["a", "a", "b"]
    model = NgramClassifier(order=2).fit(texts, labels)
    # Ids 0, 1, 2 and room for </s> and the unknown word.
    a, b = (KneserNey(2, vocabulary=5).fit(rows) for rows in (texts[:2], texts[2:]))
    expected = [np.log(2 / 3) + a.logprob([1, 2]).sum(), np.log(1 / 3) + b.logprob([1, 2]).sum()]
    np.testing.assert_allclose(model.logprob([[1, 2]])[0], expected)


def test_classifier_is_indifferent_to_unseen_words():
    model = NgramClassifier(order=1).fit([[1, 1, 2], [3, 3, 4]], ["a", "b"])
    even = model.logprob([[9, 9, 9]])[0]
    assert even[0] == pytest.approx(even[1])
    with pytest.raises(DataError, match="2 examples and 1 labels"):
        model.fit([[1], [2]], ["a"])


def test_translation_memory_finds_itself_and_its_neighbour():
    sources = ["A dog runs.", "A cat sleeps on the sofa.", "两只狗在草地上跑", "人们在街上走路"]
    memory = TranslationMemory().fit(sources, ["Hund", "Katze", "dogs", "people"])
    for row, source in enumerate(sources):
        (found, cosine), *_ = memory.nearest(source, k=2)
        assert found == row and cosine == pytest.approx(1)
    assert memory.translate(["The cat is on the sofa", "狗在草地上"]) == ["Katze", "dogs"]
    assert len(memory.nearest("x", k=9)) == 4 and memory.nearest("", k=1)[0][1] >= 0
    with pytest.raises(DataError):
        TranslationMemory().fit([], [])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("ab 好", max_size=6), min_size=1, max_size=7), st.text("ab 好", max_size=6))
def test_similarity_is_the_cosine_of_tfidf_vectors(sources, query):
    def grams(text):
        text = f" {text} "
        return Counter(text[i : i + k] for k in (2, 3) for i in range(len(text) - k + 1))

    seen = Counter(gram for source in sources for gram in grams(source))

    def vector(text):
        known = {g: n for g, n in grams(text).items() if g in seen}
        return {g: (1 + np.log(n)) * np.log((1 + len(sources)) / (1 + seen[g])) for g, n in known.items()}

    def cosine(a, b):
        norm = np.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))
        return sum(v * b.get(g, 0) for g, v in a.items()) / norm if norm else 0.0

    memory = TranslationMemory(orders=(2, 3)).fit(sources, sources)
    found = dict(memory.nearest(query, k=len(sources)))
    for row, source in enumerate(sources):
        assert found[row] == pytest.approx(cosine(vector(query), vector(source)), abs=1e-9)
