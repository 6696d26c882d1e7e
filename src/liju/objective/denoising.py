"""Span denoising: runs of tokens are replaced by sentinels and told by the decoder (T5)."""

from __future__ import annotations

import numpy as np

from liju.errors import TrainingError
from liju.samples.batch import Goal, Sample
from liju.samples.order import Order, random_of
from liju.samples.pieces import Pieces
from liju.samples.shards import TokenShards
from liju.vocab import Tokenizer

__all__ = ["Denoising", "span_counts"]

MEAN_SPAN = 3.0


def span_counts(lengths: np.ndarray, rate: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """How many tokens and how many spans are noise in texts of these lengths (Raffel et al. 2019).

    >>> noise, spans = span_counts(np.array([568]))
    >>> 568 - noise + spans + 1, noise + spans + 1  # tokens of the encoder and of the decoder
    (array([512]), array([114]))
    """
    noise = np.clip(np.round(lengths * rate), 1, np.maximum(lengths - 1, 1)).astype(np.int64)
    spans = np.clip(np.round(noise / MEAN_SPAN), 1, np.maximum(lengths - noise, 1)).astype(np.int64)
    return noise, np.minimum(spans, noise)


class Denoising:
    """`Thank you <X> me to your party <Y> week` to `<X> for inviting <Y> last </s>`.

    15 % of the tokens, in spans of three on average. Each document is cut into even pieces that fill
    `max_length` once the spans are out. The spans of a sample depend on (seed, its number) alone.

    >>> from liju.objective.examples import shards, tokenizer
    >>> objective = Denoising(shards("encdec"), tokenizer("encdec"), max_length=16)
    >>> sample = objective.sample(0)
    >>> list(sample.lengths) == objective.lengths(np.array([0]))[0].tolist()
    True
    """

    name = "denoising"

    def __init__(
        self,
        shards: TokenShards,
        tokenizer: Tokenizer,
        max_length: int,
        seed: int = 0,
        mask_rate: float = 0.15,
    ):
        if tokenizer.eos is None or not tokenizer.sentinels:
            raise TrainingError("denoising needs </s> and <extra_id_...>", hint="train an encdec vocabulary")
        self.shards, self.seed, self.mask_rate = shards, seed, mask_rate
        self.eos, self.pad, self.sentinels = tokenizer.eos, tokenizer.pad or 0, tokenizer.sentinels
        raw = np.arange(1, 4 * max_length)
        noise, spans = span_counts(raw, mask_rate)
        fits = (raw - noise + spans + 1 <= max_length) & (noise + spans + 1 <= max_length)
        fits &= spans <= len(self.sentinels)
        limit = int(raw[fits].max())
        self.pieces = Pieces(shards.document_bounds, limit)
        self.fingerprint = f"denoising-{shards.fingerprint}-{max_length}-{mask_rate}"
        self.size = len(self.pieces)
        self.weights = {"words": 1.0}
        self.label_smoothing = 0.0
        self.order = Order(self.fingerprint, seed, self.size)

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        _, start, end = self.pieces.spans(self.order.take(numbers))
        noise, spans = span_counts(end - start, self.mask_rate)
        return np.stack([end - start - noise + spans + 1, noise + spans + 1], axis=1)

    def documents(self, numbers: np.ndarray) -> np.ndarray:
        """The document that each of these samples is of."""
        return self.pieces.spans(self.order.take(numbers))[0]

    def sample(self, number: int) -> Sample:
        document, start, end = self.pieces[self.order[number]]
        text = self.shards.document(document)[start:end].astype(np.int64)
        noise, spans = (int(count[0]) for count in span_counts(np.array([len(text)]), self.mask_rate))
        random = random_of("spans", self.fingerprint, self.seed, number)
        hidden = _parts(random, noise, spans)
        # A text may begin with noise only when nothing else is left to begin with.
        kept = _parts(random, len(text) - noise, spans) if len(text) > noise else np.zeros(spans, np.int64)
        source: list[np.ndarray] = []
        target: list[np.ndarray] = []
        place = 0
        for k in range(spans):
            sentinel = np.array([self.sentinels[k]])
            source += [text[place : place + kept[k]], sentinel]
            place += kept[k]
            target += [sentinel, text[place : place + hidden[k]]]
            place += hidden[k]
        end_of_text = np.array([self.eos])
        encoder = np.concatenate([*source, end_of_text])
        values = np.concatenate([*target, end_of_text])
        decoder = np.concatenate([[self.pad], values[:-1]])  # T5's decoder starts from <pad>
        return Sample(number, encoder, decoder, goals={"words": Goal(np.arange(len(values)), values)})


def _parts(random: np.random.Generator, total: int, count: int) -> np.ndarray:
    """`total` cut into `count` random parts of at least one, all ways equally likely.

    >>> from liju.samples import random_of
    >>> parts = _parts(random_of(0), 9, 4)
    >>> int(parts.sum()), int(parts.min()) >= 1
    (9, True)
    """
    cuts = np.sort(random.permutation(total - 1)[: count - 1]) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))
