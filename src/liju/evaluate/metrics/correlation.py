"""Correlation of answered and expected numbers: the metrics of regression (STS)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from liju.errors import DataError
from liju.evaluate.metrics.pairing import paired

__all__ = ["mid_ranks", "numbers", "pearson", "pearson_of_weights", "spearman"]


def numbers(
    answers: Sequence[float], expected: Sequence[float]
) -> tuple[Float[np.ndarray, " example"], Float[np.ndarray, " example"]]:
    """Both as arrays.

    Raises DataError on lengths that differ or are 0, and for what is not a finite number.

    >>> numbers([1, 2], [0.5, 3])
    (array([1., 2.]), array([0.5, 3. ]))
    """
    paired(answers, expected)
    try:
        both = np.asarray(answers, float), np.asarray(expected, float)
    except (TypeError, ValueError) as error:
        raise DataError(f"not a number: {error}") from None
    for name, values in zip(("answer", "expected value"), both, strict=True):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise DataError(f"{name} {bad[0] + 1} is {values[bad[0]]}", hint="a correlation needs numbers")
    return both


def mid_ranks(
    values: Float[np.ndarray, " example"], weights: Float[np.ndarray, "resample example"]
) -> Float[np.ndarray, "resample example"]:
    """The rank of each example where example $i$ stands `weights[r, i]` times; ties share their mean rank.

    >>> mid_ranks(np.array([0.1, 0.7, 0.7]), np.ones((1, 3))).tolist()
    [[1.0, 2.5, 2.5]]
    """
    group = np.unique(values, return_inverse=True)[1].reshape(-1)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(group[order]) > 0])
    sizes = np.add.reduceat(weights[:, order], starts, axis=1)
    return (np.cumsum(sizes, axis=1) - (sizes - 1) / 2)[:, group]


def pearson_of_weights(
    x: Float[np.ndarray, "*resample example"],
    y: Float[np.ndarray, "*resample example"],
    weights: Float[np.ndarray, "resample example"],
) -> Float[np.ndarray, " resample"]:
    """Pearson's coefficient where example $i$ stands `weights[r, i]` times; NaN where x or y does not vary.

    >>> pearson_of_weights(np.array([1.0, 2, 4]), np.array([2.0, 4, 8]), np.ones((1, 3))).round(9).tolist()
    [1.0]
    """
    total = weights.sum(1, keepdims=True)
    # What a constant differs from its own mean is rounding, and no variation.
    floors = [1e-28 * (weights * values**2).sum(1) for values in (x, y)]
    with np.errstate(invalid="ignore", divide="ignore"):
        x = x - (weights * x).sum(1, keepdims=True) / total
        y = y - (weights * y).sum(1, keepdims=True) / total
        xx, yy, xy = ((weights * a * b).sum(1) for a, b in ((x, x), (y, y), (x, y)))
        found = np.clip(xy / np.sqrt(xx * yy), -1, 1)
    return np.where((xx > floors[0]) & (yy > floors[1]), found, np.nan)


def pearson(answers: Sequence[float], expected: Sequence[float]) -> float:
    r"""Pearson's correlation: how well a line through the points fits, from -1 to 1.

    $$ r = \frac{\sum (x_i - \bar x)(y_i - \bar y)}
       {\sqrt{\sum (x_i - \bar x)^2 \sum (y_i - \bar y)^2}} $$

    NaN where one side does not vary. Raises DataError on lengths that differ or are 0, and for NaN.

    >>> round(pearson([1.0, 2.0, 4.0], [2.0, 4.0, 9.0]), 4)
    0.9986
    """
    x, y = numbers(answers, expected)
    return float(pearson_of_weights(x, y, np.ones((1, len(x))))[0])


def spearman(answers: Sequence[float], expected: Sequence[float]) -> float:
    r"""Spearman's correlation: Pearson's of the ranks, so that only the order counts; ties share a mean rank.

    NaN where one side does not vary. Raises DataError on lengths that differ or are 0, and for NaN.

    >>> spearman([1.0, 2.0, 300.0], [0.1, 0.7, 0.8])
    1.0
    """
    x, y = numbers(answers, expected)
    weights = np.ones((1, len(x)))
    return float(pearson_of_weights(mid_ranks(x, weights), mid_ranks(y, weights), weights)[0])
