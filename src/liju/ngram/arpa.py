r"""ARPA files: the form in which KenLM, SRILM and others exchange n-gram models.

    \data\                     how many runs of each length
    ngram 1=4
    ngram 2=3

    \1-grams:                  log10 probability, tab, words, tab, log10 backoff weight (where not zero)
    -99     <s>     -0.30103
    ...
    \end\

A name that ends in .gz is compressed.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from liju.errors import DataError
from liju.ngram.backoff import BackoffModel
from liju.ngram.kneser_ney import KneserNey
from liju.ngram.lexicon import Lexicon

__all__ = ["END", "START", "UNKNOWN", "write_arpa"]

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -99.0  # SRILM's logarithm of zero, which every reader takes
CHUNK = 65536


def write_arpa(
    model: KneserNey | BackoffModel,
    path: str | Path,
    names: Sequence[str] | Lexicon | Callable[[int], str] | None = None,
    digits: int | None = None,
) -> None:
    """Write `model` to an ARPA file, whole or not at all.

    `names` gives the word of an id: a list, a function (`chr` for characters), or the lexicon that the model
    was read with; without any the ids themselves are the words. Numbers are written so that reading gives the
    same 64 bits; `digits` makes the file smaller. Raises DataError for a name that such a file cannot hold:
    empty, with white space in it, one of <s> </s> <unk>, or the same for two ids.

    >>> import tempfile
    >>> from liju.ngram import read_arpa
    >>> path = tempfile.mkdtemp() + "/model.arpa.gz"
    >>> model = KneserNey(order=2).fit(["abab", "abba"])
    >>> write_arpa(model, path, names=chr)
    >>> again = read_arpa(path)
    >>> bool(np.allclose(again.logprob(again.lexicon.ids("ab")), model.logprob("ab")))
    True
    """
    path = Path(path)
    if isinstance(model, KneserNey):
        model = BackoffModel.of(model)
    words = _named(model, names)
    base = model.words.base
    partial = path.with_name(path.name + ".partial")
    with _opened(partial, compressed=path.suffix == ".gz") as file:
        listed = np.array([number for number, word in enumerate(words) if word])
        sizes = [len(listed), *(len(keys) for keys in model.keys[1:])]
        head = "".join(f"ngram {k}={size}\n" for k, size in enumerate(sizes, start=1))
        file.write(f"\\data\\\n{head}".encode())
        written = words  # the words of each run, in the order of the table
        for k, keys in enumerate(model.keys):
            if k == 1:
                written = [words[key // base] + " " + words[key % base] for key in keys.tolist()]
            elif k:
                written = [written[key // base] + " " + words[key % base] for key in keys.tolist()]
            rows = listed if k == 0 else np.arange(len(keys))
            file.write(f"\n\\{k + 1}-grams:\n".encode())
            last = k + 1 == model.order
            for at in range(0, len(rows), CHUNK):
                chosen = rows[at : at + CHUNK]
                logs = np.maximum(model.log10[k][chosen], NEVER).tolist()
                weights = np.maximum(model.backoff[k][chosen], NEVER).tolist()
                file.write("".join(_lines(logs, written, chosen.tolist(), weights, last, digits)).encode())
        file.write(b"\n\\end\\\n")
    os.replace(partial, path)


def _lines(
    logs: list[float],
    written: list[str],
    rows: list[int],
    weights: list[float],
    last: bool,
    digits: int | None,
) -> Iterator[str]:
    def number(value: float) -> str:
        return repr(value) if digits is None else f"{value:.{digits}g}"

    for log, row, weight in zip(logs, rows, weights, strict=True):
        # Of the longest runs none is a history, and a weight of zero is what a reader takes where none is.
        tail = "" if last or weight == 0 else "\t" + number(weight)
        yield f"{number(log)}\t{written[row]}{tail}\n"


def _named(model: BackoffModel, names: Sequence[str] | Lexicon | Callable[[int], str] | None) -> list[str]:
    """The word of each number; "" for one that is not listed."""
    words = model.words
    names = names if names is not None else model.lexicon if model.lexicon is not None else str
    ids = range(words.size) if words.seen is None else words.seen.tolist()
    try:
        named = [names(each) if callable(names) else names[each] for each in ids]
    except IndexError:
        raise DataError(f"{len(names)} names for ids up to {max(ids)}", hint="name every id") from None  # type: ignore[arg-type]
    # A vocabulary without an unknown word lists none.
    named += [END, UNKNOWN if np.isfinite(model.log10[0][words.unknown]) else "", START]
    if words.ending is not None:
        named[words.ending], named[words.size] = END, ""
    seen: dict[str, int] = {}
    for number, word in enumerate(named):
        hint = "give names that replace it, such as lambda id: {' ': '▁'}.get(chr(id), chr(id))"
        own = number < words.size and number != words.ending
        if own and word in (START, END, UNKNOWN):
            raise DataError(f"the word {word!r} has a meaning of its own in ARPA files", hint=hint)
        if own and (not word or not _one(word)):
            raise DataError(f"the word {word!r} (id {ids[number]}) cannot stand in an ARPA file", hint=hint)
        if word and word in seen:
            raise DataError(f"two ids have the name {word!r}", hint="give each id a name of its own")
        seen[word] = number
    return named


def _one(word: str) -> bool:
    """Whether a reader takes a word for one: no white space or zero byte of ASCII, and encodable."""
    try:
        return word.encode().split() == [word.encode()] and "\0" not in word
    except UnicodeEncodeError:
        return False


@contextmanager
def _opened(path: Path, compressed: bool) -> Iterator[IO[bytes]]:
    with open(path, "wb") as file:
        if not compressed:
            yield file
            return
        # Neither the time nor the name go into the file: the same model is the same bytes.
        with gzip.GzipFile("", "wb", 6, file, 0) as packed:
            yield packed  # type: ignore[misc]
