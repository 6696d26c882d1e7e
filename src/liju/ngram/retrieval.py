"""A translation memory: answer with the translation of the nearest sentence already translated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64, UInt64

from liju.errors import DataError
from liju.ngram.counts import ids_of

__all__ = ["TranslationMemory"]

# An odd number near 2^64 / golden ratio: multiplying by it spreads code points over 64 bits.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class TranslationMemory:
    r"""Nearest training pair by the cosine of character n-gram TF-IDF vectors.

    The weight of n-gram g in text x is $(1 + \ln f_{x,g}) \, \ln \frac{1 + N}{1 + N_g}$, where it occurs
    f times in x and in N_g of the N training texts. Characters, not words: Chinese needs no segmenter.

    It is the baseline of translation: what copying the nearest example would score.

    >>> memory = TranslationMemory().fit(["good morning", "good night"], ["早上好", "晚安"])
    >>> memory.translate(["Good night!"])
    ['晚安']
    """

    def __init__(self, orders: Sequence[int] = (2, 3, 4), lowercase: bool = True):
        self.orders = tuple(sorted(orders))
        self.lowercase = lowercase
        self.targets: list[str] = []
        # Postings by n-gram: texts and weights of n-gram g are at _bounds[g] : _bounds[g+1].
        self._grams: UInt64[np.ndarray, " gram"] = np.zeros(0, dtype=np.uint64)
        self._idf: Float64[np.ndarray, " gram"] = np.zeros(0)
        self._bounds: Int64[np.ndarray, " bound"] = np.zeros(1, dtype=np.int64)
        self._texts: Int64[np.ndarray, " posting"] = np.zeros(0, dtype=np.int64)
        self._weights: Float64[np.ndarray, " posting"] = np.zeros(0)

    def fit(self, sources: Sequence[str], targets: Sequence[str]) -> TranslationMemory:
        """Index `sources`. Raises DataError where there is no pair, or not one target a source."""
        if len(sources) != len(targets) or not len(sources):
            raise DataError(
                f"{len(sources)} sources and {len(targets)} targets", hint="give each source a target"
            )
        self.targets = list(targets)
        found = [self._count(source) for source in sources]
        gram = np.concatenate([grams for grams, _ in found])
        times = np.concatenate([counts for _, counts in found])
        text = np.repeat(np.arange(len(found)), [len(grams) for grams, _ in found])
        self._grams, number = np.unique(gram, return_inverse=True)
        document_frequency = np.bincount(number, minlength=len(self._grams))
        self._idf = np.log((1 + len(found)) / (1 + document_frequency))
        weights = (1 + np.log(times)) * self._idf[number]
        length = np.sqrt(np.bincount(text, weights=weights**2, minlength=len(found)))
        weights /= np.where(length > 0, length, 1)[text]
        by_gram = np.argsort(number, kind="stable")
        self._texts, self._weights = text[by_gram], weights[by_gram]
        self._bounds = np.concatenate([[0], np.cumsum(document_frequency)])
        return self

    def nearest(self, text: str, k: int = 1) -> list[tuple[int, float]]:
        """The `k` nearest training pairs as (row, cosine), nearest first; equal ones in training order."""
        similar = self._similar(text)
        k = min(k, len(similar))
        cut = np.partition(similar, len(similar) - k)[len(similar) - k] if k else np.inf
        near = np.flatnonzero(similar >= cut)
        near = near[np.argsort(-similar[near], kind="stable")][:k]
        return [(int(row), float(similar[row])) for row in near]

    def translate(self, texts: Sequence[str]) -> list[str]:
        """The translation of the nearest training source of each text."""
        return [self.targets[self.nearest(text)[0][0]] for text in texts]

    def _similar(self, text: str) -> Float64[np.ndarray, " pair"]:
        grams, times = self._count(text)
        row = np.searchsorted(self._grams, grams)
        row[row == len(self._grams)] = 0
        known = self._grams[row] == grams if len(self._grams) else np.zeros(len(grams), dtype=bool)
        row = row[known]
        weights = (1 + np.log(times[known])) * self._idf[row]
        length = np.sqrt((weights**2).sum())
        similar = np.zeros(len(self.targets))
        for gram, weight in zip(row, weights / (length or 1), strict=True):
            at = slice(self._bounds[gram], self._bounds[gram + 1])
            # A text holds each n-gram once in the postings, so no place is added to twice.
            similar[self._texts[at]] += weight * self._weights[at]
        return similar

    def _count(self, text: str) -> tuple[UInt64[np.ndarray, " gram"], Int64[np.ndarray, " gram"]]:
        """The n-grams of a text as hashes of 64 bits, and how often each occurs. A space marks both ends."""
        letters = ids_of(f" {text.lower() if self.lowercase else text} ").astype(np.uint64)
        run = np.zeros(len(letters), dtype=np.uint64)
        hashes = []
        for length in range(1, self.orders[-1] + 1):
            if length > len(letters):
                break
            run = (run[: len(letters) - length + 1] + letters[length - 1 :] + np.uint64(1)) * _SPREAD
            run ^= run >> np.uint64(29)
            if length in self.orders:
                hashes.append(run)
        grams, times = np.unique(np.concatenate([*hashes, run[:0]]), return_counts=True)
        return grams, times
