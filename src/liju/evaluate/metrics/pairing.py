"""Answers and what was expected, one of each an example."""

from __future__ import annotations

from collections.abc import Sized

from liju.errors import DataError

__all__ = ["paired"]


def paired(answers: Sized, expected: Sized) -> int:
    """The number of examples.

    Raises DataError when the two differ in length or are empty: a metric of nothing is not a number.

    >>> paired(["a", "b"], ["a", "a"])
    2
    """
    if len(answers) != len(expected):
        raise DataError(f"{len(answers)} answers for {len(expected)} expected ones")
    if not len(expected):
        raise DataError("nothing to score: no examples", hint="give a test set that has rows")
    return len(expected)
