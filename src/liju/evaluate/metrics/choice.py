"""Multiple choice by likelihood: the answer is the choice that the model finds likeliest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liju.errors import DataError
from liju.evaluate.metrics.pairing import paired

__all__ = ["ChoiceScores", "choice_scores", "chosen"]


@dataclass(frozen=True)
class ChoiceScores:
    """Accuracies as shares: by the whole likelihood, and by the likelihood a character and a byte."""

    accuracy: float
    accuracy_by_character: float
    accuracy_by_byte: float
    total: int


def chosen(log_likelihoods: Sequence[float], choices: Sequence[str]) -> tuple[int, int, int]:
    """The place of the likeliest choice: as it is, a character, a byte. The first of equal ones.

    `log_likelihoods` are natural logarithms of each choice's probability after the question.
    Raises DataError on lengths that differ or are 0, and for an empty choice.

    >>> chosen([-6.0, -8.0], ["no", "not at all"])
    (0, 1, 1)
    """
    paired(log_likelihoods, choices)
    if not all(choices):
        raise DataError("a choice is empty", hint="its likelihood a byte is not known")
    values = np.asarray(log_likelihoods, float)
    sizes = [np.ones(len(choices)), [len(text) for text in choices], [len(text.encode()) for text in choices]]
    first, second, third = (int(np.argmax(values / np.asarray(size, float))) for size in sizes)
    return first, second, third


def choice_scores(
    log_likelihoods: Sequence[Sequence[float]], choices: Sequence[Sequence[str]], gold: Sequence[int]
) -> ChoiceScores:
    r"""Accuracy of multiple choice, with lm-eval's two ways to make up for choices of different length.

    $$ \hat y = \arg\max_k \ln p(c_k \mid q), \qquad \hat y = \arg\max_k \frac{\ln p(c_k \mid q)}{|c_k|} $$

    with $|c_k|$ in characters (`acc_norm` of lm-eval 0.4) or in bytes of UTF-8 (its `acc_bytes`, and the
    definition that most papers mean by "normalised by bytes"); in English text they are the same. `gold` is
    the place of the right choice.

    Raises DataError on lengths that differ or are 0, for an empty choice, and for a place that is none.

    >>> choice_scores([[-6.0, -8.0]], [["no", "not at all"]], [1])
    ChoiceScores(accuracy=0.0, accuracy_by_character=1.0, accuracy_by_byte=1.0, total=1)
    """
    paired(log_likelihoods, gold)
    paired(choices, gold)
    hits = np.zeros(3)
    for at, (values, texts, right) in enumerate(zip(log_likelihoods, choices, gold, strict=True), 1):
        if not 0 <= right < len(texts):
            raise DataError(f"question {at}: no choice {right} among {len(texts)}", hint="places begin at 0")
        hits += np.array(chosen(values, texts)) == right
    plain, by_character, by_byte = (hits / len(gold)).tolist()
    return ChoiceScores(plain, by_character, by_byte, len(gold))
