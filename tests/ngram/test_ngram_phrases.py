"""Phrases: every pair that the links allow, counted and scored."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.ngram import IBMModel1, PhraseTable, extract_phrases, joined, segments


def slow(sources, targets, links, longest):
    """Every pair of spans, looked at by itself: Koehn's definition."""
    found = Counter()
    for source, target, pairs in zip(sources, targets, links, strict=True):
        for a in range(len(source)):
            for b in range(a + 1, min(len(source), a + longest[0]) + 1):
                for c in range(len(target)):
                    for d in range(c + 1, min(len(target), c + longest[1]) + 1):
                        inside = [(a <= i < b, c <= j < d) for i, j in pairs]
                        if (True, True) in inside and all(one == other for one, other in inside):
                            found[tuple(source[a:b]), tuple(target[c:d])] += 1
    return found


@st.composite
def corpora(draw):
    sources, targets, links = [], [], []
    for _ in range(draw(st.integers(1, 4))):
        sources.append(draw(st.lists(st.integers(0, 3), min_size=1, max_size=5)))
        targets.append(draw(st.lists(st.integers(0, 4), min_size=1, max_size=6)))
        pairs = st.tuples(st.integers(0, len(sources[-1]) - 1), st.integers(0, len(targets[-1]) - 1))
        links.append(draw(st.lists(pairs, max_size=6, unique=True)))
    return sources, targets, links


@settings(max_examples=150)
@given(corpora(), st.tuples(st.integers(1, 3), st.integers(1, 4)))
def test_phrases_are_those_of_the_definition(corpus, longest):
    sources, targets, links = ([*map(np.array, corpus[0])], [*map(np.array, corpus[1])], corpus[2])
    flat = [np.concatenate(side) for side in (sources, targets)]
    found = Counter(
        (tuple(flat[0][a : a + m].tolist()), tuple(flat[1][c : c + n].tolist()))
        for a, m, c, n in extract_phrases(sources, targets, links, longest).tolist()
    )
    assert found == slow(*corpus, longest)


def table(sources, targets, links, longest=(3, 3)):
    sources, targets = [*map(np.array, sources)], [*map(np.array, targets)]
    models = IBMModel1(5).fit(sources, targets), IBMModel1(5).fit(targets, sources)
    return PhraseTable(sources, targets, links, *models, longest), models


@settings(max_examples=40)
@given(corpora())
def test_table_counts_and_scores(corpus):
    made, (forward, _) = table(*corpus)
    expected = slow(*corpus, (3, 3))
    totals, reverse, listed = Counter(), Counter(), Counter()
    for (source, target), times in expected.items():
        totals[source] += times
        reverse[target] += times
    n = Counter(expected.values())
    discount = n[1] / (n[1] + 2 * n[2]) if n[2] else 0.5
    for row in range(len(made)):
        source, target = (
            tuple(made.sources.ids(int(made.source[row]))),
            tuple(made.targets.ids(int(made.target[row]))),
        )
        times = expected[source, target]
        listed[source, target] = int(made.count[row])
        chance = np.exp(made.features[row])
        assert chance[0] == pytest.approx((times - discount) / totals[source])
        assert chance[1] == pytest.approx((times - discount) / reverse[target])
        lexical = 1.0
        for f in target:
            lexical *= max(np.mean([forward.probability([e], [f])[0] for e in (-1, *source)]), 1e-7)
        assert chance[2] == pytest.approx(lexical)
    assert listed == expected
    # A sentence finds its own phrases, and only those of known words.
    numbers = made.sources.find([*corpus[0][0], 77])
    assert len(numbers) == len(corpus[0][0]) + 1 and all(number < 0 for number in numbers[-1])
    for place, line in enumerate(numbers):
        for length, number in enumerate(line, start=1):
            if number >= 0:
                assert made.sources.ids(number) == corpus[0][0][place : place + length]
                rows = made.translations(number)
                assert (made.source[rows] == number).all()


@given(st.text())
def test_words_put_together_are_the_text(text):
    found = segments(text)
    assert joined(found) == " ".join(text.split())
    assert all(word.strip() and len(word.split()) == 1 for word in found)


def test_words_of_languages():
    assert segments("It's 3.5 kg, isn't it?") == [
        *(" It", "'s", " 3", ".", "5", " kg", ",", " isn", "'t", " it", "?")
    ]
    assert segments("我不喜欢Python。") == ["我", "不", "喜", "欢", "Python", "。"]
    assert segments(" \u3000 ") == []
