"""Masked words, and whether the second segment follows the first (BERT)."""

from __future__ import annotations

import numpy as np

from liju.errors import TrainingError
from liju.samples.batch import Goal, Sample
from liju.samples.order import Order, key_of, random_of
from liju.samples.pieces import Chunks
from liju.samples.shards import TokenShards
from liju.vocab import Tokenizer

__all__ = ["Masked"]

IS_NEXT, NOT_NEXT = 0, 1  # as in the original BERT


class Masked:
    """`[CLS] A [SEP] B [SEP]` with token types 0 and 1; 15 % of the tokens are to be told, of which 80 % are
    replaced by [MASK], 10 % by a random token and 10 % left as they are (Devlin et al. 2018).

    A and B are runs of whole sentences. For next-sentence prediction the samples of a pass are coupled two
    by two; half of the couples exchange their B. So half of the pairs are not neighbours and still every
    token of the text is seen exactly once a pass. A text of one sentence has no B and no such target.

    >>> from liju.objective.examples import shards, tokenizer
    >>> objective = Masked(shards("encoder"), tokenizer("encoder"), max_length=16)
    >>> sample = objective.sample(0)
    >>> len(sample.encoder) == int(objective.lengths(np.array([0]))[0, 0])
    True
    """

    name = "masked"

    def __init__(
        self,
        shards: TokenShards,
        tokenizer: Tokenizer,
        max_length: int,
        seed: int = 0,
        mask_rate: float = 0.15,
        next_sentence: bool = True,
    ):
        if tokenizer.mask is None or tokenizer.cls is None or tokenizer.sep is None:
            raise TrainingError(
                "masked words need [CLS], [SEP] and [MASK]", hint="train an encoder's vocabulary"
            )
        if max_length < 5:
            raise TrainingError(f"max_length {max_length} has no room for [CLS] a [SEP] b [SEP]")
        self.shards, self.tokenizer, self.seed = shards, tokenizer, seed
        self.mask_rate, self.next_sentence = mask_rate, next_sentence
        self.pad, self.mask = tokenizer.pad or 0, tokenizer.mask
        self.chunks = Chunks.of(shards, half=(max_length - 3) // 2)
        self.fingerprint = f"masked-{shards.fingerprint}-{max_length}-{mask_rate}-{next_sentence}"
        self.size = len(self.chunks)
        self.weights = {"words": 1.0, "next_sentence": 1.0} if next_sentence else {"words": 1.0}
        self.label_smoothing = 0.0
        self.order = Order(self.fingerprint, seed, self.size)

    def pairs(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The chunk that each sample's A comes from, and the one that its B comes from."""
        numbers = np.asarray(numbers, np.int64)
        chunk_a = self.order.take(numbers)
        if not self.next_sentence:
            return chunk_a, chunk_a
        passes, places = np.divmod(numbers, self.size)
        partner = places ^ 1
        coupled = partner < self.size
        other = self.order.take(passes * self.size + np.where(coupled, partner, places))
        # One fair coin a couple, the same for both.
        coin = np.array(
            [key_of("couple", self.seed, p, c) & 1 for p, c in zip(passes, places // 2, strict=True)], bool
        )
        chunks = self.chunks
        both = (chunks.middle < chunks.end)[chunk_a] & (chunks.middle < chunks.end)[other]
        apart = chunks.document[chunk_a] != chunks.document[other]
        return chunk_a, np.where(coupled & coin & both & apart, other, chunk_a)

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        a, b = self.pairs(numbers)
        size_a = (self.chunks.middle - self.chunks.start)[a]
        size_b = (self.chunks.end - self.chunks.middle)[b]
        total = 2 + size_a + np.where(size_b > 0, size_b + 1, 0)
        return np.stack([total, np.zeros_like(total)], axis=1)

    def documents(self, numbers: np.ndarray) -> np.ndarray:
        """The document that the A of each of these samples is of (its B may be another's)."""
        return self.chunks.document[self.pairs(numbers)[0]]

    def sample(self, number: int) -> Sample:
        (a,), (b,) = self.pairs(np.array([number]))
        chunks, tokens = self.chunks, self.shards.tokens
        first = tokens[chunks.start[a] : chunks.middle[a]].astype(np.int64)
        second = tokens[chunks.middle[b] : chunks.end[b]].astype(np.int64)
        ids, types = self.tokenizer.pair(first.tolist(), second.tolist() if len(second) else None)
        text, kinds = np.asarray(ids, np.int64), np.asarray(types, np.int64)

        random = random_of("mask", self.fingerprint, self.seed, number)
        special = np.zeros(len(text), bool)
        special[[0, len(first) + 1, len(text) - 1]] = True
        candidates = np.flatnonzero(~special)
        count = max(1, round(self.mask_rate * len(candidates)))
        places = np.sort(random.permutation(candidates)[:count])
        values = text[places]
        fate = random.random(count)
        noise = random.integers(self.tokenizer.size, size=count)
        corrupted = text.copy()
        corrupted[places] = np.where(fate < 0.8, self.mask, np.where(fate < 0.9, noise, values))

        goals = {"words": Goal(places, values)}
        if self.next_sentence and len(second):
            goals["next_sentence"] = Goal(np.array([0]), np.array([IS_NEXT if a == b else NOT_NEXT]))
        return Sample(number, encoder=corrupted, types=kinds, goals=goals)
