"""Steps that are left out: a loss or gradient that is not finite, or far above those just before it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from statistics import median

__all__ = ["LEAST", "WINDOW", "Spikes", "robust_z"]

WINDOW = 128  # steps looked back on, as in OLMo-core's SkipStepOptimizer
LEAST = 64  # steps seen before any can be a spike: the first ones fall too fast to be compared
FLOOR = 0.05  # least deviation: nats of a loss, or of the logarithm of a norm


def robust_z(value: float, before: Sequence[float]) -> float:
    r"""How many deviations `value` lies above the median of `before`:

    $z = (x - \tilde{x}) / \max(1.4826 \cdot \mathrm{median}|x_i - \tilde{x}|,\; 0.05)$

    (Iglewicz & Hoaglin 1993). Median and median deviation are not moved by a few spikes among `before`, as
    mean and standard deviation are. The floor (nats; 5 % of a norm) is for windows that hardly move, as those
    of a fine-tuning that knows its examples by heart.

    >>> round(robust_z(9.0, [1.0, 2.0, 3.0, 4.0, 5.0]), 2)
    4.05
    """
    middle = median(before)
    deviation = 1.4826 * median(abs(x - middle) for x in before)
    return (value - middle) / max(deviation, FLOOR)


class Spikes:
    """Losses and gradient norms of the last steps, and whether the next one is a spike.

    A spike is a loss, or the logarithm of a gradient norm, that is more than `limit` deviations over the
    median of the last 128 steps (`robust_z`). Only steps above can be one, the first 64 steps never are.
    What was seen is a list of numbers that a checkpoint keeps, so a resumed run decides the same (law 3).
    `limit` 0: nothing is a spike and nothing is remembered.

    >>> spikes = Spikes(limit=10)
    >>> [spikes.found(2.0 + 0.01 * (n % 7), 1.0 + 0.1 * (n % 5)) for n in range(100)] == [""] * 100
    True
    >>> spikes.found(4.0, 1.2)
    'loss 4, 39.4 deviations over the last 100 steps'
    >>> Spikes(10, spikes.seen).seen == spikes.seen
    True
    """

    def __init__(self, limit: float, seen: Sequence[Sequence[float]] = ()):
        self.limit = limit
        self._seen: deque[tuple[float, float]] = deque(((a, b) for a, b in seen), maxlen=WINDOW)

    @property
    def seen(self) -> list[list[float]]:
        """What a checkpoint keeps: loss and gradient norm of the last steps."""
        return [list(pair) for pair in self._seen]

    def found(self, loss: float, norm: float) -> str:
        """Why a step is a spike, in words, or "". The step is remembered either way: if the loss has moved to
        another level, it is the usual one after half a window."""
        if not self.limit:
            return ""
        why = ""
        if len(self._seen) >= LEAST:
            losses, norms = zip(*self._seen, strict=True)
            logs = [math.log(max(x, 1e-30)) for x in norms]
            for name, value, z in (
                ("loss", loss, robust_z(loss, losses)),
                ("gradient norm", norm, robust_z(math.log(max(norm, 1e-30)), logs)),
            ):
                if z > self.limit and not why:
                    why = f"{name} {value:.4g}, {z:.1f} deviations over the last {len(self._seen)} steps"
        self._seen.append((loss, norm))
        return why
