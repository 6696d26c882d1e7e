"""IBM Model 1 against a slow EM and against NLTK; the two directions made one."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.errors import DataError
from liju.ngram import IBMModel1, symmetrised
from liju.ngram.alignment import NO_SOURCE, NULL

sentences = st.tuples(st.lists(st.integers(0, 4), max_size=5), st.lists(st.integers(0, 6), max_size=4))
corpora = st.lists(sentences, min_size=1, max_size=6)
# No target sentence has a word twice: NLTK divides such a word's counts by the number of times it occurs.
PAIRS = [
    ("das haus ist klein", "the house is small"),
    ("das haus ist ja gross", "the house is big"),
    ("das buch ist ja klein", "the book is small"),
    ("das haus", "the house"),
    ("das buch", "the book"),
    ("ein buch", "a book"),
    ("ein haus und ein buch", "a house and one book"),
]


def slow(pairs, iterations, diagonal=0.0):
    """EM in dictionaries, sharing no code."""
    words = {f for _, target in pairs for f in target}
    chance = defaultdict(lambda: 1 / max(1, len(words)))
    for _ in range(iterations):
        counts, totals = defaultdict(float), defaultdict(float)
        for source, target in pairs:
            for j, f in enumerate(target):
                priors = [1.0] * (len(source) + 1)
                if diagonal:
                    at = [
                        np.exp(-diagonal * abs((i + 0.5) / len(source) - (j + 0.5) / len(target)))
                        for i in range(len(source))
                    ]
                    priors = [NO_SOURCE, *((1 - NO_SOURCE) * each / sum(at) for each in at)]
                shares = [p * chance[e, f] for p, e in zip(priors, [NULL, *source], strict=True)]
                for e, share in zip([NULL, *source], shares, strict=True):
                    counts[e, f] += share / sum(shares)
                    totals[e] += share / sum(shares)
        chance = {pair: count / totals[pair[0]] for pair, count in counts.items()}
    return chance


@settings(max_examples=40)
@given(corpora, st.integers(1, 4), st.sampled_from([0.0, 3.0]))
def test_em_is_that_of_dictionaries(pairs, iterations, diagonal):
    model = IBMModel1(iterations, diagonal).fit(*zip(*pairs, strict=True))
    for (e, f), expected in slow(pairs, iterations, diagonal).items():
        assert model.probability([e], [f])[0] == pytest.approx(expected, abs=1e-12)


def test_the_tables_are_nltks():
    translate = pytest.importorskip("nltk.translate")
    rows = [(source.split(), target.split()) for source, target in PAIRS]
    corpus = [translate.AlignedSent(target, source) for source, target in rows]
    theirs = translate.IBMModel1(corpus, 7).translation_table
    sources, targets = (sorted({word for row in rows for word in row[side]}) for side in (0, 1))
    ids = [([sources.index(w) for w in a], [targets.index(w) for w in b]) for a, b in rows]
    model = IBMModel1(iterations=7).fit(*zip(*ids, strict=True))
    seen = 0
    for target in targets:
        for source in [None, *sources]:
            number = NULL if source is None else sources.index(source)
            expected, found = theirs[target][source], model.probability([number], [targets.index(target)])[0]
            together = any(target in b and (source is None or source in a) for a, b in rows)
            seen += together
            assert found == pytest.approx(expected if together else 0, abs=1e-6)
    assert seen > 25
    # The test of the test: one iteration more is another table.
    other = IBMModel1(iterations=8).fit(*zip(*ids, strict=True))
    assert abs(other.probability([NULL], [0])[0] - theirs[targets[0]][None]) > 1e-4


@settings(max_examples=40)
@given(corpora, st.sampled_from([0.0, 4.0]))
def test_likelihood_never_falls_and_tables_sum_to_one(pairs, diagonal):
    model = IBMModel1(6, diagonal).fit(*zip(*pairs, strict=True))
    assert (np.diff(model.log_likelihood) >= -1e-9).all()
    words = {e for source, target in pairs if target for e in [NULL, *source]}
    for e in words:
        assert model.probability([e] * 7, range(7)).sum() == pytest.approx(1)


def test_best_links():
    sources, targets = [[0, 1], [2, 0], [1], [2], [0]], [[7, 8], [7, 9], [8], [9], [7]]
    model = IBMModel1(20).fit(sources, targets)
    found = [each.tolist() for each in model.align([*sources, [], [1]], [*targets, [7], []])]
    assert found == [[0, 1], [1, 0], [0], [0], [0], [NULL], []]
    assert model.translations(2, best=1)[0][0] == 9
    # Words that it has never seen come from nowhere, and do no harm.
    assert [each.tolist() for each in model.align([[0, 99]], [[7, 55]])] == [[0, NULL]]
    assert model.probability([99, 0, -1], [7, 99, 55]).tolist() == [0, 0, 0]
    with pytest.raises(DataError, match="2 sources and 1 targets"):
        IBMModel1().fit([[1], [2]], [[1]])


def test_the_diagonal_decides_between_equal_words():
    # The same word twice on both sides: by words alone any link is as good.
    sources, targets = [[0, 1, 0]], [[5, 6, 5]]
    found = IBMModel1(5, diagonal=8).fit(sources, targets).align(sources, targets)[0]
    assert found[0] == 0 and found[2] == 2


def test_symmetrised_by_hand():
    # Both say 0-0. 1-1 is said once, touches it and has partners for nobody yet; so has 2-2 after it.
    assert symmetrised([0, 1, NULL], [0, NULL, 2]) == [(0, 0), (1, 1), (2, 2)]
    # 0-1 touches 0-0 and gives target 1 a partner; 1-0 would give source 1 one.
    assert symmetrised([0, 0], [0, 0]) == [(0, 0), (0, 1), (1, 0)]
    # Nothing in common: the final step takes what links two unaligned words, the first direction first.
    assert symmetrised([1, NULL], [0, NULL]) == [(1, 0)]
    # 3-0 is said once, far from what both say, and source 3 and target 0 are free.
    assert symmetrised([3, 1], [NULL, 1, NULL, NULL]) == [(1, 1), (3, 0)]
    # The same, but target 0 has a partner already: "and" leaves it out.
    assert symmetrised([0, 1], [0, 1, NULL, 0]) == [(0, 0), (1, 1)]
    # 3-3 touches 2-2, but source 3 and target 3 have partners by then (3-2 and 1-3).
    assert symmetrised([NULL, NULL, 2, 3], [NULL, 3, 2, 2]) == [(1, 3), (2, 2), (3, 2)]
    assert symmetrised([], []) == []


@given(
    st.integers(1, 5).flatmap(
        lambda size: st.tuples(
            st.lists(st.integers(-1, size - 1), min_size=1, max_size=5), st.just(size), st.randoms()
        )
    )
)
def test_symmetrised_lies_between_intersection_and_union(drawn):
    forward, size, random = drawn
    backward = [random.randint(-1, len(forward) - 1) for _ in range(size)]
    one = {(i, j) for j, i in enumerate(forward) if i >= 0}
    other = {(i, j) for i, j in enumerate(backward) if j >= 0}
    found = set(symmetrised(forward, backward))
    assert one & other <= found <= one | other
    # Nobody who was linked in the first direction with a free word is left out.
    for i, j in one | other:
        assert i in {a for a, _ in found} or j in {b for _, b in found}
    # The other way round gives the same where no step has to choose.
    if one == other:
        assert found == one
