"""What every n-gram model that gives probabilities can say about a text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64, Int64

from liju.errors import DataError
from liju.ngram.bits import bits_per_byte
from liju.ngram.counts import Ids, Words, ids_of

__all__ = ["LanguageModel"]


class LanguageModel(ABC):
    """Log probabilities of sequences of ids, and the numbers that are made of them. Logarithms are natural.

    A model implements `_score`: the log probability of every id and every </s>, in one row.
    """

    order: int
    words: Words

    @abstractmethod
    def _score(
        self, sequences: Iterable[Ids]
    ) -> tuple[Float64[np.ndarray, " place"], Int64[np.ndarray, " sequence"]]:
        """The log probability of every id and </s> in one row, and where each sequence begins in it."""

    @abstractmethod
    def distribution(self, history: Ids, start: bool = True) -> Float64[np.ndarray, " outcome"]:
        """The probability of each outcome after `history`: the words by number, </s>, the unknown word.

        A closed vocabulary has no unknown word. `history` begins a sequence, unless `start` is False.
        """

    def logprob(self, sequence: Ids, end: bool = True) -> Float64[np.ndarray, " place"]:
        """The natural log probability of each id, and of </s> after the last unless `end` is False."""
        logs, _ = self._score([sequence])
        return logs if end else logs[:-1]

    def totals(self, sequences: Iterable[Ids]) -> Float64[np.ndarray, " sequence"]:
        """The log probability of each whole sequence, </s> included."""
        logs, starts = self._score(sequences)
        return np.add.reduceat(logs, starts) if len(starts) else np.zeros(0)

    def bits(self, sequences: Iterable[Ids]) -> float:
        """The bits that all `sequences` together cost, </s> included."""
        return float(-self._score(sequences)[0].sum() / np.log(2))

    def bits_per_byte(self, sequences: Iterable[Ids], num_bytes: int | None = None) -> float:
        """The bits of all `sequences`, </s> included, for each byte of their text in UTF-8.

        Strings and bytes know their length. For ids give `num_bytes` of the text that they stand for, white
        space included. An unknown word costs what "something unknown" costs and not its letters: with unknown
        words (see `unknown`) the number is too low, and a closed vocabulary (bytes, a tokenizer) is fair.

        Raises DataError where the bytes are not known or none.
        """
        sequences = list(sequences)
        if num_bytes is None:
            if not all(isinstance(each, str | bytes) for each in sequences):
                raise DataError(
                    "how many bytes these ids stand for is not known", hint="give num_bytes, or strings"
                )
            num_bytes = sum(
                len(each.encode("utf-8", "surrogatepass") if isinstance(each, str) else each)  # type: ignore[arg-type]
                for each in sequences
            )
        return bits_per_byte(-float(self._score(sequences)[0].sum()), num_bytes)

    def perplexity(self, sequences: Iterable[Ids]) -> float:
        r"""$\exp(-\frac{1}{N} \sum \ln p)$ over every id and every </s>."""
        logs, _ = self._score(sequences)
        if not len(logs):
            raise DataError("no sequence to measure", hint="give at least one")
        return float(np.exp(-logs.mean()))

    def unknown(self, sequences: Iterable[Ids]) -> int:
        """How many ids of `sequences` the model does not know; they are scored as the unknown word."""
        return sum(int((self.words.number(ids_of(each)) == self.words.unknown).sum()) for each in sequences)

    def _history(self, history: Ids, start: bool) -> Int64[np.ndarray, " place"]:
        """The numbers of the ids that the next one depends on."""
        ids = self.words.number(ids_of(history))
        if start:
            ids = np.concatenate([[self.words.start], ids])
        return ids[max(0, len(ids) - self.order + 1) :]
