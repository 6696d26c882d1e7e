"""The same number on parts of the test set: short and long texts, each label, each language. And the worst
mistakes: where a model is wrong and most sure of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from liju.errors import DataError
from liju.evaluate.significance.interval import Interval, bootstrap
from liju.evaluate.significance.measure import Measure

__all__ = ["Slice", "groups_of", "length_buckets", "slices", "whole", "worst"]

# Where the text of an example may stand, and its label.
TEXTS = ("text", "pair", "source", "question", "context")
# More labels than this make a table that nobody reads; the commonest are shown.
MOST_GROUPS = 30


@dataclass(frozen=True)
class Slice:
    """One part of the test set: what it was cut by, its name, how many examples, the metric and its interval.

    The value is NaN where the metric is not defined on so few examples; the interval is then None, and also
    where there is one example.
    """

    by: str
    name: str
    count: int
    value: float
    interval: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """The slice as plain values for JSON; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Slice:
        """The slice that `to_dict` wrote.

        >>> one = Slice("label", "pos", 7, 0.5, Interval(0.4, 0.6))
        >>> Slice.from_dict(one.to_dict()) == one
        True
        """
        interval = values.get("interval")
        return cls(**{**values, "interval": Interval(**interval) if interval else None})


def length_buckets(texts: Sequence[str], most: int = 4) -> list[str]:
    """The length of each text as a bucket of about equally many texts, "1-20", in characters.

    Bounds are round numbers (two digits that count), so that they can be read.
    Raises DataError for fewer than one bucket.

    >>> length_buckets(["a" * n for n in (1, 2, 90, 99)], most=2)
    ['1-46', '1-46', '47-99', '47-99']
    """
    if most < 1:
        raise DataError(f"{most} buckets", hint="one or more")
    lengths = np.array([len(text) for text in texts])
    if not len(lengths):
        return []
    inner = np.quantile(lengths, np.linspace(0, 1, most + 1)[1:-1])
    bounds = sorted({_round(bound) for bound in inner if lengths.min() <= _round(bound) < lengths.max()})
    lows = [int(lengths.min()), *(bound + 1 for bound in bounds)]
    highs = [*bounds, int(lengths.max())]
    names = [str(low) if low == high else f"{low}-{high}" for low, high in zip(lows, highs, strict=True)]
    return [names[at] for at in np.searchsorted(bounds, lengths, side="left")]


def _round(bound: float) -> int:
    """
    >>> _round(1234.5), _round(46.0), _round(7.0)
    (1200, 46, 7)
    """
    size = 10 ** max(0, len(str(int(bound))) - 2)
    return int(bound // size * size)


def groups_of(
    examples: Sequence[Mapping[str, object]], label: str = "label", buckets: int = 4
) -> dict[str, list[str]]:
    """What examples can be cut by: length in characters, label, language; a group of one name is left out.

    An example is a dictionary of its fields; the text is all of `text`, `pair`, `source`, `question` and
    `context` that it has. The language is `language` where there is one, else guessed (zh, en, other).

    >>> groups_of([{"text": "很好", "label": "pos"}, {"text": "bad", "label": "neg"}])["language"]
    ['zh', 'en']
    """
    from liju.text.language import guess_language

    if not examples:
        return {}
    texts = [
        " ".join(str(example[name]) for name in TEXTS if isinstance(example.get(name), str))
        for example in examples
    ]
    found = {
        "length": length_buckets(texts, buckets),
        "label": [str(example.get(label, "")) for example in examples],
        "language": [
            str(example.get("language") or guess_language(text))
            for example, text in zip(examples, texts, strict=True)
        ],
    }
    return {by: names for by, names in found.items() if len(set(names)) > 1}


def whole(measure: Measure, confidence: float = 0.95, resamples: int = 1000, seed: int = 0) -> Slice:
    """All examples as one slice, which the others are compared with.

    >>> from liju.evaluate import mean_measure
    >>> whole(mean_measure([1.0, 0.0, 1.0, 1.0])).value
    0.75
    """
    return Slice("all", "all", measure.size, measure.value, _interval(measure, confidence, resamples, seed))


def slices(
    measure: Measure,
    groups: Mapping[str, Sequence[str]],
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Slice]:
    """A metric on each group of examples, with its bootstrap interval.

    `groups` gives for each way of cutting the name of each example's part. Lengths are in order of length,
    the rest by how many examples they have, the most first (at most 30 of them).
    A slice is chosen after the fact: of twenty, one lies outside its interval by chance.

    Raises DataError where a group does not name every example.

    >>> from liju.evaluate import mean_measure
    >>> found = slices(mean_measure([1, 1, 0, 0]), {"label": ["pos", "pos", "pos", "neg"]})
    >>> [(one.name, one.count, round(one.value, 2)) for one in found]
    [('pos', 3, 0.67), ('neg', 1, 0.0)]
    """
    found = []
    for by, names in groups.items():
        if len(names) != measure.size:
            raise DataError(f"{len(names)} names of {by} for {measure.size} examples")
        places: dict[str, list[int]] = {}
        for at, name in enumerate(names):
            places.setdefault(name, []).append(at)
        if by == "length":
            order = sorted(places, key=lambda name: int(name.split("-")[0]))
        else:
            order = sorted(places, key=lambda name: (-len(places[name]), name))[:MOST_GROUPS]
        for name in order:
            part = measure.take(places[name])
            found.append(Slice(by, name, part.size, part.value, _interval(part, confidence, resamples, seed)))
    return found


def _interval(part: Measure, confidence: float, resamples: int, seed: int) -> Interval | None:
    if part.size < 2:
        return None
    try:
        return bootstrap(part, confidence, resamples, seed)
    except DataError:  # no resample of so few has a value
        return None


def worst(scores: Sequence[float], most: int = 12) -> list[int]:
    """The places of the lowest scores, the lowest first; a score that is not a number is none of them.

    For labels the score is the confidence of a wrong answer, negated, and NaN where it was right; for a
    translation its own chrF; for text its bits per byte, negated.

    >>> worst([0.5, float("nan"), 0.1, 0.9], most=2)
    [2, 0]
    """
    values = np.asarray(scores, float)
    known = np.flatnonzero(~np.isnan(values))
    return known[np.argsort(values[known], kind="stable")][:most].tolist()
