"""The metrics as measures: from answers to what intervals, paired tests and slices are computed of."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from liju.errors import DataError
from liju.evaluate.metrics.corpus import bleu_counts, bleu_of_counts, chrf_counts, chrf_of_counts
from liju.evaluate.metrics.entities import Scheme, entity_counts
from liju.evaluate.metrics.labels import Average, f1_of_counts, label_counts, matthews_of_counts
from liju.evaluate.metrics.pairing import paired
from liju.evaluate.significance.measure import Correlation, Formula, Sums

__all__ = ["accuracy_measure", "bits_per_byte_measure", "bleu_measure", "chrf_measure", "entity_measure"]
__all__ += ["f1_measure", "matthews_measure", "mean_measure", "pearson_measure", "spearman_measure"]
__all__ += ["tag_measure"]


def mean_measure(scores: Sequence[float], higher_is_better: bool = True) -> Sums:
    """The mean of a score that each example has by itself: exact match, SQuAD F1, ROUGE, Brier.

    Raises DataError when there are none.

    >>> mean_measure([0.0, 1.0, 0.5]).value
    0.5
    """
    rows = np.asarray(scores, float).reshape(-1, 1)
    return Sums(rows, lambda sums, number: sums[:, 0] / number, higher_is_better)


def accuracy_measure(answers: Sequence[object], expected: Sequence[object]) -> Sums:
    """Accuracy. Raises DataError on lengths that differ or are 0.

    >>> accuracy_measure(["a", "b"], ["a", "a"]).value
    0.5
    """
    paired(answers, expected)
    return mean_measure([float(a == b) for a, b in zip(answers, expected, strict=True)])


def f1_measure(
    answers: Sequence[str | Collection[str]],
    expected: Sequence[str | Collection[str]],
    average: Average = "macro",
    labels: Sequence[str] = (),
) -> Sums:
    """F1 of labels, or of sets of labels; macro: over the labels that occur in the resample.

    `labels` names those that may occur, where two systems are to be compared.
    Raises DataError on lengths that differ or are 0.

    >>> f1_measure(["a", "a", "a"], ["a", "a", "b"]).value
    0.4
    """
    return _of_labels(
        answers, expected, labels, lambda counts, number: np.asarray(f1_of_counts(counts, average))
    )


def matthews_measure(answers: Sequence[str], expected: Sequence[str], labels: Sequence[str] = ()) -> Sums:
    """Matthews' correlation. Raises DataError on lengths that differ or are 0.

    >>> matthews_measure(["a", "b"], ["a", "b"]).value
    1.0
    """
    return _of_labels(
        answers, expected, labels, lambda counts, number: np.asarray(matthews_of_counts(counts, number))
    )


def _of_labels(
    answers: Sequence[str | Collection[str]],
    expected: Sequence[str | Collection[str]],
    labels: Sequence[str],
    formula: Formula,
) -> Sums:
    known, counts = label_counts(answers, expected)
    order = list(dict.fromkeys([*labels, *known]))
    placed = np.zeros((len(counts), len(order), 3))
    placed[:, [order.index(label) for label in known]] = counts
    shape = (-1, len(order), 3)
    return Sums(placed.reshape(len(counts), -1), lambda sums, number: formula(sums.reshape(shape), number))


def pearson_measure(answers: Sequence[float], expected: Sequence[float]) -> Correlation:
    """Pearson's correlation. Raises DataError on lengths that differ or are 0.

    >>> round(pearson_measure([1, 2, 3], [2, 4, 6]).value, 9)
    1.0
    """
    return Correlation(answers, expected)


def spearman_measure(answers: Sequence[float], expected: Sequence[float]) -> Correlation:
    """Spearman's correlation. Raises DataError on lengths that differ or are 0.

    >>> spearman_measure([1, 2, 30], [2, 4, 6]).value
    1.0
    """
    return Correlation(answers, expected, ranks=True)


def entity_measure(
    answers: Sequence[Sequence[str]],
    expected: Sequence[Sequence[str]],
    scheme: Scheme | None = None,
    strict: bool = False,
) -> Sums:
    """Micro F1 of entities; an example is a sentence. Raises DataError as `entity_scores` does.

    >>> entity_measure([["B-PER", "O"]], [["B-PER", "I-PER"]]).value
    0.0
    """
    types, counts = entity_counts(answers, expected, scheme, strict)
    rows = counts.sum(1) if types else np.zeros((len(counts), 3))
    return Sums(rows, lambda sums, number: np.asarray(f1_of_counts(sums[:, None], "micro")))


def tag_measure(
    answers: Sequence[Sequence[str]],
    expected: Sequence[Sequence[str]],
    average: Average | None = None,
    labels: Sequence[str] = (),
) -> Sums:
    """Accuracy over words, or with an `average` F1 of their tags; an example is a sentence, whose words are
    drawn together. Raises DataError on lengths that differ or are 0, naming the sentence.

    >>> tag_measure([["N", "V"], ["N"]], [["N", "N"], ["N"]]).value
    0.6666666666666666
    """
    paired(answers, expected)
    for at, (got, want) in enumerate(zip(answers, expected, strict=True), 1):
        if len(got) != len(want):
            raise DataError(f"sentence {at}: {len(got)} tags answered for {len(want)}", hint="one tag a word")
    order = sorted({*labels, *(tag for tags in (*answers, *expected) for tag in tags)})
    place = {tag: at for at, tag in enumerate(order)}
    counts = np.zeros((len(answers), len(order), 3))
    for row, got, want in zip(counts, answers, expected, strict=True):
        for answer, right in zip(got, want, strict=True):
            row[place[right], 0] += answer == right
            row[place[answer], 1] += 1
            row[place[right], 2] += 1
    if average is None:
        rows = counts[..., (0, 2)].sum(1)
        return Sums(
            rows, lambda sums, number: np.divide(*sums.T, out=np.zeros(len(sums)), where=sums[:, 1] > 0)
        )
    shape = (-1, len(order), 3)
    return Sums(
        counts.reshape(len(counts), -1),
        lambda sums, number: np.asarray(f1_of_counts(sums.reshape(shape), average)),
    )


def _ratio(sums: np.ndarray, number: np.ndarray) -> np.ndarray:
    return np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] > 0)


def bleu_measure(answers: Sequence[str], references: Sequence[str], tokenize: str = "") -> Sums:
    """BLEU. Raises DataError on lengths that differ or are 0, MissingExtra without sacrebleu.

    >>> round(bleu_measure(["the cat sat on the mat"], ["the cat sat on the red mat"]).value, 1)
    67.3
    """
    return Sums(
        bleu_counts(answers, references, tokenize), lambda sums, number: np.asarray(bleu_of_counts(sums))
    )


def chrf_measure(answers: Sequence[str], references: Sequence[str]) -> Sums:
    """chrF2. Raises DataError on lengths that differ or are 0.

    >>> chrf_measure(["例句"], ["例句"]).value
    100.0
    """
    return Sums(chrf_counts(answers, references), lambda sums, number: np.asarray(chrf_of_counts(sums)))


def bits_per_byte_measure(nats: Sequence[float], num_bytes: Sequence[int]) -> Sums:
    """Bits per byte of texts, from the nats and the bytes of each. Raises DataError on lengths that differ or
    are 0, and where no text has a byte.

    >>> round(bits_per_byte_measure([8 * np.log(2), 0.0], [1, 1]).value, 9)
    4.0
    """
    paired(nats, num_bytes)
    if not sum(num_bytes):
        raise DataError("bits per byte of an empty text", hint="give held-out text")
    rows = np.stack([np.asarray(nats, float), np.asarray(num_bytes, float)], axis=1)

    def formula(sums, number):
        with np.errstate(invalid="ignore", divide="ignore"):
            return sums[:, 0] / (np.log(2) * sums[:, 1])

    return Sums(rows, formula, higher_is_better=False)
