"""Translation: the target's words from the source's, with label smoothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liju.errors import TrainingError
from liju.samples.batch import Goal, Sample
from liju.samples.order import Order, key_of
from liju.vocab import Tokenizer

__all__ = ["Translation"]


class Translation:
    r"""$L = -\sum_t \sum_v q_t(v) \log p(v \mid y_{<t}, x)$, where $q_t$ gives $1 - \epsilon$ to the right
    word and spreads $\epsilon$ over the vocabulary (Vaswani et al. 2017 has $\epsilon = 0.1$).

    `sources` and `targets` are token ids without special tokens. Samples with an empty side, or longer than
    `max_length`, must be dealt with by the reader, who knows their file and line.

    >>> from liju.objective.examples import tokenizer
    >>> objective = Translation([[5, 6]], [[7]], tokenizer("encdec"), max_length=8)
    >>> sample = objective.sample(0)
    >>> sample.lengths
    (3, 2)
    """

    name = "translation"

    def __init__(
        self,
        sources: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        tokenizer: Tokenizer,
        max_length: int,
        seed: int = 0,
        label_smoothing: float = 0.1,
    ):
        if tokenizer.eos is None:
            raise TrainingError("translation needs </s>", hint="train an encdec vocabulary")
        if len(sources) != len(targets):
            raise TrainingError(f"{len(sources)} sources and {len(targets)} targets")
        for number, pair in enumerate(zip(sources, targets, strict=True)):
            if max(map(len, pair)) + 1 > max_length:
                raise TrainingError(f"pair {number} is longer than max_length {max_length} - 1")
        self.sources, self.targets = sources, targets
        self.eos, self.pad = tokenizer.eos, tokenizer.pad or 0
        self.seed, self.label_smoothing = seed, label_smoothing
        self.fingerprint = f"translation-{key_of(sources, targets, max_length):016x}"
        self.size = len(sources)
        self.weights = {"words": 1.0}
        self._lengths = np.array([[len(s) + 1, len(t) + 1] for s, t in zip(sources, targets, strict=True)])
        self.order = Order(self.fingerprint, seed, max(1, self.size))

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        return self._lengths[self.order.take(numbers)]

    def sample(self, number: int) -> Sample:
        index = self.order[number]
        encoder = np.array([*self.sources[index], self.eos], np.int64)
        values = np.array([*self.targets[index], self.eos], np.int64)
        decoder = np.concatenate([[self.pad], values[:-1]])
        return Sample(number, encoder, decoder, goals={"words": Goal(np.arange(len(values)), values)})
