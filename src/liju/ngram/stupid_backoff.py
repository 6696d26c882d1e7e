"""Stupid backoff: scores from plain counts, for text so large that nothing finer can be afforded.

T. Brants, A. C. Popat, P. Xu, F. J. Och and J. Dean, "Large language models in machine
translation", 2007, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64, Int64

from liju.errors import RequestError
from liju.ngram.counts import Counts, Ids, Stream, count, rows

__all__ = ["StupidBackoff"]


def _refusal(what: str) -> RequestError:
    return RequestError(
        f"stupid backoff has no {what}: its scores of all next words do not sum to one",
        hint="rank with totals(), or measure with KneserNey",
    )


class StupidBackoff:
    r"""An n-gram model that ranks and does not normalise.

    $$S(w \mid h) = \begin{cases} f(hw) / f(h) & f(hw) > 0 \\ 0.4\,S(w \mid h') & \text{else} \end{cases}
      \qquad S(w) = f(w) / N$$

    The scores of all words after one history do not sum to one, so there is no perplexity here: compare
    sentences, or take the best next word. A word that was never seen scores 0.4 / N, so that one such word
    does not decide alone.

    >>> model = StupidBackoff(order=2).fit(["ab", "ab", "ac"])
    >>> np.exp(model.scores("ab")).round(3)    # a after <s>: 3 of 3, b after a: 2 of 3, </s> after b
    array([1.   , 0.667, 1.   ])
    """

    def __init__(self, order: int = 5, vocabulary: int | None = None, factor: float = 0.4):
        self.order = order
        self.vocabulary = vocabulary
        self.factor = factor
        self._counts: Counts | None = None

    def fit(self, sequences: Iterable[Ids]) -> StupidBackoff:
        """Count `sequences`. Raises DataError for ids outside the vocabulary."""
        self._counts = count(sequences, self.order, self.vocabulary)
        return self

    def scores(self, sequence: Ids) -> Float64[np.ndarray, " place"]:
        """The natural logarithm of the score of each id, and of </s> after the last."""
        return self._score([sequence])[0]

    def totals(self, sequences: Iterable[Ids]) -> Float64[np.ndarray, " sequence"]:
        """The log score of each whole sequence, </s> included."""
        logs, starts = self._score(sequences)
        return np.add.reduceat(logs, starts) if len(starts) else np.zeros(0)

    def perplexity(self, sequences: Iterable[Ids]) -> float:
        """Refused with RequestError: scores that do not sum to one have no perplexity."""
        raise _refusal("perplexity")

    def bits(self, sequences: Iterable[Ids]) -> float:
        """Refused with RequestError: scores that do not sum to one are no code lengths."""
        raise _refusal("bits")

    def bits_per_byte(self, sequences: Iterable[Ids], num_bytes: int | None = None) -> float:
        """Refused with RequestError, as `bits` is."""
        raise _refusal("bits per byte")

    def _score(
        self, sequences: Iterable[Ids]
    ) -> tuple[Float64[np.ndarray, " place"], Int64[np.ndarray, " sequence"]]:
        if self._counts is None:
            raise RuntimeError("fit the model first")
        words, tables = self._counts.words, self._counts.tables
        stream, _ = Stream.of(sequences, words)
        # <s> is given, never predicted: N is the words and the </s>.
        everything = max(1, int(tables[0].counts[tables[0].keys != words.start].sum()))
        score = np.full(len(stream.ids), self.factor / everything)
        shorter = np.array([everything])
        found = rows(stream, [table.keys for table in tables], words.base)
        for k, (table, (row, history)) in enumerate(zip(tables, found, strict=True)):
            # Only a history that the sequence is long enough for can be backed off from.
            if k:
                score[stream.offset >= k] *= self.factor
            there = row >= 0
            score[there] = table.counts[row[there]] / shorter[history[there]]
            shorter = table.counts
        scored = stream.offset > 0
        return np.log(score[scored]), stream.starts - np.arange(len(stream.starts))
