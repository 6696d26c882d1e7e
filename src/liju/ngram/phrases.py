"""Phrases and their translations, taken from aligned sentence pairs.

P. Koehn, F. J. Och and D. Marcu, "Statistical phrase-based translation", 2003.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from liju.ngram.alignment import NULL, IBMModel1
from liju.ngram.counts import find

__all__ = ["PhraseTable", "extract_phrases"]

Flat = Int64[np.ndarray, " place"]


class Runs:
    """The different runs of 1..longest ids in sentences, numbered; `at[k-1][place]` is the run of k there."""

    def __init__(self, sentences: Sequence[Flat], longest: int):
        self.flat = np.concatenate([*sentences, np.zeros(0, dtype=np.int64)])
        lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
        self.ends = np.repeat(np.cumsum(lengths), lengths)  # one past the sentence of each place
        self.base = int(self.flat.max(initial=0)) + 1
        self.keys: list[Int64[np.ndarray, " run"]] = []
        self.at: list[Flat] = []
        self.offsets = [0]  # the number of the first run of each length
        self.first: list[Flat] = []  # a place where each run begins
        row = np.zeros(len(self.flat), dtype=np.int64)
        for length in range(1, longest + 1):
            places = np.flatnonzero(np.arange(len(self.flat)) + length <= self.ends)
            keys, first, inverse = np.unique(
                row[places] * self.base + self.flat[places + length - 1],
                return_index=True,
                return_inverse=True,
            )
            row = np.full(len(self.flat), -1, dtype=np.int64)
            row[places] = inverse
            self.keys.append(keys)
            self.at.append(row)
            self.first.append(places[first])
            self.offsets.append(self.offsets[-1] + len(keys))

    def ids(self, number: int) -> list[int]:
        """The ids of a run, by its number over all lengths."""
        length = int(np.searchsorted(self.offsets, number, side="right"))
        place = self.first[length - 1][number - self.offsets[length - 1]]
        return self.flat[place : place + length].tolist()

    def find(self, ids: Sequence[int]) -> list[list[int]]:
        """For each place of a sentence and each length: the number of the run there, or -1."""
        words = np.array(ids, dtype=np.int64)
        words[words >= self.base] = NULL
        row = np.zeros(len(words), dtype=np.int64)
        found = []
        for k, keys in enumerate(self.keys):
            if k >= len(words):
                break
            last = words[k:]
            row = find(keys, np.where(last >= 0, row[: len(last)], -1), last, self.base)
            found.append(np.where(row >= 0, row + self.offsets[k], -1))
        return [[int(line[place]) for line in found if place < len(line)] for place in range(len(words))]


def extract_phrases(
    sources: Sequence[Flat],
    targets: Sequence[Flat],
    links: Sequence[Sequence[tuple[int, int]]],
    longest: tuple[int, int] = (5, 7),
) -> Int64[np.ndarray, "phrase 4"]:
    """Every pair of phrases that the links do not contradict, as often as it occurs.

    A phrase of the source and one of the target belong together when a link leads from the one to the other
    and none leads from inside to outside. Words without a link may stand at the edges. Rows are source place,
    length, target place, length; places count through all sentences. All spans are tried at once, as windows
    of growing length over all sentences in a row.

    >>> extract_phrases([np.array([7, 8])], [np.array([5, 6])], [[(0, 1), (1, 0)]]).tolist()
    [[0, 1, 1, 1], [1, 1, 0, 1], [0, 2, 0, 2]]
    """
    ends_of = [np.cumsum([len(each) for each in side]) for side in (sources, targets)]
    sizes = [int(ends[-1]) if len(ends) else 0 for ends in ends_of]
    counts = [len(each) for each in links]
    pairs = np.array([pair for each in links for pair in each], dtype=np.int64).reshape(-1, 2)
    for side, (own, ends) in enumerate(zip((sources, targets), ends_of, strict=True)):
        pairs[:, side] += np.repeat(ends - [len(each) for each in own], counts)
    low, high = zip(*(_reach(pairs, side, sizes) for side in (0, 1)), strict=True)
    ends = [
        np.repeat(each, [len(sentence) for sentence in own])
        for each, own in zip(ends_of, (sources, targets), strict=True)
    ]
    # What target windows of each length reach in the source.
    back_low, back_high = [low[1]], [high[1]]
    for length in range(1, longest[1]):
        back_low.append(np.minimum(back_low[-1][:-1], low[1][length:]))
        back_high.append(np.maximum(back_high[-1][:-1], high[1][length:]))
    free = high[1] < 0
    found = []
    from_low, from_high = low[0], high[0]
    for length in range(1, longest[0] + 1):
        if length > 1:
            from_low = np.minimum(from_low[:-1], low[0][length - 1 :])
            from_high = np.maximum(from_high[:-1], high[0][length - 1 :])
        place = np.arange(len(from_low))
        wide = from_high - from_low + 1
        fits = (place + length <= ends[0][: len(place)]) & (from_high >= 0) & (wide <= longest[1])
        for width in range(1, longest[1] + 1):
            at = np.flatnonzero(fits & (wide == width))
            begin = from_low[at]
            at = at[(back_low[width - 1][begin] >= at) & (back_high[width - 1][begin] < at + length)]
            found.append(_widened(at, length, from_low[at], width, free, ends[1], longest[1]))
    return np.concatenate([*found, np.zeros((0, 4), dtype=np.int64)])


def _reach(pairs: Int64[np.ndarray, "link 2"], side: int, sizes: list[int]) -> tuple[Flat, Flat]:
    """The first and the last place of the other side that each place of a side has a link to."""
    low = np.full(sizes[side], np.iinfo(np.int64).max)
    high = np.full(sizes[side], -1, dtype=np.int64)
    np.minimum.at(low, pairs[:, side], pairs[:, 1 - side])
    np.maximum.at(high, pairs[:, side], pairs[:, 1 - side])
    return low, high


def _widened(
    at: Flat, length: int, begin: Flat, width: int, free: np.ndarray, ends: Flat, longest: int
) -> Int64[np.ndarray, "phrase 4"]:
    """The pairs with a target of `width`, and those with words without a link before and after it."""
    rows = []
    for left in range(longest - width + 1):
        if left:  # one more to the left, within the sentence
            before = begin - left
            keep = (before >= 0) & free[before] & (ends[before] == ends[begin])
            at, begin = at[keep], begin[keep]
        inside, start = at, begin
        for right in range(longest - width - left + 1):
            if right:
                after = start + width + right - 1
                keep = after < ends[start]
                keep[keep] = free[after[keep]]
                inside, start = inside[keep], start[keep]
            if not len(inside):
                break
            rows.append(
                np.stack(
                    [
                        inside,
                        np.full(len(inside), length),
                        start - left,
                        np.full(len(inside), width + left + right),
                    ],
                    axis=1,
                )
            )
    return np.concatenate([*rows, np.zeros((0, 4), dtype=np.int64)])


class PhraseTable:
    r"""The translations of each source phrase, with four log probabilities each.

    $p(t \mid s) = (c(s,t) - D) / c(s)$ and $p(s \mid t)$ alike, with $D = n_1 / (n_1 + 2 n_2)$ taken from
    every count: a pair seen once is not sure (G. Foster, R. Kuhn and H. Johnson, "Phrasetable smoothing for
    statistical machine translation", 2006). The lexical weights are those of Model 1 within the phrase,
    $\prod_j \frac{1}{I+1} \sum_i t(t_j \mid s_i)$, in both directions.

    `forward` is a Model 1 from source to target, `backward` one from target to source.
    """

    def __init__(
        self,
        sources: Sequence[Flat],
        targets: Sequence[Flat],
        links: Sequence[Sequence[tuple[int, int]]],
        forward: IBMModel1,
        backward: IBMModel1,
        longest: tuple[int, int] = (5, 7),
    ):
        self.sources, self.targets = Runs(sources, longest[0]), Runs(targets, longest[1])
        found = extract_phrases(sources, targets, links, longest)
        numbers = []
        for runs, column in ((self.sources, 0), (self.targets, 2)):
            place, length = found[:, column], found[:, column + 1]
            # One row a length; places that no run of that length begins at are not asked for.
            numbers.append(np.stack(runs.at)[length - 1, place] + np.array(runs.offsets)[length - 1])
        base = self.targets.offsets[-1]
        keys, count = np.unique(numbers[0] * base + numbers[1], return_counts=True)
        self.source, self.target = np.divmod(keys, max(1, base))
        self.count = count
        once, twice = (float((count == n).sum()) for n in (1, 2))
        discount = once / (once + 2 * twice) if twice else 0.5
        totals = [np.bincount(each, weights=count)[each] for each in (self.source, self.target)]
        lexical = self._lexical(forward, backward)
        self.features: Float64[np.ndarray, "pair 4"] = np.stack(
            [*(np.log((count - discount) / total) for total in totals), *lexical], axis=1
        )
        self._bounds = np.searchsorted(self.source, np.arange(self.sources.offsets[-1] + 1))

    def __len__(self) -> int:
        return len(self.source)

    def translations(self, source: int) -> slice:
        """The rows of a source phrase's translations, by its number."""
        return slice(int(self._bounds[source]), int(self._bounds[source + 1]))

    def _lexical(self, forward: IBMModel1, backward: IBMModel1) -> list[Float64[np.ndarray, " pair"]]:
        logs = [np.zeros(len(self.source)), np.zeros(len(self.source))]
        lengths = [
            np.searchsorted(runs.offsets, numbers, side="right")
            for runs, numbers in ((self.sources, self.source), (self.targets, self.target))
        ]
        for own in range(1, len(self.sources.keys) + 1):
            for other in range(1, len(self.targets.keys) + 1):
                rows = np.flatnonzero((lengths[0] == own) & (lengths[1] == other))
                grids = [
                    runs.flat[runs.first[k - 1][numbers[rows] - runs.offsets[k - 1]][:, None] + np.arange(k)]
                    for runs, numbers, k in (
                        (self.sources, self.source, own),
                        (self.targets, self.target, other),
                    )
                ]
                logs[0][rows] = _model1(forward, grids[0], grids[1])
                logs[1][rows] = _model1(backward, grids[1], grids[0])
        return logs


def _model1(
    model: IBMModel1, source: Int64[np.ndarray, "pair source"], target: Int64[np.ndarray, "pair target"]
) -> Float64[np.ndarray, " pair"]:
    """ln of Model 1's probability of each target phrase."""
    source = np.concatenate([np.full((len(source), 1), NULL), source], axis=1)
    shape = (len(source), target.shape[1], source.shape[1])
    chance = model.probability(
        np.broadcast_to(source[:, None, :], shape).ravel(), np.broadcast_to(target[:, :, None], shape).ravel()
    ).reshape(shape)
    # Words that EM has given up on together leave a small chance.
    return np.log(np.maximum(chance.mean(axis=2), 1e-7)).sum(axis=1)
