"""Exact duplicates: the same words, whatever the case and the spaces between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

__all__ = ["fingerprint", "first_of_each"]


def fingerprint(text: str) -> str:
    """The hash (32 hexadecimal digits) of the text in folded case with its spaces collapsed.

    >>> fingerprint("The  cat\\nsat") == fingerprint("the cat sat") != fingerprint("the cat sits")
    True
    """
    folded = " ".join(text.casefold().split())
    return blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def first_of_each(ids: Sequence[str], places: Sequence[tuple[int, int]]) -> Iterable[int]:
    """The rows to keep, in the order of their ids: of equal ids the one with the smallest place.

    The result is the same in whatever order the rows come.

    >>> list(first_of_each(["b", "a", "b"], [(0, 7), (2, 0), (0, 3)]))
    [1, 2]
    """
    rows = sorted(range(len(ids)), key=lambda row: (ids[row], places[row]))
    previous = None
    for row in rows:
        if ids[row] != previous:
            yield row
        previous = ids[row]
