"""A question and its context as overlapping windows that a network can read; the best spans of a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from liju.errors import DataError
from liju.samples import Goal, Order, Sample, key_of
from liju.vocab import Tokenizer

__all__ = ["Questions", "Span", "Window", "best_spans"]


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens `begin` to `end` of the context of question `row`."""

    row: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `begin` to `end` of a context, and the sum of the logits that it begins and ends there."""

    begin: int
    end: int
    score: float


class Questions:
    r"""Questions on contexts as an Objective: a sample is a window, [CLS] question [SEP] window [SEP].

    A context that is too long is several windows, each sharing `overlap` tokens with the next (a third of the
    room for the context, unless it is given), so that every token is in a window with others around it. What
    is to be predicted is where the answer begins and ends; where a window does not hold the whole of it, or
    there is none, both are the place of [CLS] (Devlin et al. 2018).

    `rows` are (question, context, the characters of the answer or None). A question that leaves less than a
    quarter of `max_length` for the context is shortened at its end; its row is in `shortened`.

    >>> from liju.objective.examples import tokenizer
    >>> objective = Questions([("?", "a b c d e", (6, 9))], tokenizer("encoder"), max_length=11, overlap=3)
    >>> [(window.begin, window.end) for window in objective.windows]
    [(0, 7), (4, 9)]
    >>> goal = objective.at(1, 0).goals["span"]
    >>> goal.places[goal.values[:, 0] == 1], goal.places[goal.values[:, 1] == 1]
    (array([5]), array([7]))
    """

    name = "answering"

    def __init__(
        self,
        rows: Sequence[tuple[str, str, tuple[int, int] | None]],
        tokenizer: Tokenizer,
        max_length: int,
        *,
        overlap: int | None = None,
        seed: int = 0,
    ):
        if tokenizer.cls is None:
            raise DataError("extractive answering needs an encoder", hint='[model] family = "encoder"')
        self.tokenizer, self.pad = tokenizer, tokenizer.pad or 0
        frame = tokenizer.pair([], [-1])[0]
        self.around = len(frame) - 1
        self._lead, self.cls = frame.index(-1), frame.index(tokenizer.cls)
        most = max_length - self.around - max(1, max_length // 4)
        if most < 1:
            raise DataError(f"model.max_length {max_length} is too small for a question and a context")
        asked = tokenizer.encode_batch([question for question, _, _ in rows])
        self.questions = [ids[:most] for ids in asked]
        self.shortened = [row for row, ids in enumerate(asked) if len(ids) > most]
        read = {text: _read(tokenizer, text) for text in dict.fromkeys(context for _, context, _ in rows)}
        self.contexts = [read[context] for _, context, _ in rows]
        self.spans = [
            None if span is None else _tokens_of(span, offsets)
            for (_, _, span), (_, offsets) in zip(rows, self.contexts, strict=True)
        ]
        self.windows: list[Window] = []
        for row, (question, (ids, _)) in enumerate(zip(self.questions, self.contexts, strict=True)):
            room = max_length - self.around - len(question)
            shared = room // 3 if overlap is None else min(overlap, room - 1)
            begin = 0
            while True:
                self.windows.append(Window(row, begin, min(begin + room, len(ids))))
                if begin + room >= len(ids):
                    break
                begin += room - shared
        self.size = len(self.windows)
        print_of = [(self.questions[w.row], w.begin, w.end, self.spans[w.row]) for w in self.windows]
        contexts = [ids for ids, _ in read.values()]
        self.fingerprint = f"questions-{key_of(print_of, contexts):016x}"
        self.weights = {"span": 1.0}
        self.label_smoothing = 0.0
        self.order = Order(self.fingerprint, seed, max(1, self.size))
        self._lengths = np.array(
            [self.around + len(self.questions[w.row]) + w.end - w.begin for w in self.windows], np.int64
        )

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        length = self._lengths[self.order.take(numbers)]
        return np.stack([length, np.zeros_like(length)], axis=1)

    def sample(self, number: int) -> Sample:
        return self.at(self.order[number], number)

    def at(self, index: int, number: int) -> Sample:
        """The window that stands at `index` in the order of the rows."""
        window = self.windows[index]
        context = self.contexts[window.row][0][window.begin : window.end]
        ids, types = self.tokenizer.pair(self.questions[window.row], context)
        first, last = self._marked(window)
        marks = np.zeros((len(ids), 2), np.int64)
        marks[first, 0] = marks[last, 1] = 1
        # The two marks of an answer weigh one together: a question counts as much as any other.
        weights = marks.sum(1).astype(np.float32) / 2
        goal = Goal(np.arange(len(ids)), marks, weights, "span")
        return Sample(number, np.asarray(ids, np.int64), types=np.asarray(types), goals={"span": goal})

    def lead(self, row: int) -> int:
        """The place where the context of a row begins in each of its windows."""
        return self._lead + len(self.questions[row])

    def blank(self, window: Window) -> list[int]:
        """The tokens of a window that are nothing but space, counted from its first."""
        offsets = self.contexts[window.row][1][window.begin : window.end]
        return [at for at, (begin, end) in enumerate(offsets) if begin == end]

    def characters(self, row: int, first: int, last: int) -> tuple[int, int]:
        """The characters from token `first` to token `last` of a row's context."""
        offsets = self.contexts[row][1]
        return offsets[first][0], offsets[last][1]

    def _marked(self, window: Window) -> tuple[int, int]:
        """The places where the answer begins and ends."""
        span = self.spans[window.row]
        if span is None or span[0] < window.begin or span[1] >= window.end:
            return self.cls, self.cls
        shift = self.lead(window.row) - window.begin
        return span[0] + shift, span[1] + shift


