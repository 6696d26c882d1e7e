"""Mean and deviation over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from liju.errors import DataError

__all__ = ["Spread", "spread"]


@dataclass(frozen=True)
class Spread:
    """The mean and the sample deviation of `n` runs. The deviation of one run is not known: NaN."""

    mean: float
    deviation: float
    n: int


def spread(values: Sequence[float]) -> Spread:
    r"""Mean and deviation over seeds.

    $$ \bar x = \frac1n \sum x_i, \qquad s = \sqrt{\frac{1}{n-1} \sum (x_i - \bar x)^2} $$

    A NaN among the values makes both NaN: a run that failed is not averaged away.
    Raises DataError when there are no values.

    >>> spread([0.5, 0.7, 0.9])
    Spread(mean=0.7, deviation=0.2, n=3)
    >>> spread([0.5])
    Spread(mean=0.5, deviation=nan, n=1)
    """
    if not len(values):
        raise DataError("the mean of no values")
    if not all(map(math.isfinite, values)):
        mean = math.nan if any(map(math.isnan, values)) or len(set(values)) > 1 else values[0]
        return Spread(mean, math.nan, len(values))
    # Exact fractions inside `statistics` make the result independent of the order of the seeds.
    from statistics import mean as exact_mean
    from statistics import stdev

    deviation = stdev(values) if len(values) > 1 else math.nan
    return Spread(float(exact_mean(values)), float(deviation), len(values))
