"""A hidden Markov model that tags words: the statistical baseline beside a tagging network."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from liju.errors import DataError

__all__ = ["HiddenMarkovTagger"]

RARE = 2  # words seen at most this often tell of the words that were never seen


class HiddenMarkovTagger:
    r"""The likeliest tags of a sentence under $\prod_i P(t_i \mid t_{i-1}) P(w_i \mid t_i)$, found by Viterbi
    (Church 1988; unknown words after Brants 2000 by the tags of rare words with the same last character).

    >>> tagger = HiddenMarkovTagger().fit([["the", "cat"], ["the", "dog"]], [["D", "N"], ["D", "N"]])
    >>> tagger.tag(["the", "cow"])
    ['D', 'N']
    """

    def fit(self, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]) -> HiddenMarkovTagger:
        """Count. Raises DataError where a sentence has another number of tags."""
        for at, (words, own) in enumerate(zip(sentences, tags, strict=True), 1):
            if len(words) != len(own):
                raise DataError(f"sentence {at}: {len(words)} words and {len(own)} tags")
        self.labels = sorted({tag for own in tags for tag in own})
        number = {tag: i for i, tag in enumerate(self.labels)}
        size = len(self.labels)
        moves = np.full((size + 2, size + 2), 0.1)  # the last two: before the first word, after the last
        seen: Counter[str] = Counter(word for words in sentences for word in words)
        emitted: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(size))
        ending: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(size))
        totals, rare = np.full(size, 1e-9), np.full(size, 0.01)
        for words, own in zip(sentences, tags, strict=True):
            before = size
            for word, tag in zip(words, own, strict=True):
                i = number[tag]
                moves[before, i] += 1
                emitted[word][i] += 1
                totals[i] += 1
                if seen[word] <= RARE:
                    ending[word[-1:]][i] += 1
                    rare[i] += 1
                before = i
            moves[before, size + 1] += 1
        self._moves = np.log(moves / moves.sum(1, keepdims=True))
        self._words = {word: np.log(counts / totals + 1e-12) for word, counts in emitted.items()}
        share = rare / rare.sum()
        self._unknown = np.log(share / (totals / totals.sum() + 1e-9) + 1e-12)
        self._endings = {
            last: np.log((counts + share) / (counts.sum() + 1) / (totals / totals.sum() + 1e-9) + 1e-12)
            for last, counts in ending.items()
        }
        return self

    def tag(self, words: Sequence[str]) -> list[str]:
        """The likeliest tags of one sentence."""
        if not words:
            return []
        size = len(self.labels)
        score = self._moves[size, :size] + self._emission(words[0])
        back = []
        for word in words[1:]:
            table = score[:, None] + self._moves[:size, :size]
            back.append(table.argmax(0))
            score = table.max(0) + self._emission(word)
        at = int((score + self._moves[:size, size + 1]).argmax())
        found = [at]
        for pointers in reversed(back):
            at = int(pointers[at])
            found.append(at)
        return [self.labels[i] for i in reversed(found)]

    def _emission(self, word: str) -> np.ndarray:
        known = self._words.get(word)
        return known if known is not None else self._endings.get(word[-1:], self._unknown)
