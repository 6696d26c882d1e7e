"""Modified Kneser-Ney: the n-gram language model that counts best.

S. F. Chen and J. Goodman, "An empirical study of smoothing techniques for language
modeling", 1998, section 3.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from liju.errors import DataError
from liju.ngram.counts import Ids, Stream, Table, Words, count, rows
from liju.ngram.language_model import LanguageModel

__all__ = ["FALLBACK", "KneserNey", "discounts"]

FALLBACK = (0.5, 1.0, 1.5)
VERSION = 1


def discounts(counts: Int64[np.ndarray, " run"]) -> tuple[float, float, float]:
    r"""What is taken from a count of one, of two, and of three or more.

    $Y = n_1 / (n_1 + 2 n_2)$, $D_i = i - (i+1) Y n_{i+1} / n_i$, where $n_i$ runs have the count $i$.

    On little or artificial text $n_1$, $n_2$ or $n_3$ is zero, or some $D_i$ is not above zero, which would
    leave nothing for unseen words. Then all three are the fallback .5, 1, 1.5, as in KenLM with
    --discount_fallback.

    >>> discounts(np.array([1, 1, 1, 1, 2, 2, 3, 4]))
    (0.5, 1.25, 1.0)
    >>> discounts(np.array([5, 5]))
    (0.5, 1.0, 1.5)
    """
    n = [0.0, *(float(np.count_nonzero(counts == i)) for i in (1, 2, 3, 4))]
    if not (n[1] and n[2] and n[3]):
        return FALLBACK
    y = n[1] / (n[1] + 2 * n[2])
    one, two, three = (i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3))
    return (one, two, three) if min(one, two, three) > 0 else FALLBACK


class KneserNey(LanguageModel):
    r"""An interpolated n-gram model with modified Kneser-Ney discounts.

    $$p(w \mid h) = \frac{\max(a(hw) - D(a(hw)), 0)}{\sum_v a(hv)} + \gamma(h)\, p(w \mid h'), \qquad
      \gamma(h) = \frac{\sum_i D_i N_i(h\,\cdot)}{\sum_v a(hv)}$$

    where h' is h without its first word and the last step is 1/V. a(hw) is the count of hw at the highest
    order and where h starts with <s>; elsewhere it is the number of different words seen before hw.

    `vocabulary` closes the vocabulary: ids are 0..vocabulary-1. Without it the words are those of the text,
    plus the unknown word. Both add </s>, unless `end` is the id of it in a closed vocabulary: then the
    outcomes are those of a network with the same tokenizer. `discounts`, a triple an order, replaces the
    estimated ones. Logarithms are natural.

    >>> model = KneserNey(order=3).fit(["abab", "abba"])
    >>> model.logprob("ab").round(2)        # a after <s>; b after <s>a; </s> after ab
    array([-0.44, -0.3 , -1.2 ])
    >>> float(model.distribution("ab").sum().round(12))
    1.0
    """

    def __init__(
        self,
        order: int = 5,
        vocabulary: int | None = None,
        end: int | None = None,
        discounts: Sequence[tuple[float, float, float]] | None = None,
    ):
        if order < 1:
            raise ValueError(f"order {order}: an n-gram has at least one id")
        if discounts is not None and len(discounts) != order:
            raise ValueError(f"{len(discounts)} triples of discounts for order {order}")
        self.order = order
        self.vocabulary = vocabulary
        nothing = None if vocabulary is not None else np.zeros(0, dtype=np.int64)
        self.words = Words(vocabulary or 0, nothing, end)
        self.discounts: list[tuple[float, float, float]] = []
        self._given = discounts
        # One array an order: the keys of the runs, their share after the discount, and what each history one
        # shorter leaves for shorter ones (gamma[0] is the empty history's).
        self.keys: list[Int64[np.ndarray, " run"]] = []
        self.alpha: list[Float64[np.ndarray, " run"]] = []
        self.gamma: list[Float64[np.ndarray, " history"]] = []

    def fit(self, sequences: Iterable[Ids]) -> KneserNey:
        """Count `sequences`, work out every probability. Raises DataError for ids outside the vocabulary."""
        counts = count(sequences, self.order, self.vocabulary, self.words.ending)
        self.words = counts.words
        self.discounts, self.keys, self.alpha, self.gamma = [], [], [], []
        histories = 1
        for k, table in enumerate(counts.tables):
            longer = counts.tables[k + 1] if k + 1 < self.order else None
            adjusted = _adjusted(table, longer, opens_counted=k > 0)
            three = discounts(adjusted) if self._given is None else self._given[k]
            self.discounts.append(three)
            discount = np.minimum(np.array([0.0, *three])[np.minimum(adjusted, 3)], adjusted)
            history = table.keys // self.words.base if k else np.zeros(len(table), dtype=np.int64)
            total = np.bincount(history, weights=adjusted, minlength=histories)
            taken = np.bincount(history, weights=discount, minlength=histories)
            # A history that nothing follows (it ends in </s>) leaves everything to the shorter one.
            self.gamma.append(np.divide(taken, total, out=np.ones(histories), where=total > 0))
            share = total[history]
            self.alpha.append(
                np.divide(adjusted - discount, share, out=np.zeros(len(table)), where=share > 0)
            )
            self.keys.append(table.keys)
            histories = len(table)
        return self

    def distribution(self, history: Ids, start: bool = True) -> Float64[np.ndarray, " outcome"]:
        """The probability of each outcome after `history`; see `LanguageModel`."""
        ids = self._history(history, start)
        chance = np.full(self.words.outcomes, 1 / self.words.outcomes)
        for k, keys in enumerate(self.keys):
            row = self._row(ids[len(ids) - k :]) if k <= len(ids) else -1
            if row < 0:
                break
            chance *= self.gamma[k][row]
            low, high = np.searchsorted(keys, [row * self.words.base, (row + 1) * self.words.base])
            word = keys[low:high] - row * self.words.base
            real = word < self.words.outcomes
            chance[word[real]] += self.alpha[k][low:high][real]
        return chance

    def save(self, path: str | Path) -> None:
        """Write the model to one .npz file, whole or not at all."""
        path = Path(path)
        arrays = {"version": np.array(VERSION), "order": np.array(self.order)}
        arrays["vocabulary"] = np.array(-1 if self.vocabulary is None else self.vocabulary)
        arrays["seen"] = self.words.seen if self.words.seen is not None else np.zeros(0, dtype=np.int64)
        arrays["ending"] = np.array(-1 if self.words.ending is None else self.words.ending)
        arrays["discounts"] = np.array(self.discounts)
        for k, (keys, alpha, gamma) in enumerate(zip(self.keys, self.alpha, self.gamma, strict=True)):
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
            ending = int(arrays.get("ending", -1))
            model = cls(
                int(arrays["order"]),
                None if vocabulary < 0 else vocabulary,
                end=None if ending < 0 else ending,
            )
            if vocabulary < 0:
                model.words = Words(len(arrays["seen"]), arrays["seen"])
            model.discounts = [(float(a), float(b), float(c)) for a, b, c in arrays["discounts"]]
            model.keys = [arrays[f"keys{k}"] for k in range(len(model.discounts))]
            model.alpha = [arrays[f"alpha{k}"] for k in range(len(model.discounts))]
            model.gamma = [arrays[f"gamma{k}"] for k in range(len(model.discounts))]
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
        for k, (row, history) in enumerate(rows(stream, self.keys, self.words.base)):
            there = history >= 0
            chance[there] *= self.gamma[k][history[there]]
            there = row >= 0
            chance[there] += self.alpha[k][row[there]]
        scored = stream.offset > 0
        return np.log(chance[scored]), stream.starts - np.arange(len(stream.starts))

    def _row(self, ids: Int64[np.ndarray, " place"]) -> int:
        """The row of a run in the table of its length, or -1."""
        row = 0
        for k, word in enumerate(ids):
            key = row * self.words.base + word
            row = int(np.searchsorted(self.keys[k], key))
            if row == len(self.keys[k]) or self.keys[k][row] != key:
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
