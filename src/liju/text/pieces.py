"""Long text in pieces of bounded size that add up to the whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

__all__ = ["LIMIT", "bounded_lines", "cut_place", "pieces"]

# Characters that a document has at most: a long chapter. A longer one is cut into several, so that a book has
# parts to hold out, and no document is more than a model's longest context many times over.
LIMIT = 100_000

_SENTENCE_END = re.compile(r"[。！？；…][”’」』）]*|[.!?][\"')\]]*(?=\s)")


def cut_place(text: str, limit: int = LIMIT) -> int:
    """Where to cut so that at most `limit` characters come before: after a paragraph, line, sentence or word.

    Only the second half of the `limit` is searched; where it has no such place the cut is at `limit`.

    >>> cut_place("One two. Three four", 12), cut_place("One two three", 9), cut_place("一二三。四五六", 5)
    (8, 8, 4)
    """
    if len(text) <= limit:
        return len(text)
    low = limit // 2
    for mark in ("\n\n", "\n"):
        at = text.rfind(mark, low, limit)
        if at >= 0:
            return at + len(mark)
    at = 0
    for match in _SENTENCE_END.finditer(text, low, limit):
        at = match.end()
    if at:
        return at
    at = max(text.rfind(space, low, limit) for space in (" ", "\t", "\u3000"))
    return at + 1 if at >= 0 else limit


def pieces(chunks: Iterable[str], limit: int = LIMIT) -> Iterator[tuple[int, str]]:
    """The text that `chunks` add up to, as (number of its first line, piece of at most `limit` characters).

    >>> list(pieces(["One two.\\nThr", "ee four"], 10))
    [(1, 'One two.\\n'), (2, 'Three four')]
    """
    held, line = "", 1
    for chunk in chunks:
        held += chunk
        start = 0
        while len(held) - start > limit:
            piece = held[start : start + cut_place(held[start : start + limit + 1], limit)]
            yield line, piece
            line += piece.count("\n")
            start += len(piece)
        held = held[start:]
    if held:
        yield line, held


def bounded_lines(chunks: Iterable[str], limit: int = LIMIT) -> Iterator[tuple[int, int, str]]:
    """The lines as (number, part, text without newline); one longer than `limit` comes in parts 0, 1, ...

    At most one chunk and `limit` characters are held. Only "\\n" ends a line.

    >>> list(bounded_lines(["one\\ntwo two tw", "o\\n"], 8))
    [(1, 0, 'one'), (2, 0, 'two two '), (2, 1, 'two')]
    """
    held, number, part = "", 1, 0
    for chunk in chunks:
        *whole, rest = (held + chunk).split("\n")
        for line in whole:
            while len(line) > limit:
                at = cut_place(line, limit)
                yield number, part, line[:at]
                line, part = line[at:], part + 1
            yield number, part, line
            number, part = number + 1, 0
        while len(rest) > limit:
            at = cut_place(rest, limit)
            yield number, part, rest[:at]
            rest, part = rest[at:], part + 1
        held = rest
    if held:
        yield number, part, held
