"""A backoff model: a log probability for each listed run, a weight for each history. What ARPA files hold."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64, Int64

from liju.ngram.counts import Ids, Stream, Words, find, ids_of, rows, suffixes
from liju.ngram.kneser_ney import KneserNey
from liju.ngram.language_model import LanguageModel
from liju.ngram.lexicon import Lexicon

__all__ = ["BackoffModel"]


class BackoffModel(LanguageModel):
    r"""The n-gram model in the form that other programs read.

    $$\log p(w \mid h) = \begin{cases} \text{listed}(hw) & \text{if } hw \text{ is listed} \\
      \text{backoff}(h) + \log p(w \mid h') & \text{else} \end{cases}$$

    with backoff(h) = 0 where h is not listed (S. Katz 1987). An interpolated model such as Kneser-Ney has
    this form too: see `of`. Numbers are kept in log10 as files have them; what is asked is answered in
    natural logs. `lexicon` has the words of a model that was read; its ids are the model's.

    >>> kneser_ney = KneserNey(order=3).fit(["abab", "abba"])
    >>> model = BackoffModel.of(kneser_ney)
    >>> bool(np.allclose(model.logprob("abc"), kneser_ney.logprob("abc")))
    True
    """

    def __init__(
        self,
        words: Words,
        keys: list[Int64[np.ndarray, " run"]],
        log10: list[Float64[np.ndarray, " run"]],
        backoff: list[Float64[np.ndarray, " run"]],
        lexicon: Lexicon | None = None,
    ):
        """Tables by length. The first lists every number, so that a number is its row; see `Words`."""
        self.words = words
        self.order = len(keys)
        self.lexicon = lexicon
        self.keys, self.log10, self.backoff = keys, log10, backoff

    @classmethod
    def of(cls, model: KneserNey) -> BackoffModel:
        """The same probabilities: each listed run has its interpolated one, each history its gamma."""
        words, alpha, gamma = model.words, model.alpha, model.gamma
        suffix = suffixes(model.keys, words.base)
        # Every word is listed, also one that a closed vocabulary has and the text has not.
        chance = np.full(words.base, gamma[0][0] / words.outcomes)
        chance[model.keys[0]] += alpha[0]
        chances = [chance[model.keys[0]]]
        for k in range(1, model.order):
            history = model.keys[k] // words.base
            chances.append(alpha[k] + gamma[k][history] * chances[k - 1][suffix[k]])
        keys = [np.arange(words.base), *model.keys[1:]]
        if model.order > 1:
            history, word = np.divmod(model.keys[1], words.base)
            keys[1] = model.keys[0][history] * words.base + word
        impossible = [words.start, *([words.unknown] if words.seen is None else [])]
        chance[impossible] = 0
        chances[0] = chance
        with np.errstate(divide="ignore"):
            log10 = [np.log10(each) for each in chances]
            backoff = [np.zeros(len(each)) for each in keys]
            for k in range(1, model.order):
                backoff[k - 1][model.keys[0] if k == 1 else slice(None)] = np.log10(gamma[k])
        return cls(words, keys, log10, backoff)

    def distribution(self, history: Ids, start: bool = True) -> Float64[np.ndarray, " outcome"]:
        """The probability of each outcome after `history`; see `LanguageModel`."""
        ids = self._history(history, start)
        log10 = self.log10[0][: self.words.outcomes].copy()
        for k in range(1, min(self.order - 1, len(ids)) + 1):
            row = self._row(ids[len(ids) - k :])
            if row < 0:
                continue
            log10 += self.backoff[k - 1][row]
            low, high = np.searchsorted(self.keys[k], [row * self.words.base, (row + 1) * self.words.base])
            word = self.keys[k][low:high] - row * self.words.base
            real = word < self.words.outcomes
            log10[word[real]] = self.log10[k][low:high][real]
        return 10.0**log10

    def _score(
        self, sequences: Iterable[Ids]
    ) -> tuple[Float64[np.ndarray, " place"], Int64[np.ndarray, " sequence"]]:
        stream, _ = Stream.of(sequences, self.words)
        log10 = np.zeros(len(stream.ids))
        for k, (row, history) in enumerate(rows(stream, self.keys, self.words.base)):
            if k:
                there = history >= 0
                log10[there] += self.backoff[k - 1][history[there]]
            there = row >= 0
            log10[there] = self.log10[k][row[there]]
        scored = stream.offset > 0
        return log10[scored] * np.log(10), stream.starts - np.arange(len(stream.starts))

    def _row(self, ids: Int64[np.ndarray, " place"]) -> int:
        row = np.zeros(1, dtype=np.int64)
        for k, word in enumerate(ids_of(ids)):
            row = find(self.keys[k], row, np.array([word]), self.words.base)
        return int(row[0])
