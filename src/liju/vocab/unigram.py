r"""Train the pieces of a Unigram vocabulary: expectation and maximisation over counted words.

T. Kudo, "Subword regularization", 2018, section 3.2: $p(x) = \prod_i p(x_i)$ over the pieces of a
segmentation; start with many pieces, estimate p from all segmentations, drop the pieces whose loss costs
the likelihood least, repeat.

It is written here because the trainer of `tokenizers` visits words in the order of a hash table that is
another in each process, so that the same text gives another vocabulary each time. This one also takes a
third of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, UInt64

__all__ = ["unigram"]

_LONGEST = 16  # characters in a piece
_SEEDS = 8  # pieces to start with, for each that is wanted
_KEEP = 0.75  # share of the pieces that stays in each round
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def unigram(words: Iterable[tuple[str, int]], size: int) -> list[tuple[str, float]]:
    r"""The `size` best pieces and their $\ln p$, likeliest first; every character is a piece. Fewer if
    there are not so many.

    >>> pieces = unigram([("the", 9), ("then", 5), ("hen", 2), ("en", 3)], size=7)
    >>> sorted(piece for piece, _ in pieces)
    ['e', 'en', 'h', 'n', 't', 'the', 'then']
    """
    words = [(word, times) for word, times in words if word]
    if not words:
        return []
    groups = _groups([word for word, _ in words], np.array([times for _, times in words], dtype=np.float64))
    hashes = np.concatenate([edge.hashes for group in groups for edge in group.edges])
    known, first, number = np.unique(hashes, return_index=True, return_inverse=True)
    weights = np.concatenate([group.times for group in groups for _ in group.edges])
    found = np.bincount(number, weights=weights)
    del hashes, number, weights
    text = _texts(groups, first)
    length = np.array([len(piece) for piece in text])
    single = length == 1
    # Ties in the order of the text, never of the hash.
    order = np.lexsort((np.array(text), -found * length))
    order = order[(found[order] > 1) & ~single[order]][: size * _SEEDS]
    kept = np.concatenate([np.flatnonzero(single), order])
    text, single = [text[i] for i in kept], single[kept]
    place = np.full(len(known), -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    # Where each edge's piece is in the list of pieces; -1 for no piece.
    lattices = [_Lattice.of(group, known, place) for group in groups]
    inner = _groups(text, np.ones(len(text)))
    pieces = [_Lattice.of(group, known, place) for group in inner]
    counts = found[kept]
    while True:
        for _ in range(2):
            chance = _maximise(counts, single)
            counts = np.zeros(len(text))
            for lattice in lattices:
                lattice.expect(chance, counts)
        chance = _maximise(counts, single)
        alive = int((chance > 0).sum())
        goal = max(size, int(alive * _KEEP))
        # What the likelihood loses without the piece: its count times how much worse it is spelled with
        # others.
        loss = np.full(len(text), np.inf)
        for lattice in pieces:
            lattice.cost(chance, counts, loss)
        loss[single] = np.inf
        loss[chance <= 0] = -np.inf
        keep = np.lexsort((np.array(text), -loss))[: max(min(goal, alive), int(single.sum()))]
        counts[np.setdiff1d(np.arange(len(text)), keep)] = 0
        if len(keep) <= max(size, int(single.sum())):
            break
    chance = _maximise(counts, single)
    chosen = [(text[i], float(np.log(chance[i]))) for i in keep]
    return sorted(chosen, key=lambda pair: (-pair[1], pair[0]))


@dataclass(frozen=True)
class _Edge:
    """The substring at start..end of every word of one length, as hashes."""

    start: int
    end: int
    hashes: UInt64[np.ndarray, " word"]


@dataclass(frozen=True)
class _Group:
    """Words of one length."""

    words: list[str]
    rows: Int64[np.ndarray, " word"]
    times: Float64[np.ndarray, " word"]
    length: int
    edges: list[_Edge]


def _groups(words: list[str], times: Float64[np.ndarray, " word"]) -> list[_Group]:
    lengths = np.array([len(word) for word in words])
    groups = []
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        members = [words[row] for row in rows]
        letters = np.frombuffer("".join(members).encode("utf-32-le", "replace"), dtype="<u4")
        letters = letters.reshape(len(rows), length).astype(np.uint64)
        edges = []
        for start in range(length):
            run = np.zeros(len(rows), dtype=np.uint64)
            for end in range(start + 1, min(length, start + _LONGEST) + 1):
                run = (run + letters[:, end - 1] + np.uint64(1)) * _SPREAD
                run ^= run >> np.uint64(29)
                edges.append(_Edge(start, end, run))
        groups.append(_Group(members, rows, times[rows], int(length), edges))
    return groups


def _texts(groups: list[_Group], first: Int64[np.ndarray, " piece"]) -> list[str]:
    """The substrings at these places of all hashes in a row."""
    spans = [(group, edge) for group in groups for edge in group.edges]
    bounds = np.cumsum([0, *(len(edge.hashes) for _, edge in spans)])
    which = np.searchsorted(bounds, first, side="right") - 1
    inside = first - bounds[which]
    texts = []
    for span, row in zip(which.tolist(), inside.tolist(), strict=True):
        group, edge = spans[span]
        texts.append(group.words[row][edge.start : edge.end])
    return texts


@dataclass(frozen=True)
class _Lattice:
    """All segmentations of the words of one length: the piece of every edge."""

    rows: Int64[np.ndarray, " word"]
    times: Float64[np.ndarray, " word"]
    length: int
    edges: list[tuple[int, int, Int64[np.ndarray, " word"]]]

    @classmethod
    def of(
        cls, group: _Group, known: UInt64[np.ndarray, " text"], place: Int64[np.ndarray, " text"]
    ) -> _Lattice:
        edges = []
        for edge in group.edges:
            piece = place[np.searchsorted(known, edge.hashes)]
            if (piece >= 0).any():
                edges.append((edge.start, edge.end, piece))
        return cls(group.rows, group.times, group.length, edges)

    def expect(self, chance: Float64[np.ndarray, " piece"], counts: Float64[np.ndarray, " piece"]) -> None:
        """Add to `counts` how often each piece is used, over all segmentations by their probability."""
        # Plain products: 24 characters at 1e-10 each are far from the smallest float.
        padded = np.append(chance, 0.0)
        forward = np.zeros((self.length + 1, len(self.times)))
        backward = np.zeros_like(forward)
        forward[0] = backward[-1] = 1
        for start, end, piece in sorted(self.edges, key=lambda edge: edge[1]):
            forward[end] += forward[start] * padded[piece]
        for start, end, piece in sorted(self.edges, key=lambda edge: -edge[0]):
            backward[start] += backward[end] * padded[piece]
        share = self.times / forward[-1]
        for start, end, piece in self.edges:
            used = forward[start] * padded[piece] * backward[end] * share
            counts += np.bincount(piece + 1, weights=used, minlength=len(counts) + 1)[1:]

    def cost(
        self,
        chance: Float64[np.ndarray, " piece"],
        counts: Float64[np.ndarray, " piece"],
        loss: Float64[np.ndarray, " piece"],
    ) -> None:
        """Write to `loss` what the likelihood loses without each of these words, all pieces."""
        if self.length == 1:
            return
        padded = np.append(chance, 0.0)
        best = np.zeros((self.length + 1, len(self.times)))
        best[0] = 1
        for start, end, piece in sorted(self.edges, key=lambda edge: edge[1]):
            if end - start < self.length:
                np.maximum(best[end], best[start] * padded[piece], out=best[end])
        own = chance[self.rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            loss[self.rows] = np.where(own > 0, counts[self.rows] * (np.log(own) - np.log(best[-1])), -np.inf)


def _maximise(counts: Float64[np.ndarray, " piece"], single: np.ndarray) -> Float64[np.ndarray, " piece"]:
    r"""$p = \exp(\psi(c) - \psi(\sum c))$, which takes from rare pieces; those under half a use go."""
    counts = np.where(single, np.maximum(counts, 0.5), np.where(counts < 0.5, 0.0, counts))
    chance = np.zeros(len(counts))
    there = counts > 0
    chance[there] = np.exp(_digamma(counts[there]) - _digamma(np.array([counts.sum()])))
    return np.where(there, np.maximum(chance, 1e-10), 0.0)


def _digamma(x: Float64[np.ndarray, " value"]) -> Float64[np.ndarray, " value"]:
    r"""$\psi(x)$ by its recurrence up to x > 6 and the asymptotic series from there."""
    x = x.copy()
    result = np.zeros_like(x)
    for _ in range(6):
        small = x < 6
        result[small] -= 1 / x[small]
        x[small] += 1
    inverse = 1 / (x * x)
    series = inverse * (1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse / 240)))
    return result + np.log(x) - 0.5 / x - series