def _read(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """The ids of a context and the characters of each, without the space around them."""
    ids, offsets = tokenizer.encode_with_offsets(text)
    ends = list(accumulate((end for _, end in offsets), max))
    found = []
    for (begin, _), end in zip(offsets, ends, strict=True):
        while begin < end and text[begin].isspace():
            begin += 1
        while begin < end and text[end - 1].isspace():
            end -= 1
        found.append((begin, end))
    return ids, found


def _tokens_of(span: tuple[int, int], offsets: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """The first and the last token of some characters; None where no token is read from any of them."""
    first = next((at for at, (_, end) in enumerate(offsets) if end > span[0]), None)
    last = next((at for at in range(len(offsets) - 1, -1, -1) if offsets[at][0] < span[1]), None)
    return None if first is None or last is None or last < first else (first, last)


def best_spans(
    begins: Float[Tensor, " place"], ends: Float[Tensor, " place"], most: int, count: int
) -> tuple[list[tuple[float, int, int]], float]:
    r"""The `count` best spans of at most `most` places, (score, first, last), best first; and the log of the
    sum of $e^{s}$ over all of them, with $s_{ij} = z^\text{begin}_i + z^\text{end}_j$ and
    $i \le j < i + \text{most}$.

    >>> best_spans(torch.tensor([0.0, 2.0, 0.0]), torch.tensor([3.0, 0.0, 1.0]), most=2, count=2)
    ([(3.0, 0, 0), (3.0, 1, 2)], 3.9...)
    """
    size = len(begins)
    if not size:
        return [], -float("inf")
    most = min(most, size)
    padded = F.pad(ends.double(), (0, most - 1), value=-torch.inf)
    scores = (begins.double()[:, None] + padded.unfold(0, most, 1)).flatten()
    best = scores.topk(min(count, int((scores > -torch.inf).sum())))
    found = [
        (score, at // most, at // most + at % most)
        for score, at in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
    found.sort(key=lambda one: (-one[0], one[1], one[2]))
    return found, float(scores.logsumexp(0))
