"""Which sample is the n-th: a keyed permutation, computed and never stored.

The order of the data is a pure function of (fingerprint of the data, seed, n), so the whole state of the
data at step n is n: nothing is saved, nothing can be repeated or skipped after a resume.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

__all__ = ["Order", "key_of", "random_of"]


def key_of(*parts: object) -> int:
    """A 64-bit key from anything that has a text form (SHA-256, so equal on every machine).

    >>> key_of("data", 1) == key_of("data", 1), key_of("data", 1) == key_of("data", 2)
    (True, False)
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def random_of(*parts: object) -> np.random.Generator:
    """A random generator that depends on `parts` alone.

    >>> int(random_of("mask", 7).integers(100)) == int(random_of("mask", 7).integers(100))
    True
    """
    return np.random.Generator(np.random.Philox(key=key_of(*parts)))


class Order:
    """A permutation of range(size) for every pass over the data.

    A Feistel network of six rounds over the smallest power of four that holds `size`; what falls outside
    is walked along its cycle until it falls inside (Black and Rogaway 2002), so it is a bijection and costs
    O(1) memory. All of it is integer arithmetic, the same on every machine.

    >>> order = Order("fingerprint", seed=0, size=5)
    >>> sorted(order.take(np.arange(5)).tolist()), sorted(order.take(np.arange(5, 10)).tolist())
    ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    """

    rounds = 6

    def __init__(self, fingerprint: str, seed: int, size: int):
        if size < 1:
            raise ValueError("an order needs at least one sample")
        self.fingerprint, self.seed, self.size = fingerprint, seed, size
        half = max(1, (int(size - 1).bit_length() + 1) // 2)
        self._half, self._mask = np.uint64(half), np.uint64((1 << half) - 1)

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """The samples (0 .. size - 1) at places `numbers` of the endless sequence of passes."""
        numbers = np.asarray(numbers, np.int64)
        passes, places = np.divmod(numbers, self.size)
        result = np.empty_like(numbers)
        for which in np.unique(passes):
            chosen = passes == which
            result[chosen] = self._permute(places[chosen], int(which))
        return result

    def __getitem__(self, number: int) -> int:
        """One of them. Whole numbers of Python: an array of one costs 25 times as much."""
        which, value = divmod(int(number), self.size)
        half, mask, keys = int(self._half), int(self._mask), self._keys(which)
        while True:
            left, right = value >> half, value & mask
            for key in keys:
                z = ((right ^ key) + 0x9E3779B97F4A7C15) & _ALL
                z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _ALL
                z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _ALL
                left, right = right, left ^ ((z ^ (z >> 31)) & mask)
            value = (left << half) | right
            if value < self.size:
                return value

    @lru_cache(maxsize=4)  # noqa: B019 - a few numbers for as long as the order lives
    def _keys(self, which: int) -> list[int]:
        return [key_of(self.fingerprint, self.seed, which, i) for i in range(self.rounds)]

    def _permute(self, places: np.ndarray, which: int) -> np.ndarray:
        keys = self._keys(which)
        values = self._feistel(places.astype(np.uint64), keys)
        while (outside := values >= self.size).any():
            values[outside] = self._feistel(values[outside], keys)
        return values.astype(np.int64)

    def _feistel(self, values: np.ndarray, keys: list[int]) -> np.ndarray:
        left, right = values >> self._half, values & self._mask
        for key in keys:
            left, right = right, left ^ (_mix(right, key) & self._mask)
        return (left << self._half) | right


_ALL = (1 << 64) - 1  # of 64 bits


def _mix(values: np.ndarray, key: int) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014) of value xor key."""
    with np.errstate(over="ignore"):
        z = (values ^ np.uint64(key)) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
