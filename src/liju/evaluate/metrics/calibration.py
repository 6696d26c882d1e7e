"""Is a model as often right as it says? Expected calibration error and Brier's score."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from liju.errors import DataError
from liju.evaluate.metrics.pairing import paired

__all__ = ["Bin", "Calibration", "brier", "brier_scores", "calibration", "calibration_of_labels"]


@dataclass(frozen=True)
class Bin:
    """Answers whose confidence lies above `low`, up to `high`: how many, how sure and how right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """The expected and the largest calibration error as shares, and the bins that hold anything."""

    error: float
    largest: float
    bins: tuple[Bin, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """What `dataclasses.asdict` made plain values of.

        >>> from dataclasses import asdict
        >>> found = calibration([0.5, 1.0], [True, True])
        >>> Calibration.from_dict(asdict(found)) == found
        True
        """
        return cls(values["error"], values["largest"], tuple(Bin(**one) for one in values["bins"]))


def calibration(
    confidence: Sequence[float],
    right: Sequence[bool],
    bins: int = 15,
    binning: Literal["width", "count"] = "width",
) -> Calibration:
    r"""The expected calibration error (Naeini et al. 2015; Guo et al. 2017).

    $$ \mathrm{ECE} = \sum_b \frac{n_b}{n} \left| \mathrm{accuracy}_b - \mathrm{confidence}_b \right| $$

    over bins of confidence: of equal width (the usual), or of equally many answers. `confidence` is the
    probability of the answer given. With few answers a bin the error of a perfectly calibrated model is
    not 0.

    Raises DataError on lengths that differ or are 0, for a confidence outside 0..1, and for no bins.

    >>> found = calibration([0.95, 0.95, 0.65, 0.65], [True, True, True, False], bins=10)
    >>> round(found.error, 3), [(bin.count, bin.accuracy) for bin in found.bins]
    (0.1, [(2, 0.5), (2, 1.0)])
    """
    number = paired(confidence, right)
    sure, hit = np.asarray(confidence, float), np.asarray(right, float)
    if bins < 1:
        raise DataError(f"{bins} bins", hint="one or more; 15 is usual")
    outside = np.flatnonzero(~((sure >= 0) & (sure <= 1)))
    if len(outside):
        raise DataError(
            f"confidence {outside[0] + 1} is {sure[outside[0]]}", hint="a probability, between 0 and 1"
        )
    if binning == "count":
        edges = np.quantile(sure, np.linspace(0, 1, bins + 1))
        edges[0], edges[-1] = 0.0, 1.0
    else:
        edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, bins - 1)
    found = []
    for at in np.unique(place):
        own = place == at
        mean_sure, mean_hit = float(sure[own].mean()), float(hit[own].mean())
        found.append(Bin(float(edges[at]), float(edges[at + 1]), int(own.sum()), mean_sure, mean_hit))
    gaps = [abs(one.accuracy - one.confidence) for one in found]
    error = sum(gap * one.count for gap, one in zip(gaps, found, strict=True)) / number
    return Calibration(error, max(gaps), tuple(found))


def calibration_of_labels(
    probabilities: Sequence[Mapping[str, float]], expected: Sequence[Collection[str]], bins: int = 15
) -> Calibration:
    """The calibration of sets of labels: of each label of each example, is it there as often as its
    probability says? It does not depend on the thresholds above which labels are said.

    Raises DataError as `calibration` does.

    >>> round(calibration_of_labels([{"sport": 0.9, "money": 0.2}] * 2, [["sport"], ["sport"]]).error, 3)
    0.15
    """
    paired(probabilities, expected)
    asked = [
        (probability, label in own)
        for row, own in zip(probabilities, expected, strict=True)
        for label, probability in row.items()
    ]
    return calibration([one for one, _ in asked], [there for _, there in asked], bins)


def brier_scores(
    probabilities: Float[np.ndarray, "example label"], expected: Sequence[int]
) -> Float[np.ndarray, " example"]:
    """Brier's score of each example; `expected` is the place of the right label.

    Raises DataError on lengths that differ or are 0, and for a place that is none.

    >>> brier_scores(np.array([[0.5, 0.5]]), [0]).tolist()
    [0.5]
    """
    paired(probabilities, expected)
    table, place = np.asarray(probabilities, float), np.asarray(expected, int)
    if table.ndim != 2 or place.min() < 0 or place.max() >= table.shape[1]:
        raise DataError(
            f"probabilities of shape {table.shape} for labels {place.min()} to {place.max()}",
            hint="a row an example, a column a label",
        )
    return ((table - np.eye(table.shape[1])[place]) ** 2).sum(1)


def brier(probabilities: Float[np.ndarray, "example label"], expected: Sequence[int]) -> float:
    r"""Brier's score (1950), from 0 (sure and right) to 2 (sure and wrong).

    $$ \mathrm{Brier} = \frac1n \sum_i \sum_k (p_{ik} - [y_i = k])^2 $$

    Over all labels; for two labels it is twice the score that counts one of them only.
    Raises DataError on lengths that differ or are 0, and for a place that is none.

    >>> brier(np.array([[1.0, 0.0], [0.5, 0.5]]), [0, 1])
    0.25
    """
    return float(brier_scores(probabilities, expected).mean())
