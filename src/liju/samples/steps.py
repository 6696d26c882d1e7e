"""Which samples make up an optimizer step: a pure function of the step."""

from __future__ import annotations

from functools import lru_cache
from math import isqrt
from typing import Protocol

import numpy as np

from liju.errors import TrainingError
from liju.samples.order import random_of

__all__ = ["ORDER", "Steps"]


# Lengths that a step is mixed of at most: four from 2,048 tokens, two from 512. Translating 6,000 pairs in 92
# steps of one length ended at 5.68 nats a held-out word, of four at 5.61, of samples as they come (15 % more
# places) at 5.60. More would cost time, as each is a micro-batch: four of 1,024 tokens took a small tagger
# 13 % longer.
SLICES, SQUARE = 4, 128


class Measured(Protocol):
    """Endless samples of known lengths; an Objective is one."""

    fingerprint: str
    size: int

    def lengths(self, numbers: np.ndarray) -> np.ndarray: ...


class Steps:
    """Cuts the endless sequence of samples into steps of about `batch_tokens` tokens.

    Every pass over the data has the same number of steps, and each sample is in exactly one of them. A pass
    is cut into windows of about `window` steps. A window's samples are sorted by length and cut into slices
    of nearly equal token counts. A step is one of the shortest slices, one of the longer ones, and so on to
    the longest (`slices` of them; fewer where a step is small), each drawn at random. So a step leaves little
    empty, as a slice is of about one length, but it is not of one length itself: such steps teach less.
    Every sample of a pass is used once, and step s needs only s to be known: on any number of ranks, at any
    micro-batch, after any resume.

    >>> class Ones:
    ...     fingerprint, size = "x", 12
    ...     def lengths(self, numbers): return np.stack([numbers * 0, 1 + numbers % 3], 1)
    >>> steps = Steps(Ones(), batch_tokens=4, window=3)
    >>> steps.per_pass
    6
    >>> sorted(np.concatenate([steps.numbers(s) for s in range(3)]).tolist())
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(
        self, objective: Measured, batch_tokens: int, seed: int = 0, window: int = 64, slices: int = SLICES
    ):
        if objective.size < 1:
            raise TrainingError("there is nothing to learn from", hint="see the text report")
        self.objective, self.seed, self.window = objective, seed, window
        some = np.unique(np.linspace(0, objective.size - 1, 4096).astype(np.int64))
        mean = float(objective.lengths(some).sum(1).mean())
        # A step has at least one sample.
        self.per_pass = min(objective.size, max(1, round(objective.size * mean / batch_tokens)))
        self.windows = max(1, round(self.per_pass / window))  # in a pass
        self.slices = max(1, min(slices, isqrt(batch_tokens // SQUARE), objective.size // self.per_pass))

    def numbers(self, step: int) -> np.ndarray:
        """The numbers of the samples of a step, counted from 0."""
        which, step = divmod(step, self.per_pass)
        window = ((step + 1) * self.windows - 1) // self.per_pass  # the one whose steps step is among
        return self._batches(which, window)[step - self._begin(window)]

    def _begin(self, window: int) -> int:
        """The first step of a window of a pass."""
        return window * self.per_pass // self.windows

    @lru_cache(maxsize=2)  # noqa: B019 - one small window for as long as the steps live
    def _batches(self, which: int, window: int) -> list[np.ndarray]:
        size = self.objective.size
        first, last = self._begin(window), self._begin(window + 1)
        begin, end = (which * size + step * size // self.per_pass for step in (first, last))
        numbers, count = np.arange(begin, end), last - first
        lengths = self.objective.lengths(numbers)
        widths = WIDTHS if lengths.any(0).all() else WIDTHS[:1]
        cuts = (_cut(numbers, lengths, count * self.slices, width) for width in widths)
        _, batches = min(cuts, key=lambda cut: cut[0])
        random = random_of("steps", self.objective.fingerprint, self.seed, which, window)
        drawn = [random.permutation(count) + slice_ * count for slice_ in range(self.slices)]
        return [np.sort(np.concatenate([batches[i] for i in step])) for step in zip(*drawn, strict=True)]


# Lengths of the encoder's side that count as one, tried in turn.
WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 32)

# What a run that was begun must share to go on with the same samples: raise the first number with every
# change of which samples a step has.
ORDER = f"1: {SLICES} {SQUARE} {WIDTHS}"


def _cut(numbers: np.ndarray, lengths: np.ndarray, count: int, width: int) -> tuple[int, list[np.ndarray]]:
    """`count` batches of nearly equal token counts, and the places that they take as rectangles."""
    strip = lengths[:, 0] // width
    second = np.where(strip % 2, -lengths[:, 1], lengths[:, 1])
    order = np.lexsort((numbers, second, strip))
    filled = np.cumsum(lengths.sum(1)[order])
    cuts = np.searchsorted(filled, filled[-1] * np.arange(1, count) / count)
    # A sample longer than a step's share must not leave its neighbours empty.
    least = np.arange(1, count)
    cuts = np.maximum.accumulate(np.maximum(cuts, least) - least) + least
    cuts = np.minimum(cuts, len(numbers) - count + least)
    parts = np.split(order, cuts)
    places = sum(len(part) * int(lengths[part].max(0).sum()) for part in parts)
    return places, [numbers[part] for part in parts]
