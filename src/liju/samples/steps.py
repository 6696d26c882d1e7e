"""Which samples make up an optimizer step: a pure function of the step."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np

from liju.errors import TrainingError
from liju.samples.order import random_of

__all__ = ["Steps"]


class Measured(Protocol):
    """Endless samples of known lengths; an Objective is one."""

    fingerprint: str
    size: int

    def lengths(self, numbers: np.ndarray) -> np.ndarray: ...


class Steps:
    """Cuts the endless sequence of samples into steps of about `batch_tokens` tokens.

    The sequence is taken window by window (`window` steps long). A window's samples are sorted by length
    and cut into exactly `window` batches of nearly equal token counts, which come in a shuffled order. So
    the samples of a step have about one length (little padding), every sample of the window is used once,
    and step s needs only s to be known: on any number of ranks, at any micro-batch, after any resume.

    >>> class Ones:
    ...     fingerprint, size = "x", 12
    ...     def lengths(self, numbers): return np.stack([numbers * 0, 1 + numbers % 3], 1)
    >>> steps = Steps(Ones(), batch_tokens=4, window=3)
    >>> sorted(np.concatenate([steps.numbers(s) for s in range(3)]).tolist())
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(self, objective: Measured, batch_tokens: int, seed: int = 0, window: int = 64):
        if objective.size < 1:
            raise TrainingError("there is nothing to learn from", hint="see the text report")
        self.objective, self.seed, self.window = objective, seed, window
        some = np.unique(np.linspace(0, objective.size - 1, 4096).astype(np.int64))
        mean = float(objective.lengths(some).sum(1).mean())
        self.samples = max(window, round(window * batch_tokens / mean))  # in a window

    @property
    def per_pass(self) -> int:
        """Steps in one pass over the data, at least one."""
        return max(1, round(self.objective.size * self.window / self.samples))

    def numbers(self, step: int) -> np.ndarray:
        """The numbers of the samples of a step, counted from 0."""
        return self._batches(step // self.window)[step % self.window]

    @lru_cache(maxsize=2)  # noqa: B019 - one small window for as long as the steps live
    def _batches(self, window: int) -> list[np.ndarray]:
        numbers = np.arange(window * self.samples, (window + 1) * self.samples)
        lengths = self.objective.lengths(numbers)
        order = np.lexsort((numbers, lengths[:, 1], lengths[:, 0]))
        filled = np.cumsum(lengths.sum(1)[order])
        cuts = np.searchsorted(filled, filled[-1] * np.arange(1, self.window) / self.window)
        # A sample longer than a step's share must not leave its neighbours empty.
        least = np.arange(1, self.window)
        cuts = np.maximum.accumulate(np.maximum(cuts, least) - least) + least
        cuts = np.minimum(cuts, self.samples - self.window + least)
        batches = [np.sort(numbers[part]) for part in np.split(order, cuts)]
        shuffled = random_of("steps", self.objective.fingerprint, self.seed, window).permutation(self.window)
        return [batches[i] for i in shuffled]
