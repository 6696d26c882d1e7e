"""Which word translates which: IBM Model 1, and two directions made one.

P. F. Brown, S. A. Della Pietra, V. J. Della Pietra and R. L. Mercer, "The mathematics of statistical machine
translation: parameter estimation", 1993, section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from liju.errors import DataError
from liju.ngram.counts import Ids, find, ids_of

__all__ = ["NULL", "IBMModel1", "symmetrised"]

NULL = -1  # the empty source word, which translates to words that nothing in the source stands for
NO_SOURCE = 0.08  # with a prior for the diagonal: how likely a target word is to come from NULL


class IBMModel1:
    r"""The probability of each word as the translation of each other, by expectation maximisation.

    $$P(f_1^J \mid e_1^I) \propto \prod_{j=1}^{J} \sum_{i=0}^{I} t(f_j \mid e_i)$$

    e is the source with NULL as $e_0$, f the target. Each iteration counts every pair of words of a sentence
    pair by how likely the one is to come from the other, and divides: $t(f \mid e) = c(f, e) / c(e)$. It
    begins with the same number for all, and the likelihood (`log_likelihood`, one an iteration, natural
    logarithm, constants left out) never falls.

    With `diagonal` above zero the place has a say, as in Model 2 with one number for all tables: $i$ is
    chosen with probability proportional to $e^{-\mathrm{diagonal} \cdot |i/I - j/J|}$ (C. Dyer, V. Chahuneau
    and N. A. Smith, "A simple, fast, and effective reparameterization of IBM Model 2", 2013; 4 is their
    start).

    >>> sources, targets = [[0, 1], [0, 2], [3]], [[5, 6], [5, 7], [8]]
    >>> model = IBMModel1(iterations=20).fit(sources, targets)
    >>> model.probability([0, 1, 0], [5, 6, 6]).round(2)
    array([0.97, 1.  , 0.02])
    """

    def __init__(self, iterations: int = 10, diagonal: float = 0.0):
        self.iterations = iterations
        self.diagonal = diagonal
        self.log_likelihood: list[float] = []
        # Every pair of words that stood in one sentence pair, as source row * base + target, sorted.
        self._keys: Int64[np.ndarray, " pair"] = np.zeros(0, dtype=np.int64)
        self._chance: Float64[np.ndarray, " pair"] = np.zeros(0)
        self._base = 1

    def fit(self, sources: Sequence[Ids], targets: Sequence[Ids]) -> IBMModel1:
        """Learn from sentence pairs of ids >= 0. Raises DataError where there is not one target a source.

        Memory is about 40 bytes for each pair of words in a sentence pair.
        """
        links = _Links.of(sources, targets, self.diagonal)
        # NULL is row 0, the word e row e + 1.
        self._base = int(links.target.max(initial=0)) + 1
        self._keys, pair = np.unique((links.source + 1) * self._base + links.target, return_inverse=True)
        source = self._keys // self._base
        self._chance = np.full(len(self._keys), 1 / max(1, len(np.unique(links.target))))
        self.log_likelihood = []
        for _ in range(self.iterations):
            share = self._chance[pair] * links.prior
            total = np.add.reduceat(share, links.starts) if len(share) else share
            self.log_likelihood.append(float(np.log(total).sum()))
            share /= np.repeat(total, links.lengths)
            counts = np.bincount(pair, weights=share, minlength=len(self._keys))
            self._chance = counts / np.bincount(source, weights=counts)[source]
        return self

    def probability(self, sources: Ids, targets: Ids) -> Float64[np.ndarray, " pair"]:
        """t(target | source) of each pair of ids; 0 for words that were never in one sentence pair.

        A source of -1 is NULL.
        """
        source, target = ids_of(sources), ids_of(targets)
        row = find(self._keys, np.where(target >= 0, source + 1, -1), target, self._base)
        row[target >= self._base] = -1
        return np.where(row >= 0, self._chance[row] if len(self._chance) else 0.0, 0.0)

    def translations(self, source: int, best: int = 3) -> list[tuple[int, float]]:
        """The `best` likeliest target words of a source word, likeliest first, with t."""
        low, high = np.searchsorted(self._keys, [(source + 1) * self._base, (source + 2) * self._base])
        rows = low + np.argsort(-self._chance[low:high], kind="stable")[:best]
        return [(int(self._keys[row] % self._base), float(self._chance[row])) for row in rows]

    def align(self, sources: Sequence[Ids], targets: Sequence[Ids]) -> list[Int64[np.ndarray, " target"]]:
        """For each place of each target the likeliest place of its source, or NULL.

        Of equally likely ones the first, NULL before all.
        """
        links = _Links.of(sources, targets, self.diagonal)
        share = self.probability(links.source, links.target) * links.prior
        best = np.maximum.reduceat(share, links.starts) if len(share) else share
        hits = np.flatnonzero(share == np.repeat(best, links.lengths))
        _, first = np.unique(np.repeat(np.arange(len(best)), links.lengths)[hits], return_index=True)
        place = links.place[hits[first]]
        return np.split(place, np.cumsum([len(target) for target in targets])[:-1]) if len(targets) else []


@dataclass(frozen=True)
class _Links:
    """All pairs (source word or NULL, target word) within a sentence pair, in one row, by target place."""

    source: Int64[np.ndarray, " link"]  # ids, NULL for the empty word
    target: Int64[np.ndarray, " link"]
    place: Int64[np.ndarray, " link"]  # of the source word in its sentence, NULL for the empty word
    prior: Float64[np.ndarray, " link"] | float
    starts: Int64[np.ndarray, " place"]  # where the links of each target place begin
    lengths: Int64[np.ndarray, " place"]

    @classmethod
    def of(cls, sources: Sequence[Ids], targets: Sequence[Ids], diagonal: float) -> _Links:
        if len(sources) != len(targets):
            raise DataError(
                f"{len(sources)} sources and {len(targets)} targets", hint="give each source a target"
            )
        rows = [np.concatenate([[NULL], ids_of(source)]) for source in sources]
        ends = [ids_of(target) for target in targets]
        flat = np.concatenate([*rows, np.zeros(0, dtype=np.int64)])
        words = np.concatenate([*ends, np.zeros(0, dtype=np.int64)])
        widths = np.array([len(row) for row in rows], dtype=np.int64)
        heights = np.array([len(end) for end in ends], dtype=np.int64)
        lengths = np.repeat(widths, heights)
        starts = np.cumsum(lengths) - lengths
        offset = np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
        first = np.repeat(np.cumsum(widths) - widths, heights)  # of each target place, its source in `flat`
        prior: Float64[np.ndarray, " link"] | float = 1.0
        if diagonal > 0:
            j = np.arange(len(words)) - np.repeat(np.cumsum(heights) - heights, heights)
            across = np.repeat((j + 0.5) / np.repeat(heights, heights), lengths)
            down = (offset - 0.5) / np.maximum(np.repeat(lengths - 1, lengths), 1)
            near = np.where(offset > 0, np.exp(-diagonal * np.abs(down - across)), 0.0)
            total = np.add.reduceat(near, starts) if len(near) else near
            prior = (1 - NO_SOURCE) * near / np.repeat(np.where(total > 0, total, 1), lengths)
            prior[offset == 0] = NO_SOURCE
        return cls(
            flat[np.repeat(first, lengths) + offset],
            np.repeat(words, lengths),
            offset - 1,
            prior,
            starts,
            lengths,
        )


def symmetrised(forward: Sequence[int], backward: Sequence[int]) -> list[tuple[int, int]]:
    """Two alignments, one in each direction, made one: grow-diag-final-and.

    `forward[j]` is the source place of target place j, `backward[i]` the target place of source place i, NULL
    where there is none. Begin with what both say; add neighbours, diagonal ones too, that one of them says
    and that give an unaligned word a partner; then add what is left between two unaligned words. (P. Koehn,
    F. J. Och and D. Marcu, "Statistical phrase-based translation", 2003; "final-and" as in Moses.) Returns
    pairs (source place, target place), sorted.

    >>> symmetrised([0, 0, 1], [0, 2])     # both say 0-0 and 1-2; 0-1 is a neighbour
    [(0, 0), (0, 1), (1, 2)]
    """
    one = {(int(i), j) for j, i in enumerate(forward) if i >= 0}
    other = {(i, int(j)) for i, j in enumerate(backward) if j >= 0}
    either, found = one | other, one & other
    sources, targets = {i for i, _ in found}, {j for _, j in found}

    def add(i: int, j: int) -> None:
        found.add((i, j))
        sources.add(i)
        targets.add(j)

    grown = True
    while grown:
        grown = False
        for i in range(len(backward)):
            for j in range(len(forward)):
                if (i, j) not in found:
                    continue
                for di, dj in ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)):
                    near = (i + di, j + dj)
                    fits = near in either and near not in found
                    if fits and (near[0] not in sources or near[1] not in targets):
                        add(*near)
                        grown = True
    for said in (one, other):
        for i, j in sorted(said):
            if i not in sources and j not in targets:
                add(i, j)
    return sorted(found)
