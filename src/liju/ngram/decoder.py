"""Beam search over the ways to cover a sentence with phrases.

P. Koehn, "Pharaoh: a beam search decoder for phrase-based statistical machine translation models", 2004.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from liju.ngram.walk import State, Walk

__all__ = ["FEATURES", "Decoder", "Hypothesis", "Option", "Search"]

# What a translation is scored by; its score is the sum, each times its weight.
FEATURES = (
    "ln p(target | source)",
    "ln p(source | target)",
    "lexical, target given source",
    "lexical, source given target",
    "language model",
    "jump",  # minus the number of words jumped over
    "words",  # of the target: pays for what the language model charges
    "phrases",  # minus their number: long phrases are surer
)
LM, JUMP, WORDS, PHRASES = 4, 5, 6, 7


@dataclass(frozen=True)
class Search:
    """How wide to search: hypotheses a stack, nats behind the best, words a jump crosses, options a span."""

    beam: int = 20
    threshold: float = 6.0
    jump: int = 4
    options: int = 12


class Option(NamedTuple):
    """One translation of one span: numbers for the language model, words, the first four features."""

    numbers: tuple[int, ...]
    words: tuple[str, ...]
    features: tuple[float, float, float, float]


class Hypothesis:
    """A part of a translation, and what it was made from."""

    __slots__ = ("covered", "end", "jumped", "language", "option", "parent", "score", "state")

    def __init__(
        self,
        score: float,
        covered: int,
        end: int,
        state: State,
        language: float,
        jumped: int,
        option: Option | None,
        parent: Hypothesis | None,
    ):
        self.score, self.covered, self.end, self.state = score, covered, end, state
        self.language, self.jumped, self.option, self.parent = language, jumped, option, parent

    @property
    def options(self) -> list[Option]:
        """The phrases in the order of the target."""
        found = []
        at: Hypothesis | None = self
        while at is not None and at.option is not None:
            found.append(at.option)
            at = at.parent
        return found[::-1]

    @property
    def words(self) -> list[str]:
        """The words of the translation."""
        return [word for option in self.options for word in option.words]

    @property
    def features(self) -> list[float]:
        """The sums that the weights are for, in the order of FEATURES."""
        options = self.options
        table = [sum(option.features[k] for option in options) for k in range(4)]
        words = sum(len(option.numbers) for option in options)
        return [*table, self.language, -float(self.jumped), float(words), -float(len(options))]


class Decoder:
    """Finds the translation of the best score, or one near it.

    Hypotheses that cover the same number of words compete, with an estimate of what the rest will cost: the
    best options' scores, their words scored by the language model without what stands before. Two hypotheses
    with the same words left, the same end and the same state of the language model have the same future: the
    worse one is dropped. `weights` has one number for each of FEATURES.
    """

    def __init__(self, walk: Walk, weights: Sequence[float], search: Search | None = None):
        self.walk = walk
        self.weights = tuple(float(weight) for weight in weights)
        self.search = search or Search()

    def translate(self, spans: dict[tuple[int, int], list[Option]], length: int) -> list[Hypothesis]:
        """The finished hypotheses of a sentence of `length` words, best first.

        `spans` has the options of each (first, end). Every single word needs one.
        """
        walk, weights, search = self.walk, self.weights, self.search
        first = Hypothesis(0.0, 0, 0, walk.start, 0.0, 0, None, None)
        if not length:
            return [first]
        ranked = self._rank(spans)
        rest = _estimate(ranked, length)
        left: dict[int, float] = {}  # what a set of uncovered words will cost
        stacks: list[dict[tuple[int, int, State], Hypothesis]] = [{} for _ in range(length + 1)]
        stacks[0][0, 0, walk.start] = first
        best = [-1e300] * (length + 1)  # of each stack, with the estimate
        for count in range(length):
            for hypothesis in self._chosen(stacks[count], left):
                covered, end = hypothesis.covered, hypothesis.end
                gap = 0
                while covered >> gap & 1:
                    gap += 1
                for start in range(gap, min(length, gap + search.jump + 1)):
                    jump = abs(start - end)
                    if covered >> start & 1 or jump > search.jump + (start == gap) * length:
                        continue
                    base = hypothesis.score - weights[JUMP] * jump
                    for stop, mask, options in ranked[start]:
                        # No word may be left behind farther than a jump can go back to.
                        if covered & mask or (start > gap and stop - gap > search.jump):
                            break
                        after = covered | mask
                        future = left.get(after)
                        if future is None:
                            future = left[after] = _remaining(rest, after, length)
                        stack = count + stop - start
                        table = stacks[stack]
                        for estimate, score, option in options:
                            if base + estimate + future < best[stack] - search.threshold:
                                break  # the options come best first
                            language, state = 0.0, hypothesis.state
                            for number in option.numbers:
                                log, state = walk.step(state, number)
                                language += log
                            if stack == length:
                                language += walk.step(state, walk.end)[0]
                            total = base + score + weights[LM] * language
                            if total + future < best[stack] - search.threshold:
                                continue
                            best[stack] = max(best[stack], total + future)
                            key = (after, stop, state)
                            known = table.get(key)
                            if known is None or known.score < total:
                                table[key] = Hypothesis(
                                    total,
                                    after,
                                    stop,
                                    state,
                                    hypothesis.language + language,
                                    hypothesis.jumped + jump,
                                    option,
                                    hypothesis,
                                )
            stacks[count].clear()
        return sorted(stacks[length].values(), key=lambda each: -each.score)

    def _chosen(
        self, stack: dict[tuple[int, int, State], Hypothesis], left: dict[int, float]
    ) -> list[Hypothesis]:
        """The hypotheses of a stack that are worth going on with."""
        ranked = sorted(stack.values(), key=lambda each: -(each.score + left.get(each.covered, 0.0)))
        if not ranked:
            return []
        worst = ranked[0].score + left.get(ranked[0].covered, 0.0) - self.search.threshold
        return [
            each for each in ranked[: self.search.beam] if each.score + left.get(each.covered, 0.0) >= worst
        ]

    def _rank(
        self, spans: dict[tuple[int, int], list[Option]]
    ) -> dict[int, list[tuple[int, int, list[tuple[float, float, Option]]]]]:
        """By start: end, mask, and the options with their estimate and their score without language model."""
        weights, walk = self.weights, self.walk
        found: dict[int, list[tuple[int, int, list[tuple[float, float, Option]]]]] = {}
        for (start, stop), options in sorted(spans.items()):
            scored = []
            for option in options:
                score = sum(w * f for w, f in zip(weights[:4], option.features, strict=True))
                score += weights[WORDS] * len(option.numbers) - weights[PHRASES]
                language, state = 0.0, ()
                for number in option.numbers:
                    log, state = walk.step(state, number)
                    language += log
                scored.append((score + weights[LM] * language, score, option))
            scored.sort(key=lambda each: -each[0])
            mask = (1 << stop) - (1 << start)
            found.setdefault(start, []).append((stop, mask, scored[: self.search.options]))
        return found


def _estimate(
    ranked: dict[int, list[tuple[int, int, list[tuple[float, float, Option]]]]], length: int
) -> list[list[float]]:
    """For each span: the best estimate of any way to cover it."""
    cost = [[-1e9] * (length + 1) for _ in range(length + 1)]
    for start, spans in ranked.items():
        for stop, _, options in spans:
            cost[start][stop] = max(cost[start][stop], options[0][0])
    for width in range(2, length + 1):
        for start in range(length - width + 1):
            stop = start + width
            split = max(cost[start][middle] + cost[middle][stop] for middle in range(start + 1, stop))
            cost[start][stop] = max(cost[start][stop], split)
    return cost


def _remaining(rest: list[list[float]], covered: int, length: int) -> float:
    """The estimate of all words that are not covered, gap by gap."""
    total, start = 0.0, 0
    while start < length:
        if covered >> start & 1:
            start += 1
            continue
        stop = start
        while stop < length and not covered >> stop & 1:
            stop += 1
        total += rest[start][stop]
        start = stop
    return total
