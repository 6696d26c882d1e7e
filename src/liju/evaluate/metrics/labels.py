"""Metrics of labels: one label an example, or a set of them.

All of them are functions of three counts a label: how often it was right (true positives), answered, and
expected. `label_counts` gives these for each example, so that a resample of the examples is a weighted sum.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from liju.evaluate.metrics.pairing import paired

__all__ = ["Average", "LabelScore", "accuracy", "f1", "f1_of_counts", "label_counts", "label_scores"]
__all__ += ["matthews", "matthews_of_counts", "multilabel_f1", "subset_accuracy"]

Average = Literal["macro", "micro", "weighted"]


def accuracy(answers: Sequence[object], expected: Sequence[object]) -> float:
    r"""The share of answers that are right.

    $$ \mathrm{accuracy} = \frac{1}{n} \sum_{i=1}^{n} [\hat y_i = y_i] $$

    Raises DataError when the two differ in length or are empty.

    >>> accuracy(["pos", "neg", "pos"], ["pos", "neg", "neg"])
    0.6666666666666666
    """
    number = paired(answers, expected)
    return sum(answer == right for answer, right in zip(answers, expected, strict=True)) / number


def label_counts(
    answers: Sequence[str | Collection[str]], expected: Sequence[str | Collection[str]]
) -> tuple[list[str], Float[np.ndarray, "example label 3"]]:
    """The labels that occur, sorted, and for each example and label: right, answered, expected (0 or 1).

    An example has one label (a string) or any number of them (a list or set of strings).
    Raises DataError when the two differ in length or are empty.

    >>> labels, counts = label_counts(["a", ["a", "b"]], ["a", []])
    >>> labels, counts.sum(axis=0).astype(int).tolist()
    (['a', 'b'], [[1, 2, 1], [0, 1, 0]])
    """
    number = paired(answers, expected)
    got = [{one} if isinstance(one, str) else set(one) for one in answers]
    want = [{one} if isinstance(one, str) else set(one) for one in expected]
    labels = sorted(set().union(*got, *want))
    place = {label: at for at, label in enumerate(labels)}
    counts = np.zeros((number, len(labels), 3), np.float32)
    for at in range(number):
        for label in got[at]:
            counts[at, place[label], 1] = 1
            counts[at, place[label], 0] = label in want[at]
        for label in want[at]:
            counts[at, place[label], 2] = 1
    return labels, counts


def f1_of_counts(counts: Float[np.ndarray, "*some label 3"], average: Average) -> Any:
    """F1 from summed counts (right, answered, expected); of the labels that occur in the sum.

    >>> float(f1_of_counts(np.array([[2, 3, 2], [0, 0, 1]]), "macro"))
    0.4
    """
    right, both = counts[..., 0], counts[..., 1] + counts[..., 2]
    if average == "micro":
        right, both = right.sum(-1), both.sum(-1)
        return np.divide(2 * right, both, out=np.zeros(both.shape), where=both > 0)
    each = np.divide(2 * right, both, out=np.zeros(both.shape), where=both > 0)
    weight = counts[..., 2] if average == "weighted" else (both > 0).astype(float)
    total = weight.sum(-1)
    return np.divide((each * weight).sum(-1), total, out=np.zeros(total.shape), where=total > 0)


def f1(answers: Sequence[str], expected: Sequence[str], average: Average = "macro") -> float:
    r"""The harmonic mean of precision and recall, over all labels that occur in either list.

    $$ F_1 = \frac{2\,TP}{2\,TP + FP + FN} $$

    macro: the plain mean of the labels' $F_1$, so that a rare label counts as much as a common one;
    micro: $TP$, $FP$ and $FN$ summed over the labels first: the accuracy, when each example has one label;
    weighted: the mean weighted by how often each label was expected.
    A label that is never right has $F_1 = 0$. (scikit-learn, `f1_score`.)

    Raises DataError on lengths that differ or are 0.

    >>> f1(["a", "a", "a"], ["a", "a", "b"])
    0.4
    >>> f1(["a", "a", "a"], ["a", "a", "b"], average="micro")
    0.6666666666666666
    """
    return float(f1_of_counts(label_counts(answers, expected)[1].sum(0, dtype=float), average))


@dataclass(frozen=True)
class LabelScore:
    """One label: precision, recall and F1 as shares, and how often it was expected."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int

    @classmethod
    def of(cls, label: str, right: float, answered: float, expected: float) -> LabelScore:
        """From the counts; 0 where there is nothing to divide by.

        >>> LabelScore.of("a", right=1, answered=2, expected=1)
        LabelScore(label='a', precision=0.5, recall=1.0, f1=0.6666666666666666, support=1)
        """
        both = answered + expected
        precision = right / answered if answered else 0.0
        recall = right / expected if expected else 0.0
        return cls(label, precision, recall, 2 * right / both if both else 0.0, int(expected))


