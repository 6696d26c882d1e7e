"""A classifier that asks which label's language model finds the text likeliest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float64

from liju.errors import DataError
from liju.ngram.counts import Ids, Words, ids_of
from liju.ngram.kneser_ney import KneserNey

__all__ = ["NgramClassifier"]


class NgramClassifier:
    r"""One Kneser-Ney model a label, and how common the label is.

    $\hat y = \arg\max_y \; \ln p(y) + \sum_t \ln p_y(w_t \mid w_{t-n+1..t-1})$

    All models share one vocabulary, so an unseen word weighs the same for every label. A string is read
    character by character, which suits Chinese and English alike; give lists of word ids for words.

    >>> model = NgramClassifier(order=3).fit(["good good", "so good", "bad", "so bad"], ["+", "+", "-", "-"])
    >>> model.predict(["good!", "very bad"])
    ['+', '-']
    """

    def __init__(self, order: int = 5):
        self.order = order
        self.labels: list[str] = []
        self.prior: Float64[np.ndarray, " label"] = np.zeros(0)
        self._words = Words(0, np.zeros(0, dtype=np.int64))
        self._models: list[KneserNey] = []

    def fit(self, sequences: Iterable[Ids], labels: Sequence[str]) -> NgramClassifier:
        """Fit a model a label. Raises DataError where there is no example, or not one label an example."""
        rows = [ids_of(sequence) for sequence in sequences]
        if len(rows) != len(labels) or not rows:
            raise DataError(
                f"{len(rows)} examples and {len(labels)} labels", hint="give each example a label"
            )
        seen = np.unique(np.concatenate(rows))
        self._words = Words(len(seen), seen)
        self.labels = sorted(set(labels))
        number = np.array([self.labels.index(label) for label in labels])
        self.prior = np.log(np.bincount(number) / len(number))
        numbered = self._number(rows)
        self._models = [
            # Words.unknown is the last number used.
            KneserNey(self.order, vocabulary=self._words.unknown + 1).fit(
                [row for row, of in zip(numbered, number, strict=True) if of == label]
            )
            for label in range(len(self.labels))
        ]
        return self

    def logprob(self, sequences: Iterable[Ids]) -> Float64[np.ndarray, "sequence label"]:
        r"""$\ln p(y) + \ln p_y(w)$ of each sequence under each label, natural logarithms."""
        rows = self._number(ids_of(sequence) for sequence in sequences)
        scores = [model.totals(rows) for model in self._models]
        return np.stack(scores, axis=1) + self.prior

    def probabilities(self, sequences: Iterable[Ids]) -> Float64[np.ndarray, "sequence label"]:
        """The posterior of each label; often far too sure, as every n-gram counts as independent evidence."""
        logs = self.logprob(sequences)
        chance = np.exp(logs - logs.max(axis=1, keepdims=True))
        return chance / chance.sum(axis=1, keepdims=True)

    def predict(self, sequences: Iterable[Ids]) -> list[str]:
        """The likeliest label of each sequence."""
        return [self.labels[row] for row in self.logprob(sequences).argmax(axis=1)]

    def _number(self, rows: Iterable[np.ndarray]) -> list[np.ndarray]:
        return [self._words.number(row) for row in rows]
