"""Modified Kneser-Ney: the n-gram language model that counts best.

S. F. Chen and J. Goodman, "An empirical study of smoothing techniques for language
modeling", 1998, section 3.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from liju.errors import DataError
from liju.ngram.counts import Ids, Stream, Table, Words, count, ids_of, rows

__all__ = ["FALLBACK", "KneserNey", "discounts"]

FALLBACK = (0.5, 1.0, 1.5)
VERSION = 1


def discounts(counts: Int64[np.ndarray, " run"]) -> tuple[float, float, float]:
    r"""What is taken from a count of one, of two, and of three or more.

    $Y = n_1 / (n_1 + 2 n_2)$, $D_i = i - (i+1) Y n_{i+1} / n_i$, where $n_i$ runs have the count $i$.

    On little or artificial text some $n_i$ are zero and $D_i$ has no value, or is not above zero, which would
    leave nothing for unseen words. There the fallback .5, 1, 1.5 is used. $D_i$ is never above $i$.

    >>> discounts(np.array([1, 1, 1, 1, 2, 2, 3, 4]))
    (0.5, 1.25, 1.0)
    >>> discounts(np.array([5, 5]))
    (0.5, 1.0, 1.5)
    """
    n = [0.0, *(float(np.count_nonzero(counts == i)) for i in (1, 2, 3, 4))]
    found = []
    for i in (1, 2, 3):
        value = 0.0
        if n[1] and n[2] and n[i] and n[i + 1]:
            value = i - (i + 1) * n[1] / (n[1] + 2 * n[2]) * n[i + 1] / n[i]
        found.append(value if value > 0 else FALLBACK[i - 1])
    return found[0], found[1], found[2]


class KneserNey:
    r"""An interpolated n-gram model with modified Kneser-Ney discounts.

    $$p(w \mid h) = \frac{\max(a(hw) - D(a(hw)), 0)}{\sum_v a(hv)} + \gamma(h)\, p(w \mid h'), \qquad
      \gamma(h) = \frac{\sum_i D_i N_i(h\,\cdot)}{\sum_v a(hv)}$$

    where h' is h without its first word and the last step is 1/V. a(hw) is the count of hw at the highest
    order and where h starts with <s>; elsewhere it is the number of different words seen before hw.

    `vocabulary` closes the vocabulary: ids are 0..vocabulary-1. Without it the words are those of the text,
    plus the unknown word. Both add </s>. Logarithms are natural.

    >>> model = KneserNey(order=3).fit(["abab", "abba"])
    >>> model.logprob("ab").round(2)        # a after <s>; b after <s>a; </s> after ab
    array([-0.44, -0.31, -1.21])
    >>> float(model.distribution("ab").sum().round(12))
    1.0
    """

    def __init__(self, order: int = 5, vocabulary: int | None = None):
        if order < 1:
            raise ValueError(f"order {order}: an n-gram has at least one id")
        self.order = order
        self.vocabulary = vocabulary
        self.words = Words(vocabulary or 0, None if vocabulary is not None else np.zeros(0, dtype=np.int64))
        self.discounts: list[tuple[float, float, float]] = []
        # One array an order: the keys of the runs, their share after the discount, and what each history one
        # shorter leaves for shorter ones (gamma[0] is the empty history's).
        self._keys: list[Int64[np.ndarray, " run"]] = []
        self._alpha: list[Float64[np.ndarray, " run"]] = []
        self._gamma: list[Float64[np.ndarray, " history"]] = []

    def fit(self, sequences: Iterable[Ids]) -> KneserNey:
        """Count `sequences`, work out every probability. Raises DataError for ids outside the vocabulary."""
        counts = count(sequences, self.order, self.vocabulary)
        self.words = counts.words
        self.discounts, self._keys, self._alpha, self._gamma = [], [], [], []
        histories = 1
        for k, table in enumerate(counts.tables):
            longer = counts.tables[k + 1] if k + 1 < self.order else None
            adjusted = _adjusted(table, longer, opens_counted=k > 0)
            three = discounts(adjusted)
            self.discounts.append(three)
            discount = np.array([0.0, *three])[np.minimum(adjusted, 3)]
            history = table.keys // self.words.base if k else np.zeros(len(table), dtype=np.int64)
            total = np.bincount(history, weights=adjusted, minlength=histories)
            taken = np.bincount(history, weights=discount, minlength=histories)
            # A history that nothing follows (it ends in </s>) leaves everything to the shorter one.
            self._gamma.append(np.divide(taken, total, out=np.ones(histories), where=total > 0))
            share = total[history]
            self._alpha.append(
                np.divide(adjusted - discount, share, out=np.zeros(len(table)), where=share > 0)
            )
            self._keys.append(table.keys)
            histories = len(table)
        return self

    def logprob(self, sequence: Ids, end: bool = True) -> Float64[np.ndarray, " place"]:
        """The natural log probability of each id, and of </s> after the last unless `end` is False."""
        logs, _ = self._score([sequence])
        return logs if end else logs[:-1]

    def totals(self, sequences: Iterable[Ids]) -> Float64[np.ndarray, " sequence"]:
        """The log probability of each whole sequence, </s> included."""
        logs, starts = self._score(sequences)
        return np.add.reduceat(logs, starts) if len(starts) else np.zeros(0)

    def bits(self, sequences: Iterable[Ids]) -> float:
        """The bits that all `sequences` together cost, </s> included; divide by bytes for bits per byte."""
        return float(-self._score(sequences)[0].sum() / np.log(2))

    def perplexity(self, sequences: Iterable[Ids]) -> float:
        r"""$\exp(-\frac{1}{N} \sum \ln p)$ over every id and every </s>."""
        logs, _ = self._score(sequences)
        if not len(logs):
            raise DataError("no sequence to measure", hint="give at least one")
        return float(np.exp(-logs.mean()))

    def distribution(self, history: Ids, start: bool = True) -> Float64[np.ndarray, " outcome"]:
        """The probability of each outcome after `history`: the words by number, </s>, the unknown word.

        A closed vocabulary has no unknown word. `history` begins a sequence, unless `start` is False.
        """
        ids = self.words.number(ids_of(history))
        if start:
            ids = np.concatenate([[self.words.start], ids])
        ids = ids[max(0, len(ids) - self.order + 1) :]
        chance = np.full(self.words.outcomes, 1 / self.words.outcomes)
        for k, keys in enumerate(self._keys):
            row = self._row(ids[len(ids) - k :]) if k <= len(ids) else -1
            if row < 0:
                break
            chance *= self._gamma[k][row]
            low, high = np.searchsorted(keys, [row * self.words.base, (row + 1) * self.words.base])
            word = keys[low:high] - row * self.words.base
            real = word < self.words.outcomes
            chance[word[real]] += self._alpha[k][low:high][real]
        return chance

    def save(self, path: str | Path) -> None:
        """Write the model to one .npz file, whole or not at all."""
        path = Path(path)
        arrays = {"version": np.array(VERSION), "order": np.array(self.order)}
        arrays["vocabulary"] = np.array(-1 if self.vocabulary is None else self.vocabulary)
        arrays["seen"] = self.words.seen if self.words.seen is not None else np.zeros(0, dtype=np.int64)
        arrays["discounts"] = np.array(self.discounts)
        for k, (keys, alpha, gamma) in enumerate(zip(self._keys, self._alpha, self._gamma, strict=True)):
            arrays |= {f"keys{k}": keys, f"alpha{k}": alpha, f"gamma{k}": gamma}
        partial = path.with_name(path.name + ".partial")
        with open(partial, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(partial, path)

    @classmethod
    def load(cls, path: str | Path) -> KneserNey:
        """Read what `save` wrote. Raises DataError where the file is missing, torn or of another kind."""
        try:
            # Opened here: numpy leaves a torn file open.
            with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if int(arrays["version"]) != VERSION:
                raise DataError(f"{path}: written by another version", hint="fit the model again")
            vocabulary = int(arrays["vocabulary"])
            model = cls(int(arrays["order"]), None if vocabulary < 0 else vocabulary)
            if vocabulary < 0:
                model.words = Words(len(arrays["seen"]), arrays["seen"])
            model.discounts = [(float(a), float(b), float(c)) for a, b, c in arrays["discounts"]]
            model._keys = [arrays[f"keys{k}"] for k in range(len(model.discounts))]
            model._alpha = [arrays[f"alpha{k}"] for k in range(len(model.discounts))]
            model._gamma = [arrays[f"gamma{k}"] for k in range(len(model.discounts))]
        except FileNotFoundError:
            raise DataError(f"{path}: no such file") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: not an n-gram model ({error})", hint="fit the model again") from None
        return model

    def _score(
        self, sequences: Iterable[Ids]
    ) -> tuple[Float64[np.ndarray, " place"], Int64[np.ndarray, " sequence"]]:
        """The log probability of every id and </s> in one row, and where each sequence begins in it."""
        stream, _ = Stream.of(sequences, self.words)
        chance = np.full(len(stream.ids), 1 / self.words.outcomes)
        for k, (row, history) in enumerate(rows(stream, self._keys, self.words.base)):
            there = history >= 0
            chance[there] *= self._gamma[k][history[there]]
            there = row >= 0
            chance[there] += self._alpha[k][row[there]]
        scored = stream.offset > 0
        return np.log(chance[scored]), stream.starts - np.arange(len(stream.starts))

    def _row(self, ids: Int64[np.ndarray, " place"]) -> int:
        """The row of a run in the table of its length, or -1."""
        row = 0
        for k, word in enumerate(ids):
            key = row * self.words.base + word
            row = int(np.searchsorted(self._keys[k], key))
            if row == len(self._keys[k]) or self._keys[k][row] != key:
                return -1
        return row


def _adjusted(table: Table, longer: Table | None, opens_counted: bool) -> Int64[np.ndarray, " run"]:
    """The counts that Kneser-Ney uses: how many different words came before, where that can be asked."""
    if longer is None:
        adjusted = table.counts
    else:
        adjusted = np.where(table.opens, table.counts, np.bincount(longer.suffix, minlength=len(table)))
    # <s> alone is a history and never an outcome.
    return adjusted if opens_counted else np.where(table.opens, 0, adjusted)
