"""The sliding window of Richardson et al. (2013): the sentence that shares the most with a question."""

from __future__ import annotations

import math
import re
from collections import Counter

from liju.ngram.segment import segments

__all__ = ["SlidingWindow", "sentences_of"]

# A sentence ends at 。！？； or a line end, or where white space follows . ! or ? and no small letter comes.
_END = re.compile(r"(?<=[。！？；])|(?<=[.!?])\s+(?=[^\sa-z])|\n+")


def sentences_of(text: str) -> list[tuple[int, int]]:
    """Where each sentence begins and ends, in characters, without the space around it.

    >>> text = "It cost $3.50 a barrel. Then more. 更多。"
    >>> [text[begin:end] for begin, end in sentences_of(text)]
    ['It cost $3.50 a barrel.', 'Then more.', '更多。']
    """
    cuts, begin = [], 0
    for found in _END.finditer(text):
        cuts.append((begin, found.start()))
        begin = found.end()
    spans = []
    cuts.append((begin, len(text)))
    for start, end in cuts:
        piece = text[start:end]
        if piece.strip():
            lead = len(piece) - len(piece.lstrip())
            spans.append((start + lead, start + len(piece.rstrip())))
    return spans


class SlidingWindow:
    r"""Answers with the sentence of the context whose words are most in the question, a word that is rare in
    the context weighing more:

    $$ s = \sum_{w \in Q \cap S} \log\left(1 + \frac{1}{C(w)}\right) $$

    with $C(w)$ how often the context has $w$ (Richardson et al. 2013; the baseline of SQuAD's paper, which
    chooses among the constituents of a parse instead of sentences). It learns nothing.

    >>> window = SlidingWindow()
    >>> window.answer("Who wrote it?", "Ada lived in London. Ada wrote the first program. It was long.")
    'Ada wrote the first program.'
    """

    def answer(self, question: str, context: str) -> str:
        """The sentence; the first of equal ones."""
        spans = sentences_of(context)
        if not spans:
            return ""
        asked = set(_words(question))
        times = Counter(_words(context))

        def score(span: tuple[int, int]) -> float:
            shared = asked & set(_words(context[span[0] : span[1]]))
            return sum(math.log1p(1 / times[word]) for word in sorted(shared))

        begin, end = max(spans, key=score)
        return context[begin:end]


def _words(text: str) -> list[str]:
    return [word.strip().casefold() for word in segments(text) if any(c.isalnum() for c in word)]