def label_scores(
    answers: Sequence[str | Collection[str]], expected: Sequence[str | Collection[str]]
) -> list[LabelScore]:
    r"""Precision, recall and F1 of each label; 0 where there is nothing to divide by.

    $$ P = \frac{TP}{TP + FP}, \qquad R = \frac{TP}{TP + FN} $$

    Raises DataError on lengths that differ or are 0.

    >>> for score in label_scores(["a", "a", "a"], ["a", "a", "b"]):
    ...     print(score)
    LabelScore(label='a', precision=0.6666666666666666, recall=1.0, f1=0.8, support=2)
    LabelScore(label='b', precision=0.0, recall=0.0, f1=0.0, support=1)
    """
    labels, counts = label_counts(answers, expected)
    return [
        LabelScore.of(label, *row)
        for label, row in zip(labels, counts.sum(0, dtype=float).tolist(), strict=True)
    ]


def matthews_of_counts(counts: Float[np.ndarray, "*some label 3"], number: Any) -> Any:
    """Matthews' coefficient from summed counts of examples that have one label each.

    >>> float(matthews_of_counts(np.array([[2, 2, 2], [1, 1, 1]]), 3))
    1.0
    """
    right, answered, expected = counts[..., 0].sum(-1), counts[..., 1], counts[..., 2]
    number = np.asarray(number, float)
    above = right * number - (answered * expected).sum(-1)
    below = (number**2 - (answered**2).sum(-1)) * (number**2 - (expected**2).sum(-1))
    below = np.sqrt(np.maximum(below, 0))
    return np.divide(above, below, out=np.zeros(below.shape), where=below > 0)


def matthews(answers: Sequence[str], expected: Sequence[str]) -> float:
    r"""Matthews' correlation of answers and expected labels, from -1 to 1; 0 is what chance gives.

    $$ \mathrm{MCC} = \frac{c\,n - \sum_k a_k e_k}
       {\sqrt{(n^2 - \sum_k a_k^2)(n^2 - \sum_k e_k^2)}} $$

    with $c$ right answers of $n$, label $k$ answered $a_k$ times and expected $e_k$ times (Gorodkin 2004). 0
    where one label is always answered or always expected. (scikit-learn, `matthews_corrcoef`; CoLA's metric.)

    Raises DataError on lengths that differ or are 0.

    >>> matthews(["a", "a", "b", "b"], ["a", "a", "b", "a"])
    0.5773502691896258
    >>> matthews(["a", "a"], ["a", "b"])
    0.0
    """
    return float(matthews_of_counts(label_counts(answers, expected)[1].sum(0, dtype=float), len(expected)))


def multilabel_f1(
    answers: Sequence[Collection[str]],
    expected: Sequence[Collection[str]],
    average: Literal["macro", "micro", "weighted", "samples"] = "micro",
) -> float:
    r"""F1 of sets of labels; `samples` is the mean over examples of each one's own F1.

    An example that has no label and was answered none has F1 = 1 under `samples`, and no weight under the
    others. (scikit-learn, `f1_score` with `zero_division` 1 for `samples`.)

    Raises DataError on lengths that differ or are 0.

    >>> multilabel_f1([["sport", "money"], []], [["sport"], []], average="samples")
    0.8333333333333333
    """
    counts = label_counts(answers, expected)[1]
    if average != "samples":
        return float(f1_of_counts(counts.sum(0, dtype=float), average))
    right, both = counts[..., 0].sum(-1, dtype=float), counts[..., 1:].sum((-1, -2), dtype=float)
    return float(np.divide(2.0 * right, both, out=np.ones(both.shape), where=both > 0).mean())


def subset_accuracy(answers: Sequence[Collection[str]], expected: Sequence[Collection[str]]) -> float:
    """The share of examples whose whole set of labels is right.

    Raises DataError on lengths that differ or are 0.

    >>> subset_accuracy([["a"], ["a", "b"]], [["a"], ["a"]])
    0.5
    """
    return accuracy([frozenset(one) for one in answers], [frozenset(one) for one in expected])
