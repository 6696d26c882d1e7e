"""Near duplicates among examples: the same letters and digits, or most of the same runs of characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt64

__all__ = ["clusters", "letters", "near_pairs"]

SHINGLE = 5  # characters a run
BANDS, ROWS = 16, 4  # of a signature: a pair as alike as 0.8 meets in some band with probability 0.9998
NEAR = 0.8  # Jaccard similarity of the runs
MOST = 20  # members of a band that one is compared with


def letters(text: str) -> str:
    """What is left of a text in folded case and width without spaces and punctuation.

    >>> letters("Ｇood, GOOD!") == letters("good good")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(one for one in folded if one.isalnum())


def _shingles(text: str) -> UInt64[np.ndarray, " run"]:
    """The distinct runs of five characters, hashed."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    runs = np.lib.stride_tricks.sliding_window_view(codes, min(SHINGLE, len(codes)))
    mixed = np.zeros(len(runs), np.uint64)
    for column in runs.T:
        mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return np.unique(mixed)


def near_pairs(texts: Sequence[str]) -> Iterator[tuple[int, int, float]]:
    r"""Pairs (earlier, later, similarity) of texts that are nearly the same.

    The similarity is Jaccard's, $|A \cap B| / |A \cup B|$, of the sets of runs of five letters, at least 0.8;
    1.0 where the letters are the same. Candidates share a band of a MinHash signature (Broder 1997); of a
    band that many texts share, each is compared with the first 20.

    >>> list(near_pairs(["The cat sat.", "a dog", "the cat  sat"]))
    [(0, 2, 1.0)]
    """
    plain = [letters(text) for text in texts]
    first: dict[str, int] = {}
    unique = []
    for at, text in enumerate(plain):
        if not text:
            continue
        if text in first:
            yield first[text], at, 1.0
        else:
            first[text] = at
            unique.append(at)
    draw = np.random.default_rng(0)
    factors = draw.integers(1, 2**63, BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
    shingles = {at: _shingles(plain[at]) for at in unique}
    bands: dict[tuple[int, bytes], list[int]] = {}
    for at in unique:
        mixed = shingles[at][:, None] * factors
        mixed ^= mixed >> np.uint64(32)  # the low bits of a product depend on low bits alone
        signature = mixed.min(axis=0)
        own: dict[int, None] = {}
        for band in range(BANDS):
            key = band, signature[band * ROWS : (band + 1) * ROWS].tobytes()
            members = bands.setdefault(key, [])
            own |= dict.fromkeys(members[:MOST])
            members.append(at)
        for other in own:
            both = len(np.intersect1d(shingles[at], shingles[other], assume_unique=True))
            alike = both / (len(shingles[at]) + len(shingles[other]) - both)
            if alike >= NEAR:
                yield other, at, alike


def clusters(texts: Sequence[str]) -> list[int]:
    """For each text the first one of those it is nearly the same as, directly or through others.

    >>> clusters(["The cat sat.", "a dog", "the cat  sat"])
    [0, 1, 0]
    """
    parent = list(range(len(texts)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for one, other, _ in near_pairs(texts):
        a, b = sorted((root(one), root(other)))
        parent[b] = a
    return [root(at) for at in range(len(texts))]
