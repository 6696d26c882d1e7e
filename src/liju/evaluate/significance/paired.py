"""Is the difference between two systems on the same examples more than chance?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liju.errors import DataError
from liju.evaluate.significance.interval import BLOCK, Interval, draws
from liju.evaluate.significance.measure import Measure

__all__ = ["Difference", "McNemar", "approximate_randomisation", "holm", "mcnemar", "paired_bootstrap"]

# Differences that rounding alone could make are ties.
TIE = 1e-12


@dataclass(frozen=True)
class Difference:
    """The second system minus the first: the difference, its interval (bootstrap only), the p-value of "none
    at all", and the share of resamples in which the second is better (bootstrap only)."""

    difference: float
    p_value: float
    interval: Interval | None = None
    better: float | None = None


def paired_bootstrap(
    first: Measure, second: Measure, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Difference:
    r"""The paired bootstrap (Koehn 2004): both systems on the same resamples of the examples.

    $$ p = \frac{1 + \#\{r : |\delta_r - \bar\delta| \ge |\delta|\}}{1 + R} $$

    with $\delta$ the difference on all examples and $\delta_r$ that of resample $r$: the resamples, shifted
    so that their mean is 0, say how large a difference chance makes (Riezler and Maxwell 2005). Both sides
    count; sacrebleu counts one, so that its p-value is half of this. The interval is the percentile interval
    of $\delta_r$.

    Raises DataError where the two are not of the same examples.

    >>> from liju.evaluate import accuracy_measure
    >>> expected = ["a"] * 100
    >>> one = accuracy_measure(["a"] * 80 + ["b"] * 20, expected)
    >>> other = accuracy_measure(["a"] * 90 + ["b"] * 10, expected)
    >>> found = paired_bootstrap(one, other)
    >>> round(found.difference, 9), found.p_value < 0.01, round(found.interval.low, 9)
    (0.1, True, 0.05)
    """
    _check(first, second)
    found = np.concatenate(
        [second.over(block) - first.over(block) for block in draws(first.size, resamples, seed)]
    )
    observed = second.value - first.value
    found = found[~np.isnan(found)]
    if not len(found):
        return Difference(observed, math.nan)
    far = np.abs(found - found.mean()) >= abs(observed) - TIE
    sign = 1 if first.higher_is_better else -1
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Difference(
        observed,
        float((1 + far.sum()) / (1 + len(found))),
        Interval(float(low), float(high), confidence),
        float((sign * found > TIE).mean()),
    )


def approximate_randomisation(
    first: Measure, second: Measure, permutations: int = 2000, seed: int = 0
) -> Difference:
    r"""Approximate randomisation (Noreen 1989; Riezler and Maxwell 2005): whose answer was whose?

    If the systems do not differ, each example's two answers may be swapped. Swap each with probability 1/2,
    `permutations` times; the p-value is how often the difference is at least as large as the observed one:

    $$ p = \frac{1 + \#\{r : |\delta_r| \ge |\delta|\}}{1 + R} $$

    It assumes nothing about the metric, and is the test of choice for F1, BLEU and correlations. Two-sided.
    Raises DataError where the two are not of the same examples.

    >>> from liju.evaluate import mean_measure
    >>> approximate_randomisation(mean_measure([0.0] * 20), mean_measure([0.1] * 20)).p_value < 0.001
    True
    >>> approximate_randomisation(mean_measure([0.0, 1.0]), mean_measure([1.0, 0.0])).p_value
    1.0
    """
    _check(first, second)
    observed = second.value - first.value
    if math.isnan(observed):
        return Difference(observed, math.nan)
    # Both systems' answers side by side: who is given which is a matter of weights.
    pool, size = first.joined(second), first.size
    chance = np.random.default_rng(seed)
    step, far, known = max(1, BLOCK // (2 * size)), 0, 0
    for start in range(0, permutations, step):
        swap = chance.integers(0, 2, (min(step, permutations - start), size)).astype(float)
        found = pool.over(np.hstack([swap, 1 - swap])) - pool.over(np.hstack([1 - swap, swap]))
        found = found[~np.isnan(found)]
        far, known = far + int((np.abs(found) >= abs(observed) - TIE).sum()), known + len(found)
    return Difference(observed, (1 + far) / (1 + known))


@dataclass(frozen=True)
class McNemar:
    """Examples that only the first system has right, that only the second has, and the p-value."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    r"""McNemar's exact test of two systems' right answers to the same examples (McNemar 1947).

    Only the $b + c$ examples on which they differ tell. If neither is better, $b$ of them is a throw of a
    coin:

    $$ p = \min\Big(1,\; 2 \sum_{k=0}^{\min(b, c)} \binom{b + c}{k} 2^{-(b + c)}\Big) $$

    Raises DataError on lengths that differ or are 0.

    >>> mcnemar([True] * 80 + [False] * 20, [True] * 75 + [False] * 5 + [True] * 15 + [False] * 5)
    McNemar(only_first=5, only_second=15, p_value=0.04138946533203125)
    """
    if len(first) != len(second) or not len(first):
        hint = "both systems on the same examples"
        raise DataError(f"{len(first)} answers beside {len(second)}", hint=hint)
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    number, term, tail = only_first + only_second, 1, 0
    for k in range(min(only_first, only_second) + 1):  # whole numbers: nothing is rounded away
        tail += term
        term = term * (number - k) // (k + 1)
    return McNemar(only_first, only_second, min(1.0, 2 * tail / 2**number))


def holm(p_values: Sequence[float]) -> list[float]:
    r"""Holm's correction for several tests at once (Holm 1979), in the order given.

    The smallest of $m$ p-values times $m$, the next times $m - 1$, and so on, never less than one before it:
    the chance of even one false "they differ" stays below the level. A NaN stays one and counts for nothing.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = [at for at, value in enumerate(p_values) if not math.isnan(value)]
    result, largest = [math.nan] * len(p_values), 0.0
    for place, at in enumerate(sorted(known, key=lambda at: p_values[at])):
        largest = max(largest, min(1.0, (len(known) - place) * p_values[at]))
        result[at] = largest
    return result


def _check(first: Measure, second: Measure) -> None:
    if first.size != second.size:
        raise DataError(
            f"{first.size} examples beside {second.size}", hint="both systems on the same examples"
        )
