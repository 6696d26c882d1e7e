"""Modified Kneser-Ney against a hand-computed example, slow dictionaries, and the laws of probability."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.errors import DataError
from liju.ngram import KneserNey
from liju.ngram.kneser_ney import FALLBACK, discounts

START, END, UNKNOWN = "<s>", "</s>", "<unk>"


class Slow:
    """Chen and Goodman's formulas word by word, in dictionaries of tuples, sharing no code."""

    def __init__(self, order: int, sequences: list[list[int]]):
        self.order = order
        raw: list[Counter] = [Counter() for _ in range(order + 1)]
        before: dict[tuple, set] = defaultdict(set)
        for sequence in sequences:
            words = [START, *sequence, END]
            for k in range(1, order + 1):
                for i in range(len(words) - k + 1):
                    gram = tuple(words[i : i + k])
                    raw[k][gram] += 1
                    if i:
                        before[gram].add(words[i - 1])
        self.adjusted: list[dict] = [{}]
        for k in range(1, order + 1):
            table = {}
            for gram, times in raw[k].items():
                if gram == (START,):
                    continue
                table[gram] = times if k == order or gram[0] == START else len(before[gram])
            self.adjusted.append(table)
        self.discount = [(0.0, 0.0, 0.0), *(self._discounts(table) for table in self.adjusted[1:])]
        self.outcomes = {w for s in sequences for w in s} | {END, UNKNOWN}

    @staticmethod
    def _discounts(table: dict) -> tuple[float, ...]:
        n = Counter(table.values())
        if not (n[1] and n[2] and n[3]):
            return FALLBACK
        y = n[1] / (n[1] + 2 * n[2])
        found = tuple(i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3))
        return found if min(found) > 0 else FALLBACK

    def p(self, word, history: tuple) -> float:
        k = len(history) + 1
        lower = self.p(word, history[1:]) if history else 1 / len(self.outcomes)
        after = {gram: a for gram, a in self.adjusted[k].items() if gram[:-1] == history}
        total = sum(after.values())
        if not total:
            return lower
        d = self.discount[k]
        gamma = sum(d[min(a, 3) - 1] for a in after.values()) / total
        a = after.get((*history, word), 0)
        return (a - d[min(a, 3) - 1] if a else 0) / total + gamma * lower

    def logprob(self, sequence: list[int]) -> list[float]:
        known = [w if w in self.outcomes else UNKNOWN for w in sequence]
        words = [START, *known, END]
        histories = [tuple(words[max(0, i - self.order + 1) : i]) for i in range(1, len(words))]
        return [math.log(self.p(*pair)) for pair in zip(words[1:], histories, strict=True)]


