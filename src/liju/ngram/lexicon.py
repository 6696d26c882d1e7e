"""Words as numbers: the list of the words of a text, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Int64

from liju.errors import DataError

__all__ = ["Lexicon"]


class Lexicon:
    """Words in a fixed order; a word's id is its place. An unseen word is -1, which no model has counted.

    Raises DataError where a word is listed twice.

    >>> lexicon = Lexicon.of([["the", "cat"], ["the", "dog"]])
    >>> lexicon.ids(["the", "cow"]), lexicon[0], len(lexicon)
    (array([ 2, -1]), 'cat', 3)
    """

    def __init__(self, words: Sequence[str]):
        self.words = list(words)
        self._ids = {word: number for number, word in enumerate(self.words)}
        if len(self._ids) < len(self.words):
            twice = next(word for number, word in enumerate(self.words) if self._ids[word] != number)
            raise DataError(f"the word {twice!r} is listed twice")

    @classmethod
    def of(cls, sentences: Iterable[Iterable[str]]) -> Lexicon:
        """The different words of `sentences`, sorted."""
        return cls(sorted({word for sentence in sentences for word in sentence}))

    def ids(self, words: Iterable[str]) -> Int64[np.ndarray, " place"]:
        """The id of each word."""
        return np.array([self._ids.get(word, -1) for word in words], dtype=np.int64)

    def __getitem__(self, number: int) -> str:
        return self.words[number]

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids
