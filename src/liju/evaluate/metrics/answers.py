"""Extracted answers (SQuAD): exact match and F1 of words, with questions that have no answer."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liju.errors import DataError
from liju.evaluate.metrics.pairing import paired

__all__ = ["AnswerScores", "Threshold", "answer_f1", "best_threshold", "exact_match", "normalise_answer"]
__all__ += ["squad", "squad_scores"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise_answer(text: str) -> str:
    """Lower case, without punctuation, English articles and superfluous space (the official script's).

    >>> normalise_answer("The  U.S. President")
    'us president'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, reference: str) -> float:
    """1 where both are the same after `normalise_answer`, else 0.

    >>> exact_match("the Broncos!", "Broncos")
    1.0
    """
    return float(normalise_answer(answer) == normalise_answer(reference))


def answer_f1(answer: str, reference: str) -> float:
    r"""F1 of the words that both have in common, after `normalise_answer` (Rajpurkar et al. 2016).

    $$ F_1 = \frac{2\,|A \cap R|}{|A| + |R|} $$

    over bags of words. Where one of them has no word left, 1 if both have none, else 0.

    >>> answer_f1("Denver Broncos", "the Denver Broncos team")
    0.8
    """
    got, want = normalise_answer(answer).split(), normalise_answer(reference).split()
    if not got or not want:
        return float(got == want)
    shared = (Counter(got) & Counter(want)).total()
    return 2 * shared / (len(got) + len(want))


def squad_scores(
    answers: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[float], list[float]]:
    """Exact match and F1 of each question: the best over its references.

    A question without references has no answer, and "" is the right one. A reference of which nothing is
    left after `normalise_answer` is none, as in the script of version 2 (that of version 1.1 gives it F1 0).

    Raises DataError on lengths that differ or are 0, and where the references are one string.

    >>> squad_scores(["Denver", ""], [["Denver Broncos", "Denver"], []])
    ([1.0, 1.0], [1.0, 1.0])
    """
    paired(answers, references)
    exact, overlap = [], []
    for at, (answer, known) in enumerate(zip(answers, references, strict=True), 1):
        if isinstance(known, str):
            raise DataError(f"question {at}: its references are one text", hint="give a list of texts")
        golden = [text for text in known if normalise_answer(text)] or [""]
        exact.append(max(exact_match(answer, text) for text in golden))
        overlap.append(max(answer_f1(answer, text) for text in golden))
    return exact, overlap


@dataclass(frozen=True)
class AnswerScores:
    """Exact match and F1 as shares of `total` questions, also of those with an answer and of those without;
    None where there are no such questions."""

    exact: float
    f1: float
    total: int
    answered_exact: float | None = None
    answered_f1: float | None = None
    answered_total: int = 0
    unanswerable: float | None = None
    unanswerable_total: int = 0

    @classmethod
    def of(
        cls, exact: Sequence[float], overlap: Sequence[float], references: Sequence[Sequence[str]]
    ) -> AnswerScores:
        """The means of the scores of each question; those without references have no answer.

        >>> AnswerScores.of([1.0, 0.0], [1.0, 0.5], [["a"], ["b", "c"]]).f1
        0.75
        """
        has = np.array([len(known) > 0 for known in references])
        ems, f1s = np.asarray(exact), np.asarray(overlap)

        def mean(values: np.ndarray) -> float | None:
            return float(values.mean()) if len(values) else None

        return cls(
            float(ems.mean()),
            float(f1s.mean()),
            len(ems),
            mean(ems[has]),
            mean(f1s[has]),
            int(has.sum()),
            mean(ems[~has]),
            int((~has).sum()),
        )


def squad(answers: Sequence[str], references: Sequence[Sequence[str]]) -> AnswerScores:
    """SQuAD's metrics, versions 1.1 and 2: English normalisation, the best over each question's references.

    The answer to a question is a text, "" where the system says that there is none; a question without
    references has no answer. The same as the official scripts, times 100.

    Raises DataError on lengths that differ or are 0.

    >>> scores = squad(["Denver Broncos", "1999", ""], [["Denver"], [], []])
    >>> scores.exact, round(scores.f1, 4), scores.answered_total, scores.unanswerable
    (0.3333333333333333, 0.5556, 1, 0.5)
    """
    exact, overlap = squad_scores(answers, references)
    return AnswerScores.of(exact, overlap, references)


@dataclass(frozen=True)
class Threshold:
    """The threshold at which the mean score is best: above it the answer is "none"."""

    threshold: float
    score: float


def best_threshold(
    scores: Sequence[float], no_answer: Sequence[float], references: Sequence[Sequence[str]]
) -> Threshold:
    """Where to say "no answer" (SQuAD 2, `find_best_thresh`): choose it on other questions than you report.

    `scores` are those of the answer that the system would give, `no_answer` how sure it is that there is none
    (any number, higher is surer). The answer "" is given where `no_answer` is above the threshold.

    Raises DataError on lengths that differ or are 0.

    >>> best_threshold([1.0, 0.0, 0.0], [0.1, 0.8, 0.9], [["a"], [], []])
    Threshold(threshold=0.1, score=1.0)
    """
    paired(scores, references)
    paired(no_answer, references)
    has = np.array([bool(known) for known in references])
    order = np.argsort(np.asarray(no_answer, float), kind="stable")
    value = np.asarray(no_answer, float)[order]
    # All are "none" at first; then one question after the other, the surest to have an answer first, is given
    # its own.
    gain = np.where(has, np.asarray(scores, float), np.asarray(scores, float) - 1)[order]
    total = (~has).sum() + np.r_[0.0, np.cumsum(gain)]
    # Questions with equal values cannot be told apart by a threshold.
    allowed = np.r_[True, np.append(value[1:] != value[:-1], True)]
    best = int(np.argmax(np.where(allowed, total, -np.inf)))
    below = -np.inf if best == 0 else value[best - 1]
    return Threshold(float(below), float(total[best] / len(has)))
