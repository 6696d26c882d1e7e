"""Which label was answered for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from liju.evaluate.metrics.pairing import paired

__all__ = ["Confusion", "confusion"]


@dataclass(frozen=True)
class Confusion:
    """How often each label was answered for each: `counts[expected][answered]`, in the order of `labels`."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def commonest(self, most: int = 10) -> list[tuple[str, str, int]]:
        """The commonest mistakes: expected, answered, how often.

        >>> confusion(["pos", "neg", "pos"], ["pos", "neg", "neg"]).commonest()
        [('neg', 'pos', 1)]
        """
        found = [
            (right, got, self.counts[row][column])
            for row, right in enumerate(self.labels)
            for column, got in enumerate(self.labels)
            if row != column and self.counts[row][column]
        ]
        return sorted(found, key=lambda one: -one[2])[:most]


def confusion(answers: Sequence[str], expected: Sequence[str], labels: Sequence[str] = ()) -> Confusion:
    """The table of expected (rows) by answered (columns); `labels` gives the order, new ones come after it.

    Raises DataError on lengths that differ or are 0.

    >>> confusion(["pos", "neg", "pos"], ["pos", "neg", "neg"])
    Confusion(labels=('neg', 'pos'), counts=((1, 1), (0, 1)))
    """
    paired(answers, expected)
    order = list(dict.fromkeys([*labels, *sorted({*answers, *expected})]))
    counts = Counter(zip(expected, answers, strict=True))
    return Confusion(tuple(order), tuple(tuple(counts[right, got] for got in order) for right in order))
