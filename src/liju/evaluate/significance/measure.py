"""A metric of one system's answers that can be computed on any re-weighting of the examples.

Intervals, paired tests and slices all ask the same question: what would the metric be if each example stood
in the test set so many times? A `Measure` answers it for many weightings at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from liju.errors import DataError
from liju.evaluate.metrics.correlation import mid_ranks, numbers, pearson_of_weights

__all__ = ["Average", "Correlation", "Measure", "Sums"]

# From sums over examples, [resample, sum], and the number of examples in each, to the metric.
Formula = Callable[[Float[np.ndarray, "resample sum"], Float[np.ndarray, " resample"]], np.ndarray]


class Measure(ABC):
    """One metric on `size` examples. `higher_is_better` says which way a difference counts.

    >>> from liju.evaluate import mean_measure
    >>> measure = mean_measure([1.0, 0.0, 0.5])
    >>> measure.value, measure.over(np.array([[2.0, 1.0, 0.0]])).round(3).tolist(), measure.take([0, 2]).value
    (0.5, [0.667], 0.75)
    """

    size: int
    higher_is_better: bool = True

    @property
    def value(self) -> float:
        """The metric on all examples, each once."""
        return float(self.over(np.ones((1, self.size)))[0])

    @property
    def each(self) -> Float[np.ndarray, " example"]:
        """What the metric is on each example alone; NaN where that says nothing."""
        return np.full(self.size, np.nan)

    @abstractmethod
    def over(self, weights: Float[np.ndarray, "resample example"]) -> Float[np.ndarray, " resample"]:
        """The metric where example $i$ stands `weights[r, i]` times; NaN where it is not defined."""

    @abstractmethod
    def take(self, chosen: Sequence[int] | Int[np.ndarray, " some"]) -> Measure:
        """The same metric on some of the examples."""

    @abstractmethod
    def joined(self, other: Measure) -> Measure:
        """The same metric on these examples followed by those of `other`."""


class Sums(Measure):
    r"""A metric that is a formula of sums over the examples: $m(w) = f(\sum_i w_i s_i, \sum_i w_i)$.

    Accuracy, F1, BLEU and bits per byte are. Raises DataError when there are no examples.

    >>> ratio = Sums(np.array([[1.0, 2.0], [5.0, 2.0]]), lambda sums, number: sums[:, 0] / sums[:, 1])
    >>> ratio.value
    1.5
    """

    def __init__(
        self, rows: Float[np.ndarray, "example sum"], formula: Formula, higher_is_better: bool = True
    ):
        if not len(rows):
            raise DataError("nothing to score: no examples", hint="give a test set that has rows")
        self.rows, self.formula, self.higher_is_better = np.asarray(rows, float), formula, higher_is_better
        self.size = len(rows)

    @property
    def each(self) -> Float[np.ndarray, " example"]:
        return np.asarray(self.formula(self.rows, np.ones(self.size)), float)

    def over(self, weights: Float[np.ndarray, "resample example"]) -> Float[np.ndarray, " resample"]:
        return np.asarray(self.formula(weights @ self.rows, weights.sum(1)), float)

    def take(self, chosen: Sequence[int] | Int[np.ndarray, " some"]) -> Sums:
        return Sums(self.rows[np.asarray(chosen, int)], self.formula, self.higher_is_better)

    def joined(self, other: Measure) -> Sums:
        if not isinstance(other, Sums) or other.rows.shape[1:] != self.rows.shape[1:]:
            raise DataError("two measures of different metrics", hint="measure both systems in the same way")
        return Sums(np.concatenate([self.rows, other.rows]), self.formula, self.higher_is_better)


class Correlation(Measure):
    """Pearson's or, of the ranks within each resample, Spearman's coefficient.

    Raises DataError on lengths that differ or are 0, and for what is not a number.

    >>> Correlation([1, 2, 30], [1, 2, 3], ranks=True).value
    1.0
    """

    def __init__(self, answers: Sequence[float], expected: Sequence[float], ranks: bool = False):
        self.answers, self.expected = numbers(answers, expected)
        self.ranks, self.size = ranks, len(self.answers)

    def over(self, weights: Float[np.ndarray, "resample example"]) -> Float[np.ndarray, " resample"]:
        x, y = self.answers, self.expected
        if self.ranks:
            x, y = mid_ranks(x, weights), mid_ranks(y, weights)
        return pearson_of_weights(x, y, weights)

    def take(self, chosen: Sequence[int] | Int[np.ndarray, " some"]) -> Correlation:
        chosen = np.asarray(chosen, int)
        return Correlation(self.answers[chosen], self.expected[chosen], self.ranks)  # type: ignore[arg-type]

    def joined(self, other: Measure) -> Correlation:
        if not isinstance(other, Correlation) or other.ranks != self.ranks:
            raise DataError("two measures of different metrics", hint="measure both systems in the same way")
        answers, expected = (
            np.concatenate(both) for both in ((self.answers, other.answers), (self.expected, other.expected))
        )
        return Correlation(answers, expected, self.ranks)  # type: ignore[arg-type]


class Average(Measure):
    """The mean over several systems, as the seeds of one, of the same metric on the same examples.

    Raises DataError for no systems, and for systems on different numbers of examples.

    >>> from liju.evaluate import mean_measure
    >>> Average([mean_measure([0.0, 1.0]), mean_measure([1.0, 1.0])]).value
    0.75
    """

    def __init__(self, parts: Sequence[Measure]):
        if len({part.size for part in parts}) != 1:
            raise DataError(f"measures of {', '.join(str(part.size) for part in parts) or 'no'} examples")
        self.parts, self.size, self.higher_is_better = list(parts), parts[0].size, parts[0].higher_is_better

    @property
    def each(self) -> Float[np.ndarray, " example"]:
        return np.mean([part.each for part in self.parts], axis=0)

    def over(self, weights: Float[np.ndarray, "resample example"]) -> Float[np.ndarray, " resample"]:
        return np.mean([part.over(weights) for part in self.parts], axis=0)

    def take(self, chosen: Sequence[int] | Int[np.ndarray, " some"]) -> Average:
        return Average([part.take(chosen) for part in self.parts])

    def joined(self, other: Measure) -> Average:
        theirs = other.parts if isinstance(other, Average) else [other]
        if len(theirs) != len(self.parts):
            raise DataError(f"{len(self.parts)} systems beside {len(theirs)}", hint="as many seeds of each")
        return Average([one.joined(its) for one, its in zip(self.parts, theirs, strict=True)])
