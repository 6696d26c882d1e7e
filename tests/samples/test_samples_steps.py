import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from liju.samples import APART, Sample, Steps, micro_batches, pack
from liju.samples.steps import ORDER


class Lengths:
    """Endless samples whose lengths follow a list."""

    def __init__(self, lengths):
        self.list = np.array(lengths)
        self.size, self.fingerprint = len(lengths), "toy"

    def lengths(self, numbers):
        length = self.list[numbers % self.size]
        return np.stack([length, np.zeros_like(length)], axis=1)


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=60),
    budget=st.integers(1, 200),
    window=st.integers(1, 7),
)
def test_every_pass_has_each_sample_once_and_no_step_is_empty(lengths, budget, window):
    steps = Steps(Lengths(lengths), budget, window=window)
    size = len(lengths)
    for which in range(2):
        parts = [steps.numbers(s) for s in range(which * steps.per_pass, (which + 1) * steps.per_pass)]
        assert all(len(part) for part in parts)
        expected = np.arange(which * size, (which + 1) * size)
        assert np.array_equal(np.sort(np.concatenate(parts)), expected)


def test_a_pass_is_cut_into_windows_of_like_length():
    lengths = np.random.default_rng(0).integers(3, 90, 5000)
    steps = Steps(Lengths(lengths.tolist()), 2000, window=32)
    assert (steps.per_pass, steps.windows) == (116, 4)
    # A window is a part of the sequence: steps far from each other share no part of the pass.
    first = np.concatenate([steps.numbers(s) for s in range(29)])
    assert np.array_equal(np.sort(first), np.arange(len(first)))


def test_a_step_needs_only_its_number():
    lengths = np.random.default_rng(0).integers(3, 90, 500).tolist()
    straight = Steps(Lengths(lengths), 300)
    found = [straight.numbers(s).tolist() for s in range(200)]
    for s in (199, 3, 64, 63, 128):
        assert Steps(Lengths(lengths), 300).numbers(s).tolist() == found[s]


def laid(lengths):
    """How much of the places that a step's micro-batches take is real, and the places."""
    lengths = np.atleast_2d(lengths.T).T
    samples = [Sample(i, *(np.zeros(n, int) for n in row)) for i, row in enumerate(lengths)]
    places = sum(batch.places for batch in micro_batches(samples, 10**6, apart=APART))
    return lengths.sum() / places, places


def test_steps_hold_about_the_tokens_asked_for_and_little_padding():
    lengths = np.random.default_rng(0).integers(3, 90, 5000)
    steps = Steps(Lengths(lengths.tolist()), 2000)
    sizes, real = [], []
    for s in range(64):
        own = lengths[steps.numbers(s) % 5000]
        sizes.append(own.sum())
        real.append(laid(own)[0])
    assert abs(np.mean(sizes) - 2000) < 100
    assert np.mean(real) > 0.9


def test_a_step_is_of_several_lengths_and_all_have_about_as_many_samples():
    lengths = np.random.default_rng(0).integers(3, 90, 5000)
    mixed, alike = (Steps(Lengths(lengths.tolist()), 2048, slices=n) for n in (4, 1))
    own = [lengths[mixed.numbers(s) % 5000] for s in range(64)]
    assert min(part.max() - part.min() for part in own) > 30
    counts = [[len(steps.numbers(s)) for s in range(64)] for steps in (mixed, alike)]
    assert np.std(counts[0]) < 0.6 * np.std(counts[1])
    assert Steps(Lengths(lengths.tolist()), 511).slices == 1  # too few tokens for two


@given(
    sizes=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9)), min_size=1, max_size=12),
    limit=st.integers(1, 200),
    apart=st.integers(1, 60),
)
def test_micro_batches_are_cut_where_it_costs_least(sizes, limit, apart):
    samples = [Sample(i, np.zeros(e, int), np.zeros(d, int)) for i, (e, d) in enumerate(sizes)]
    batches = micro_batches(samples, limit, apart=apart)
    assert sorted(n for batch in batches for n in batch.samples) == list(range(len(sizes)))
    rows = sorted(sizes, reverse=True)
    best = [0.0]
    for end in range(1, len(rows) + 1):  # every cut, one row at a time
        found = []
        for begin in range(end):
            places = (end - begin) * sum(max(side) for side in zip(*rows[begin:end], strict=True))
            if places <= limit or begin == end - 1:
                found.append(best[begin] + places + apart)
        best.append(min(found))
    cost = sum(batch.places + apart for batch in batches)
    assert cost >= best[-1]
    if limit >= len(rows) * (30 + 9):  # else a length of many rows is cut where a batch is full
        assert cost == best[-1]


class Pairs(Lengths):
    """Samples of two sides."""

    def lengths(self, numbers):
        return self.list[numbers % self.size]


def test_samples_of_two_sides_leave_little_empty_on_either():
    # A translation's lengths: the second side follows the first, loosely.
    random = np.random.default_rng(0)
    source = random.integers(5, 31, 20_000)
    target = np.maximum(1, source + random.integers(-6, 7, 20_000))
    steps = Steps(Pairs(np.stack([source, target], 1)), 4096)
    real = places = 0
    for s in range(64):
        own = steps.objective.list[steps.numbers(s) % 20_000]
        real, places = real + own.sum(), places + laid(own)[1]
    assert real / places > 0.92  # sorted by the first side, then the second, it was 0.892


@given(
    pairs=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 7)), min_size=1, max_size=60),
    budget=st.integers(1, 90),
    window=st.integers(1, 7),
)
def test_samples_of_two_sides_are_each_once_in_a_pass(pairs, budget, window):
    steps = Steps(Pairs(pairs), budget, window=window)
    parts = [steps.numbers(s) for s in range(steps.per_pass)]
    assert all(len(part) for part in parts)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(pairs)))


@given(
    pairs=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 7)), min_size=1, max_size=20),
    limit=st.integers(1, 60),
    packed=st.booleans(),
)
def test_micro_batches_hold_every_sample_once_within_the_limit(pairs, limit, packed):
    samples = [Sample(i, encoder=np.arange(e), decoder=np.arange(d)) for i, (e, d) in enumerate(pairs)]
    batches = micro_batches(samples, limit, "packed" if packed else "grouped")
    assert sorted(n for batch in batches for n in batch.samples) == list(range(len(pairs)))
    for batch in batches:
        assert batch.places <= limit or len(batch.encoder.tokens) == 1
    assert sum(batch.tokens for batch in batches) == sum(map(sum, pairs))


@given(pairs=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 7)), min_size=1, max_size=30))
def test_packing_keeps_both_sides_within_the_width(pairs):
    samples = [Sample(i, encoder=np.arange(e), decoder=np.arange(d)) for i, (e, d) in enumerate(pairs)]
    rows = pack(samples, 11)
    assert sorted(i for row in rows for i in row) == list(range(len(pairs)))
    for row in rows:
        assert sum(pairs[i][0] for i in row) <= 11 and sum(pairs[i][1] for i in row) <= 11


def test_the_order_is_the_one_that_its_number_names():
    # A run that was begun goes on with the same samples: whoever changes what this gives raises ORDER.
    random = np.random.default_rng(0)
    pairs = random.integers(3, 90, (700, 2))

    class Pairs(Lengths):
        def lengths(self, numbers):
            return pairs[numbers % self.size]

    steps = Steps(Pairs([0] * 700), 4 * 512, seed=5, window=4)
    told = b"".join(steps.numbers(step).astype("<i8").tobytes() for step in range(steps.per_pass))
    assert (ORDER[0], hashlib.sha256(told).hexdigest()[:8]) == ("1", "0a04d705")
