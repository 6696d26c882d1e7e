"""Text in one Unicode form (NFC: é is one character, not e and an accent), and where it stood in another."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["composed", "places_of"]


def composed(text: str) -> str:
    """A text in the form in which letters and accents are one character where there is one."""
    return unicodedata.normalize("NFC", text)


def places_of(context: str, text: str) -> list[tuple[int, int]]:
    """Where a text stands in a context, (begin, end) in its characters, whatever the form of either.

    >>> places_of("Cafe\\u0301 Caf\\u00e9!", "Caf\\u00e9")
    [(0, 5), (6, 10)]
    """
    whole, starts = _with_places(context)
    starts = [*starts, len(context)]
    found = (match.start() for match in re.finditer(re.escape(composed(text)), whole))
    ends = ((at, at + len(composed(text))) for at in found)
    return [(starts[a], starts[b]) for a, b in ends if starts[a] >= 0 and starts[b] >= 0]


def _with_places(text: str) -> tuple[str, list[int]]:
    """A text composed, and of each character its place in the text; -1 where none begins there."""
    whole: list[str] = []
    starts: list[int] = []
    for at, part in _parts(text):
        one = composed(part)
        whole.append(one)
        starts += range(at, at + len(part)) if one == part else [at, *[-1] * (len(one) - 1)]
    return "".join(whole), starts


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """The least parts of a text that are composed by themselves, with their places."""
    begin = 0
    for at in range(1, len(text) + 1):
        if at < len(text):
            one, two = text[begin:at], text[at]
            if unicodedata.combining(two) or composed(one + two) != composed(one) + composed(two):
                continue
        yield begin, text[begin:at]
        begin = at
