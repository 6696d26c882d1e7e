"""Next word: every token of a document is predicted from those before it, once a pass."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from liju.errors import TrainingError
from liju.samples.batch import Goal, Sample
from liju.samples.order import Order
from liju.samples.pieces import Pieces
from liju.vocab import Tokenizer

__all__ = ["Causal", "Documents"]


class Documents(Protocol):
    """Encoded documents: token shards, or a list in memory."""

    fingerprint: str
    document_bounds: np.ndarray  # where each document begins, and the last one ends

    def document(self, number: int) -> np.ndarray: ...


class Causal:
    r"""$L = -\sum_t \log p(x_t \mid x_{<t})$ (Shannon 1951; Radford et al. 2018).

    A document is `<s> x_1 ... x_n </s>`, cut into even pieces of at most `max_length`; a piece begins with
    the last token of the one before, so no token is lost and none is predicted twice.

    >>> from liju.objective.examples import shards, tokenizer
    >>> sample = Causal(shards("decoder"), tokenizer("decoder"), max_length=8).sample(0)
    >>> len(sample.decoder) == len(sample.goals["words"].values)
    True
    """

    name = "causal"

    def __init__(self, shards: Documents, tokenizer: Tokenizer, max_length: int, seed: int = 0):
        if tokenizer.bos is None or tokenizer.eos is None:
            raise TrainingError(
                "next-word prediction needs <s> and </s>", hint="train a decoder's vocabulary"
            )
        self.shards, self.seed = shards, seed
        self.bos, self.eos, self.pad = tokenizer.bos, tokenizer.eos, tokenizer.pad or 0
        self.pieces = Pieces(shards.document_bounds, max_length, extra=1)
        self.fingerprint = f"causal-{shards.fingerprint}-{max_length}"
        self.size = len(self.pieces)
        self.weights = {"words": 1.0}
        self.label_smoothing = 0.0
        self.order = Order(self.fingerprint, seed, self.size)

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        _, start, end = self.pieces.spans(self.order.take(numbers))
        return np.stack([np.zeros_like(start), end - start], axis=1)

    def documents(self, numbers: np.ndarray) -> np.ndarray:
        """The document that each of these samples is of."""
        return self.pieces.spans(self.order.take(numbers))[0]

    def sample(self, number: int) -> Sample:
        document, start, end = self.pieces[self.order[number]]
        text = np.concatenate([[self.bos], self.shards.document(document).astype(np.int64), [self.eos]])
        places = np.arange(end - start)
        return Sample(
            number, decoder=text[start:end], goals={"words": Goal(places, text[start + 1 : end + 1])}
        )
