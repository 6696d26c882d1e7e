"""How often each run of 1..n ids occurs, as sorted arrays.

A run of k ids is stored as one integer: key = (row of its first k-1 ids in the table one
shorter) * base + last id.
So a key fits in 63 bits at any order, runs that share a history lie together, and
counting is one sort an order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from liju.errors import DataError

__all__ = ["Counts", "Stream", "Table", "Words", "count", "ids_of"]

# What counts as a sequence: integers; a string stands for its code points and bytes for their values.
Ids = Sequence[int] | np.ndarray | str | bytes


def ids_of(sequence: Ids) -> Int64[np.ndarray, " place"]:
    """A sequence as an array of integers.

    >>> ids_of("ab"), ids_of(b"ab"), ids_of([7, 2])
    (array([97, 98]), array([97, 98]), array([7, 2]))
    """
    if isinstance(sequence, str):
        return np.frombuffer(sequence.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)
    if isinstance(sequence, bytes | bytearray | memoryview):
        return np.frombuffer(sequence, dtype=np.uint8).astype(np.int64)
    array = np.asarray(sequence)
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(
            f"a sequence of {array.ndim} dimensions of {array.dtype} cannot be counted",
            hint="give one row of integer ids, a string, or bytes",
        )
    return array.astype(np.int64, copy=False)


@dataclass(frozen=True)
class Words:
    """The outcomes a model knows, numbered without gaps: 0..V-1, then </s>, then the unknown word, then <s>.

    With `seen` None the vocabulary is closed: every id below `size` is a word and any other is an error.
    Otherwise it is open: `seen` holds the ids of the training text in order, all others are the unknown word.
    `ending` says that a closed vocabulary has a word for the end of a sequence, so that none is added.
    """

    size: int
    seen: Int64[np.ndarray, " word"] | None = None
    ending: int | None = None

    def __post_init__(self) -> None:
        if self.ending is not None and (self.seen is not None or not 0 <= self.ending < self.size):
            raise ValueError(f"ending {self.ending} is no word of a closed vocabulary of {self.size}")

    @property
    def end(self) -> int:
        """The number of </s>."""
        return self.size if self.ending is None else self.ending

    @property
    def unknown(self) -> int:
        """The number of the unknown word."""
        return self.size + 1

    @property
    def start(self) -> int:
        """The number of <s>, which is only ever a history."""
        return self.size + 2

    @property
    def base(self) -> int:
        """One more than the largest number."""
        return self.size + 3

    @property
    def outcomes(self) -> int:
        """How many things can come next: the words, </s> and, in an open vocabulary, the unknown word."""
        if self.ending is not None:
            return self.size
        return self.size + (1 if self.seen is None else 2)

    def number(self, ids: Int64[np.ndarray, " place"]) -> Int64[np.ndarray, " place"]:
        """The numbers of ids. Raises DataError for an id outside a closed vocabulary."""
        if self.seen is None:
            if ids.size and (ids.min() < 0 or ids.max() >= self.size):
                wrong = ids[(ids < 0) | (ids >= self.size)][0]
                raise DataError(
                    f"id {wrong} is outside the vocabulary of {self.size}",
                    hint="leave vocabulary out to treat unseen ids as the unknown word",
                )
            return ids
        row = np.searchsorted(self.seen, ids)
        row[row == self.size] = 0
        known = self.seen[row] == ids if self.size else np.zeros(len(ids), dtype=bool)
        return np.where(known, row, self.unknown)


@dataclass(frozen=True)
class Stream:
    """Sequences in one row: <s> a b c </s> <s> d </s> ..., with the offset of each place in its sequence."""

    ids: Int64[np.ndarray, " place"]
    offset: Int64[np.ndarray, " place"]
    starts: Int64[np.ndarray, " sequence"]

    @classmethod
    def of(cls, sequences: Iterable[Ids], words: Words | None) -> tuple[Stream, Words]:
        """Number the ids by `words`, or by the ids that occur where `words` is None."""
        rows = [ids_of(sequence) for sequence in sequences]
        lengths = np.array([len(row) for row in rows], dtype=np.int64) + 2
        flat = np.concatenate([*rows, np.zeros(0, dtype=np.int64)])
        if words is None:
            seen = np.unique(flat)
            words = Words(len(seen), seen)
        starts = np.cumsum(lengths) - lengths
        ids = np.empty(int(lengths.sum()), dtype=np.int64)
        inside = np.ones(len(ids), dtype=bool)
        ids[starts], ids[starts + lengths - 1] = words.start, words.end
        inside[starts] = inside[starts + lengths - 1] = False
        ids[inside] = words.number(flat)
        offset = np.arange(len(ids)) - np.repeat(starts, lengths)
        return cls(ids, offset, starts), words


@dataclass(frozen=True)
class Table:
    """The distinct runs of one length, sorted by key.

    `suffix` is the row, in the table one shorter, of the run without its first id; `opens` marks runs that
    begin with <s>.
    """

    keys: Int64[np.ndarray, " run"]
    counts: Int64[np.ndarray, " run"]
    suffix: Int64[np.ndarray, " run"]
    opens: Bool[np.ndarray, " run"]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class Counts:
    """The tables of runs of 1..order ids; `tables[k-1]` holds the runs of k."""

    words: Words
    tables: list[Table]

    @property
    def order(self) -> int:
        """The longest run counted."""
        return len(self.tables)


def count(
    sequences: Iterable[Ids], order: int, vocabulary: int | None = None, end: int | None = None
) -> Counts:
    """Count the runs of 1..`order` ids, with one <s> before and one </s> after each sequence.

    `end` is the id that stands for </s>, where a vocabulary has one. Memory is about 40 bytes a place while
    an order is sorted, and 33 bytes a distinct run to keep. Raises DataError for ids outside 0..vocabulary-1,
    where a vocabulary is given.

    >>> counts = count(["aba"], order=2)
    >>> counts.tables[0].counts.tolist()        # a, b, </s>, <s>
    [2, 1, 1, 1]
    >>> counts.tables[1].counts.tolist()        # ab, a</s>, ba, <s>a
    [1, 1, 1, 1]
    """
    if order < 1:
        raise ValueError(f"order {order}: an n-gram has at least one id")
    stream, words = Stream.of(sequences, None if vocabulary is None else Words(vocabulary, ending=end))
    tables: list[Table] = []
    # row[i] is the row of the run that ends at place i, for the order before; the empty run is row 0.
    row = np.zeros(len(stream.ids), dtype=np.int64)
    for length in range(1, order + 1):
        places = np.flatnonzero(stream.offset >= length - 1)
        keys = stream.ids[places]
        if length > 1:
            keys = keys + row[places - 1] * words.base
        by_key = np.argsort(keys, kind="stable")
        keys = keys[by_key]
        new = np.ones(len(keys), dtype=bool)
        np.not_equal(keys[1:], keys[:-1], out=new[1:])
        first = np.flatnonzero(new)
        keys = keys[first]
        counts = np.diff(np.append(first, len(by_key)))
        suffix = row[places[by_key[first]]] if length > 1 else np.zeros(len(keys), dtype=np.int64)
        opens = keys == words.start if length == 1 else tables[-1].opens[keys // words.base]
        tables.append(Table(keys, counts, suffix, opens))
        if length < order:
            row = np.full(len(stream.ids), -1, dtype=np.int64)
            row[places[by_key]] = np.cumsum(new) - 1
    return Counts(words, tables)


def find(
    keys: Int64[np.ndarray, " run"],
    history: Int64[np.ndarray, " place"],
    ids: Int64[np.ndarray, " place"],
    base: int,
) -> Int64[np.ndarray, " place"]:
    """The row of (history, id) in a table's keys; -1 where it is not there or the history is -1."""
    if not len(keys):
        return np.full(len(ids), -1, dtype=np.int64)
    wanted = history * base + ids
    row = np.searchsorted(keys, wanted)
    row[row == len(keys)] = 0
    row[(keys[row] != wanted) | (history < 0)] = -1
    return row


def suffixes(keys: Sequence[Int64[np.ndarray, " run"]], base: int) -> list[Int64[np.ndarray, " run"]]:
    """For each order and run: the row, one table shorter, of the run without its first id (-1: none)."""
    found = [np.zeros(len(keys[0]), dtype=np.int64)] if len(keys) else []
    for k in range(1, len(keys)):
        found.append(find(keys[k - 1], found[k - 1][keys[k] // base], keys[k] % base, base))
    return found


def rows(stream: Stream, keys: Sequence[Int64[np.ndarray, " run"]], base: int) -> Any:
    """For each order: the row of the run that ends at each place, and that of its history (-1: none)."""
    ends = np.zeros(len(stream.ids), dtype=np.int64)
    for length, table in enumerate(keys, start=1):
        history = np.zeros_like(ends)
        if length > 1:
            history[1:] = ends[:-1]
            history[stream.offset < length - 1] = -1
        ends = find(table, history, stream.ids, base)
        yield ends, history