texts = st.lists(st.lists(st.integers(0, 4), max_size=9), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(texts, st.lists(st.integers(0, 6), max_size=7), st.integers(1, 5))
def test_agrees_with_the_formulas_in_dictionaries(training, sequence, order):
    fast = KneserNey(order).fit(training).logprob(sequence)
    np.testing.assert_allclose(fast, Slow(order, training).logprob(sequence), rtol=0, atol=1e-12)


@settings(max_examples=80, deadline=None)
@given(texts, st.lists(st.integers(0, 6), max_size=6), st.integers(1, 5), st.booleans(), st.booleans())
def test_probabilities_sum_to_one(training, history, order, closed, start):
    model = KneserNey(order, vocabulary=7 if closed else None).fit(training)
    chance = model.distribution(history, start=start)
    assert len(chance) == model.words.outcomes
    assert (chance > 0).all()
    assert chance.sum() == pytest.approx(1, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(texts, st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(1, 4))
def test_distribution_and_logprob_are_the_same_numbers(training, sequence, order):
    model = KneserNey(order, vocabulary=5).fit(training)
    words = [*sequence, model.words.end]
    one_by_one = [model.distribution(sequence[:i])[word] for i, word in enumerate(words)]
    np.testing.assert_allclose(np.exp(model.logprob(sequence)), one_by_one, rtol=0, atol=1e-12)


def test_bigram_by_hand():
    # "ab" twice, "ac" once. Bigrams: <s>a 3, ab 2, ac 1, b</s> 2, c</s> 1, so n1=2, n2=2, n3=1, n4=0:
    # Y = 2 / (2 + 2*2) = 1/3, D1 = 1 - 2/3 * 2/2 = 1/3, D2 = 2 - 3/3 * 1/2 = 3/2, D3 = 3 - 0.
    # Unigrams by what came before: a 1 (<s>), b 1, c 1, </s> 2 (b, c): n3=0, so the fallback 1/2, 1, 3/2.
    # Total 5, left over (3 * 1/2 + 1) / 5 = 1/2.
    # Five outcomes (a, b, c, </s>, unknown): p(b) = (1 - 1/2)/5 + 1/2 * 1/5 = 1/5.
    # After a: total 3, left over (3/2 + 1/3) / 3 = 11/18: p(b|a) = (2 - 3/2)/3 + 11/18 * 1/5.
    model = KneserNey(order=2).fit(["ab", "ab", "ac"])
    np.testing.assert_allclose(model.discounts, [(1 / 2, 1, 3 / 2), (1 / 3, 3 / 2, 3)])
    assert model.distribution("", start=False)[1] == pytest.approx(1 / 5)
    assert model.distribution("a")[1] == pytest.approx(1 / 6 + 11 / 90)
    assert np.exp(model.logprob("ab")[1]) == pytest.approx(1 / 6 + 11 / 90)


def test_agrees_where_no_discount_is_a_fallback():
    draw = np.random.default_rng(3)
    chance = 1 / np.arange(1, 41)
    chance /= chance.sum()
    # Half of each text repeats: real text has runs of five that come back.
    texts = [draw.choice(40, 11, p=chance).tolist() for _ in range(70)]
    texts += [row[:7] for row in texts[:30]] + [row[2:9] for row in texts[10:25]] + texts[15:20]
    slow, fast = Slow(4, texts), KneserNey(4).fit(texts)
    assert not set(np.ravel(fast.discounts[1:]).tolist()) & set(FALLBACK)
    np.testing.assert_allclose(fast.discounts, slow.discount[1:], rtol=1e-12)
    for query in (texts[3], texts[40][::-1], [1, 99, 2, 3]):
        np.testing.assert_allclose(fast.logprob(query), slow.logprob(query), rtol=0, atol=1e-12)


def test_discounts_fall_back_together_as_in_kenlm():
    assert discounts(np.array([1, 1, 2, 3])) == (
        0.5,
        2 - 3 * 0.5,
        3,
    )  # no count of four
    assert discounts(np.array([], dtype=np.int64)) == FALLBACK
    assert discounts(np.array([1, 1, 2, 4])) == FALLBACK  # no count of three
    # D2 = 2 - 3 * (1 / (1 + 2)) * 9 < 0 would give probability below nothing to unseen words.
    assert discounts(np.array([1, 2, *[3] * 9, 4])) == FALLBACK


def test_sequences_do_not_touch():
    apart = KneserNey(3).fit([[1, 2], [3, 4]])
    assert apart.distribution([2])[2] == pytest.approx(apart.distribution([9])[2], abs=0.2)
    assert apart.distribution([1, 2])[apart.words.end] > 0.5
    both = apart.totals([[1, 2], [3, 4], []])
    np.testing.assert_allclose(both, [apart.logprob(s).sum() for s in ([1, 2], [3, 4], [])])


def test_bits_and_perplexity():
    model = KneserNey(2).fit([b"abc", b"abd"])
    logs = np.concatenate([model.logprob(b"ab"), model.logprob(b"xyz")])
    assert model.bits([b"ab", b"xyz"]) == pytest.approx(-logs.sum() / math.log(2))
    assert model.perplexity([b"ab", b"xyz"]) == pytest.approx(math.exp(-logs.mean()))
    assert len(model.logprob(b"ab")) == 3 and len(model.logprob(b"ab", end=False)) == 2
    with pytest.raises(DataError, match="no sequence"):
        model.perplexity([])


def test_nothing_learned_is_uniform():
    assert KneserNey(3, vocabulary=3).fit([]).distribution([1]) == pytest.approx(np.full(4, 1 / 4))
    assert KneserNey(3).fit([]).logprob([5, 6]) == pytest.approx(np.log(np.full(3, 1 / 2)))


def test_ids_outside_a_closed_vocabulary_are_named():
    with pytest.raises(DataError, match="id 7 is outside the vocabulary of 5"):
        KneserNey(2, vocabulary=5).fit([[1, 7]])
    with pytest.raises(DataError, match="float64"):
        KneserNey(2).fit([[0.5]])


@pytest.mark.parametrize("vocabulary", [None, 5])
def test_saved_and_loaded(tmp_path, vocabulary):
    model = KneserNey(3, vocabulary).fit([[1, 2, 3], [1, 2, 4]])
    model.save(tmp_path / "model.npz")
    again = KneserNey.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(model.logprob([1, 2, 0]), again.logprob([1, 2, 0]))
    assert again.discounts == model.discounts and again.order == 3
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


def test_torn_and_missing_files(tmp_path):
    KneserNey(2).fit([[1, 2]]).save(tmp_path / "model.npz")
    whole = (tmp_path / "model.npz").read_bytes()
    (tmp_path / "torn.npz").write_bytes(whole[: len(whole) // 2])
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    kinds = {"torn.npz": "not an n-gram", "other.npz": "not an n-gram", "none.npz": "no such file"}
    for name, words in kinds.items():
        with pytest.raises(DataError, match=words):
            KneserNey.load(tmp_path / name)


def test_the_end_may_be_a_word_of_the_vocabulary():
    # A tokenizer's own end token: then the outcomes are those of a network, and no more.
    model = KneserNey(3, vocabulary=7, end=5).fit([[1, 2, 3], [1, 2], []])
    assert model.words.outcomes == 7 and len(model.distribution([1, 2])) == 7
    assert model.distribution([1, 2]).sum() == pytest.approx(1, abs=1e-12)
    assert model.distribution([1, 2])[5] == pytest.approx(np.exp(model.logprob([1, 2])[-1]))
    with pytest.raises(ValueError, match="ending 7"):
        KneserNey(3, vocabulary=7, end=7)


def test_given_discounts_replace_the_estimated_ones():
    rows = [[1, 2, 3, 1, 2], [1, 2, 4], [2, 2, 1]]
    model = KneserNey(2, discounts=[(0, 0, 0), (1, 1, 1)]).fit(rows)
    # A discount of one from counts of one leaves the bigram model nothing but its repeated bigrams.
    assert model.distribution([3])[:1] == pytest.approx(model.distribution([], start=False)[:1])
    assert model.distribution([1]).sum() == pytest.approx(1, abs=1e-12)
    with pytest.raises(ValueError, match="1 triples"):
        KneserNey(2, discounts=[(0, 0, 0)])
