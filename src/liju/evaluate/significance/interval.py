"""Bootstrap intervals: how far a number depends on which examples the test set happens to hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from liju.errors import DataError
from liju.evaluate.metrics.labels import accuracy
from liju.evaluate.significance.measure import Measure

__all__ = ["Interval", "accuracy_interval", "bootstrap", "bootstrap_of_parts", "draws"]

# Places of one block of resamples: a few tens of megabytes.
BLOCK = 4_000_000


@dataclass(frozen=True)
class Interval:
    """From `low` to `high` with the given confidence."""

    low: float
    high: float
    confidence: float = 0.95


def draws(size: int, resamples: int, seed: int) -> Iterator[Float[np.ndarray, "resample example"]]:
    """How often each example stands in each resample of `size` examples with replacement, in blocks.

    >>> [block.sum(axis=1).tolist() for block in draws(3, 2, seed=0)]
    [[3.0, 3.0]]
    """
    chance = np.random.default_rng(seed)
    step = max(1, BLOCK // size)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        chosen = chance.integers(0, size, (rows, size))
        chosen += size * np.arange(rows)[:, None]
        yield np.bincount(chosen.ravel(), minlength=rows * size).reshape(rows, size).astype(float)


def bootstrap(measure: Measure, confidence: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    r"""The percentile bootstrap interval of any metric (Efron 1979).

    Draw the $n$ examples $n$ times with replacement, `resamples` times; the interval lies between the
    $(1 - c)/2$ and $(1 + c)/2$ quantiles of the metric over these draws. It says how much the choice of the
    test set matters; how much the choice of the seed does, is the deviation over seeds. Resamples in which
    the metric is not a number (a correlation with a constant) are left out. With a test set of fewer than
    about 30 examples it is too narrow.

    Raises DataError when no resample has a value.

    >>> from liju.evaluate import accuracy_measure
    >>> right = accuracy_measure(["a"] * 90 + ["b"] * 10, ["a"] * 100)
    >>> bootstrap(right)
    Interval(low=0.84, high=0.96, confidence=0.95)
    """
    return bootstrap_of_parts([measure], confidence, resamples, seed)


def bootstrap_of_parts(
    parts: Sequence[Measure], confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """The interval of the mean of a metric over parts of the examples, as cross-validation gives it: the
    examples of each part are drawn from that part.

    It is not the interval of the metric on all examples together, which is another number for a correlation,
    an F1 or BLEU. Raises DataError as `bootstrap` does.

    >>> from liju.evaluate import accuracy_measure
    >>> parts = [accuracy_measure(["a"] * right + ["b"] * (50 - right), ["a"] * 50) for right in (40, 50)]
    >>> found = bootstrap_of_parts(parts)
    >>> round(found.low, 9), round(found.high, 9)
    (0.84, 0.95)
    """
    _check(confidence, resamples)
    each = [
        np.concatenate([part.over(block) for block in draws(part.size, resamples, seed + at)])
        for at, part in enumerate(parts)
    ]
    found = np.mean(each, axis=0)
    found = found[~np.isnan(found)]
    if not len(found):
        raise DataError("no resample of these examples has a value", hint="give more examples")
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high), confidence)


def accuracy_interval(
    answers: Sequence[str],
    expected: Sequence[str],
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    r"""The percentile bootstrap interval of the accuracy, as `bootstrap` gives it, in a moment.

    The number of right ones in a resample is $\mathrm{Binomial}(n, \text{accuracy})$, so it is drawn as that.
    When all are right (or wrong) the interval has no width: then n is too small to tell, not the model
    perfect.

    Raises DataError on lengths that differ or are 0.

    >>> accuracy_interval(["a"] * 90 + ["b"] * 10, ["a"] * 100)
    Interval(low=0.84, high=0.96, confidence=0.95)
    """
    _check(confidence, resamples)
    share = accuracy(answers, expected)
    number = len(expected)
    drawn = np.random.default_rng(seed).binomial(number, share, size=resamples) / number
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high), confidence)


def _check(confidence: float, resamples: int) -> None:
    if not 0 < confidence < 1:
        raise DataError(f"a confidence of {confidence}", hint="between 0 and 1, as 0.95")
    if resamples < 1:
        raise DataError(f"{resamples} resamples", hint="1000 or more")
