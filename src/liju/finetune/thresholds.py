r"""Where a label of several begins to be said: the threshold of its probability with the best F1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liju.errors import DataError

__all__ = ["HALF", "LEAST", "f1_threshold"]

HALF = 0.5
# With fewer examples of a label, the best threshold is the one that fits them by chance.
LEAST = 5


def f1_threshold(probabilities: Sequence[float], has: Sequence[bool], least: int = LEAST) -> float:
    r"""The threshold $t$ with the best $F_1$ of "yes where $p > t$" (Lipton, Elkan and Naryanaswamy 2014).

    $$ F_1(t) = \frac{2 \, TP(t)}{|\{p > t\}| + P} $$

    Between two probabilities every threshold says the same: 1/2 where it lies between them, else the middle.
    Of equally good ones the nearest to 1/2. 1/2 as well where fewer than `least` have the label. Choose it on
    other examples than you report (law 8).

    Raises DataError on lengths that differ.

    >>> f1_threshold([0.1, 0.2, 0.3, 0.9], [False, False, True, True], least=2)
    0.25
    >>> f1_threshold([0.1, 0.4, 0.7, 0.9], [False, False, True, True], least=2)
    0.5
    """
    if len(probabilities) != len(has):
        raise DataError(f"{len(probabilities)} probabilities for {len(has)} examples")
    positive = int(np.sum(has))
    if positive < max(1, least):
        return HALF
    order = np.argsort(-np.asarray(probabilities, float), kind="stable")
    p, right = np.asarray(probabilities, float)[order], np.cumsum(np.asarray(has, float)[order])
    # Yes to the likeliest k: a threshold tells only different probabilities apart.
    found = [(0.0, 0.0, -HALF)]
    for k in range(1, len(p) + 1):
        low, high = (p[k] if k < len(p) else 0.0), p[k - 1]
        if low >= high:
            continue
        middle = (low + high) / 2
        between = middle if low <= middle < high else low
        at = HALF if low <= HALF < high else between
        found.append((2 * right[k - 1] / (k + positive), -abs(at - HALF), -at))
    return float(-max(found)[2])
