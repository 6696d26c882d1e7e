"""How fast this machine really is: a few steps, timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Speed", "probe"]


@dataclass(frozen=True)
class Speed:
    """What was measured: steps a second (the median's), and tokens a second."""

    seconds_per_step: float
    tokens_per_second: float
    steps: int


def probe(
    step: Callable[[], object],
    tokens: int,
    *,
    seconds: float = 2.0,
    warmup: int = 1,
    synchronize: Callable[[], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Time `step` (one whole training step of `tokens` tokens) for about `seconds`, at least 3 times.

    The first `warmup` steps are not counted: they allocate, and compile. The median is taken, so that a
    neighbour's burst on a shared machine does not count. On an accelerator pass `synchronize`.

    >>> ticks = iter(range(100))
    >>> probe(lambda: None, 50, seconds=4, clock=lambda: float(next(ticks))).tokens_per_second
    50.0
    """
    for _ in range(warmup):
        step()
    if synchronize:
        synchronize()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        start = clock()
        step()
        if synchronize:
            synchronize()
        times.append(clock() - start)
    median = sorted(times)[len(times) // 2]
    return Speed(median, tokens / median if median > 0 else float("inf"), len(times))
