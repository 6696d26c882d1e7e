"""Reading ARPA files, of this library or of others, with an error that names the line."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float64, Int64

from liju.errors import DataError
from liju.ngram.arpa import END, START, UNKNOWN
from liju.ngram.backoff import BackoffModel
from liju.ngram.counts import Words, find
from liju.ngram.lexicon import Lexicon

__all__ = ["read_arpa"]

TORN = "the file is torn: get or write it again"


def read_arpa(path: str | Path, ids: Callable[[str], int] | None = None) -> BackoffModel:
    """The model in an ARPA file; a name that ends in .gz is decompressed.

    The model's ids are places in its `lexicon`, or `ids` of each word: `int` for a file that lists ids.
    Without <unk> in the file the vocabulary is closed, and an unseen word is an error instead of the unknown
    word (or impossible, where `ids` leaves gaps).

    Raises DataError with file and line: no such section, counts that do not match, not a number, a
    probability above one, a run listed twice, a word that is not among the 1-grams, a history that is not
    among the shorter runs, a torn file.
    """
    return _Reader(Path(path)).model(ids)


class _Reader:
    def __init__(self, path: Path):
        self.path = path
        self.number = 0
        self._lines = self._read()

    def fail(self, what: str, line: int | None = None, hint: str = "") -> NoReturn:
        raise DataError(f"{self.path}:{line or self.number}: {what}", hint=hint) from None

    def _read(self) -> Iterator[bytes]:
        try:
            with gzip.open(self.path) if self.path.suffix == ".gz" else open(self.path, "rb") as file:
                for self.number, line in enumerate(file, start=1):
                    yield line.rstrip(b"\r\n")
        except FileNotFoundError:
            raise DataError(f"{self.path}: no such file") from None
        except (OSError, EOFError, zlib.error) as error:
            self.fail(f"cannot be read on from here ({error})", hint=TORN)

    def line(self, wanted: str) -> bytes:
        """The next line that is not empty."""
        for line in self._lines:
            if line.strip():
                return line.strip()
        self.number += 1
        self.fail(f"the file ends before {wanted}", hint=TORN)

    def model(self, ids: Callable[[str], int] | None) -> BackoffModel:
        while self.line("\\data\\") != b"\\data\\":  # what stands before is a remark
            pass
        sizes: list[int] = []
        while not (line := self.line("\\1-grams:")).startswith(b"\\"):
            found = re.fullmatch(rb"ngram +(\d+) *= *(\d+)", line)
            if not found:
                self.fail(f"{_shown(line)} is not 'ngram N=COUNT'")
            if int(found[1]) != len(sizes) + 1:
                self.fail(f"the count of {int(found[1])}-grams where that of {len(sizes) + 1}-grams is due")
            sizes.append(int(found[2]))
        if not sizes:
            self.fail("\\data\\ names no counts", hint="'ngram 1=COUNT' and so on belong here")
        keys: list[Int64[np.ndarray, " run"]] = []
        log10: list[Float64[np.ndarray, " run"]] = []
        backoff: list[Float64[np.ndarray, " run"]] = []
        for k, size in enumerate(sizes, start=1):
            if line != f"\\{k}-grams:".encode():
                self.fail(f"{_shown(line)} where \\{k}-grams: is due")
            lines, first, line = self._section(k, size, last=k == len(sizes))
            logs, weights, words = self._fields(lines, first, k, last=k == len(sizes))
            if k == 1:
                self._vocabulary(words, first, ids)
                keys.append(np.arange(self.words.base))
                rows = np.array([self.numbers[word] for word in words])
                full = [np.full(self.words.base, -np.inf), np.zeros(self.words.base)]
                full[0][rows], full[1][rows] = logs, weights
                log10.append(full[0])
                backoff.append(full[1])
                continue
            key = self._keys(words, keys, first, k)
            by_key = np.argsort(key, kind="stable")
            key = key[by_key]
            twice = np.flatnonzero(key[1:] == key[:-1])
            if len(twice):
                row = int(by_key[twice[0] + 1])
                self.fail(f"the {k}-gram {_joined(words, row, k)} is listed twice", first[row])
            keys.append(key)
            log10.append(logs[by_key])
            backoff.append(weights[by_key])
        return BackoffModel(self.words, keys, log10, backoff, self.lexicon if ids is None else None)

    def _section(self, k: int, size: int, last: bool) -> tuple[list[bytes], _Places, bytes]:
        """The lines of a section, where they are, and the title of the next."""
        lines: list[bytes] = []
        places = _Places(self.number + 1)
        title = b""
        for line in self._lines:
            if line.startswith(b"\\"):
                title = line.strip()
                break
            if line.strip():
                lines.append(line)
            else:
                places.skip(len(lines))
        if not title:
            self.number += 1
            due = "\\end\\" if last else f"\\{k + 1}-grams:"
            self.fail(f"the file ends before {due}", hint=TORN)
        if len(lines) != size:
            self.fail(f"{len(lines):,} {k}-grams before this line, and \\data\\ says {size:,}")
        if last and title != b"\\end\\":
            self.fail(f"{_shown(title)} where \\end\\ is due")
        return lines, places, title

    def _fields(
        self, lines: list[bytes], first: _Places, k: int, last: bool
    ) -> tuple[Float64[np.ndarray, " run"], Float64[np.ndarray, " run"], list[bytes]]:
        logs: list[bytes] = []
        weights: list[bytes] = []
        words: list[bytes] = []
        longest = k + (1 if last else 2)
        for row, line in enumerate(lines):
            fields = line.split()  # of bytes: at white space of ASCII only, as KenLM does
            if not k < len(fields) <= longest:
                # A weight at the longest runs is of no use; some programs write one.
                if not (last and len(fields) == k + 2 and _is_number(fields[-1])):
                    wanted = f"a number, {k} words" + ("" if last else " and perhaps a number")
                    self.fail(f"{_shown(line)} is not {wanted}", first[row])
                fields.pop()
            logs.append(fields[0])
            weights.append(fields[k + 1] if len(fields) > k + 1 else b"0")
            words += fields[1 : k + 1]
        numbers = []
        for column in (logs, weights):
            try:
                array = np.array(list(map(float, column)))
            except ValueError:
                row = next(row for row, text in enumerate(column) if not _is_number(text))
                self.fail(f"{_shown(column[row])} is not a number", first[row])
            if np.isnan(array).any():
                self.fail("NaN is no logarithm", first[int(np.flatnonzero(np.isnan(array))[0])])
            numbers.append(array)
        if (numbers[0] > 0).any():
            row = int(np.flatnonzero(numbers[0] > 0)[0])
            self.fail(f"the probability 10^{_shown(logs[row])[1:-1]} is above one", first[row])
        return numbers[0], numbers[1], words

    def _vocabulary(self, words: list[bytes], first: _Places, ids: Callable[[str], int] | None) -> None:
        """Number the words: those of the text in the order of their ids, then </s>, <unk>, <s>."""
        texts: list[str] = []
        rows: dict[bytes, int] = {}
        for row, word in enumerate(words):
            if word in rows:
                self.fail(f"the 1-gram {_shown(word)} is listed twice", first[row])
            rows[word] = row
            try:
                texts.append(word.decode())
            except UnicodeDecodeError:
                self.fail(f"{_shown(word)} is not UTF-8", first[row], "convert the file with iconv")
        # KenLM and SRILM spell the unknown word in either case.
        special = {START: -1, END: -1, UNKNOWN: -1}
        for row, text in enumerate(texts):
            if text.lower() == UNKNOWN and special[UNKNOWN] < 0:
                special[UNKNOWN] = row
            elif text in (START, END):
                special[text] = row
        for text in (START, END):
            if special[text] < 0:
                self.fail(f"there is no {text} among the 1-grams", hint="this is needed to score a sentence")
        own = [row for row in range(len(texts)) if row not in special.values()]
        self.lexicon = Lexicon([texts[row] for row in own])
        size = len(own)
        seen = np.arange(size)
        order = seen
        if ids is not None:
            asked = []
            for row in own:
                try:
                    asked.append(int(ids(texts[row])))
                except (ValueError, TypeError, LookupError) as error:
                    self.fail(f"{texts[row]!r} has no id ({error})", first[row])
            seen, order = np.unique(np.array(asked, dtype=np.int64), return_index=True)
            if len(seen) < size:
                self.fail("two words have the same id", first[0])
        closed = special[UNKNOWN] < 0 and np.array_equal(seen, np.arange(size))
        self.words = Words(size, None if closed else seen)
        self.numbers = {words[own[int(place)]]: number for number, place in enumerate(order)}
        self.numbers[words[special[END]]] = self.words.end
        self.numbers[words[special[START]]] = self.words.start
        if special[UNKNOWN] >= 0:
            self.numbers[words[special[UNKNOWN]]] = self.words.unknown

    def _keys(
        self, words: list[bytes], keys: list[Int64[np.ndarray, " run"]], first: _Places, k: int
    ) -> Int64[np.ndarray, " run"]:
        """The key of each run of k words."""
        try:
            flat = np.fromiter(map(self.numbers.__getitem__, words), dtype=np.int64, count=len(words))
        except KeyError:
            at = next(at for at, word in enumerate(words) if word not in self.numbers)
            self.fail(f"{_shown(words[at])} is not among the 1-grams", first[at // k])
        grid = flat.reshape(-1, k)
        history = grid[:, 0]
        for length in range(1, k - 1):
            history = find(keys[length], history, grid[:, length], self.words.base)
        if (history < 0).any():
            row = int(np.flatnonzero(history < 0)[0])
            short = b" ".join(words[row * k : row * k + k - 1])
            what = f"the history {_shown(short)} of {_joined(words, row, k)} is not among the {k - 1}-grams"
            self.fail(what, first[row], hint="a run needs its history: the file was cut or edited")
        return history * self.words.base + grid[:, -1]


class _Places:
    """The line of each row of a section, from where it begins and where empty lines were."""

    def __init__(self, first: int):
        self._first = first
        self._skipped: list[int] = []

    def skip(self, before: int) -> None:
        self._skipped.append(before)

    def __getitem__(self, row: int) -> int:
        return self._first + row + sum(before <= row for before in self._skipped)


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shown(text: bytes) -> str:
    return repr(text.decode(errors="replace"))


def _joined(words: list[bytes], row: int, k: int) -> str:
    return _shown(b" ".join(words[row * k : row * k + k]))
