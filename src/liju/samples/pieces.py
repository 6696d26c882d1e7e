"""Cut documents into pieces that fit a sample. Long documents are split, never cut off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liju.samples.shards import TokenShards

__all__ = ["Chunks", "Pieces"]


class Pieces:
    """Every document in as few even pieces as fit: piece i is (document, start, end).

    `extra` counts tokens that a sample adds to each document (a start or an end), so that
    end - start of the last piece may reach past the document by that many.

    >>> pieces = Pieces(np.array([0, 5, 12]), limit=4)
    >>> [pieces[i] for i in range(len(pieces))]
    [(0, 0, 2), (0, 2, 5), (1, 0, 3), (1, 3, 7)]
    """

    def __init__(self, bounds: np.ndarray, limit: int, extra: int = 0):
        self.sizes = np.diff(bounds) + extra
        self.counts = -(-self.sizes // limit)
        self.ends = np.cumsum(self.counts)

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, number: int) -> tuple[int, int, int]:
        document, start, end = self.spans(np.array([number]))
        return int(document[0]), int(start[0]), int(end[0])

    def spans(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The documents, starts and ends of pieces `numbers`."""
        document = np.searchsorted(self.ends, numbers, side="right")
        size, count = self.sizes[document], self.counts[document]
        which = numbers - (self.ends[document] - count)
        return document, which * size // count, (which + 1) * size // count


@dataclass(frozen=True)
class Chunks:
    """Runs of whole sentences in two halves, A and B, each at most `half` tokens: what BERT calls a pair.

    Chunk i is tokens[start[i]:middle[i]] and tokens[middle[i]:end[i]] of `document[i]`; the second is empty
    where a document has only one sentence left. A sentence longer than `half` is split.
    """

    document: np.ndarray
    start: np.ndarray
    middle: np.ndarray
    end: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def of(cls, shards: TokenShards, half: int) -> Chunks:
        """Cut every document of the shards."""
        rows: list[tuple[int, int, int, int]] = []
        first = 0
        ends = shards.sentence_ends.tolist()
        place = 0
        for document, last in enumerate(shards.document_ends.tolist()):
            units = []  # ends of sentences, long ones split evenly
            for end in ends[first:last]:
                size = end - place
                count = -(-size // half)
                units += [place + (k + 1) * size // count for k in range(count)]
                place = end
            rows += _chunks(document, units, int(shards.document_bounds[document]), half)
            first = last
        table = np.asarray(rows, np.int64).reshape(-1, 4)
        return cls(*(table[:, column] for column in range(4)))


def _chunks(document: int, units: list[int], start: int, half: int) -> list[tuple[int, int, int, int]]:
    """Fill A, then B; split what was taken as near the middle as whole sentences allow.

    >>> _chunks(0, [3, 5, 9, 11], start=0, half=5)
    [(0, 0, 5, 9), (0, 9, 11, 11)]
    """
    rows = []
    i = 0
    while i < len(units):
        j = i
        while j < len(units) and units[j] - start <= half:
            j += 1
        middle = units[j - 1]
        k = j
        while k < len(units) and units[k] - middle <= half:
            k += 1
        end = units[k - 1]
        ways = [u for u in units[i : k - 1] if u - start <= half and end - u <= half]
        split = min(ways, key=lambda u: abs(u - start - (end - u))) if ways else end
        rows.append((document, start, split, end))
        start, i = end, k
    return rows
