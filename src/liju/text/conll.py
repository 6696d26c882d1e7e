"""Sentences of words with tags: a word a line, an empty line between sentences (CoNLL; BIO, BIOES, BMES)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

__all__ = ["Sentence", "running", "sentences"]


def running(words: Sequence[str]) -> str:
    """The words as text: spaces between them, save beside a character of Chinese, Japanese or Korean width.

    >>> running(["我", "在", "New", "York", "。"])
    '我在New York。'
    """
    text = ""
    for word in words:
        if text and ord(text[-1]) < 0x2E80 and word and ord(word[0]) < 0x2E80:
            text += " "
        text += word
    return text


@dataclass(frozen=True)
class Sentence:
    """Words and their tags, from `line` on; or what is wrong in that line."""

    line: int
    words: list[str]
    tags: list[str]
    wrong: str = ""


def sentences(lines: Iterable[tuple[int, str | None]]) -> Iterator[Sentence]:
    """The sentences of numbered lines (None: one that is too long). One bad line makes its sentence bad.

    The first column is the word and the last the tag; columns are parted by tabs, or by spaces. Lines of
    -DOCSTART- and comments (# at the start, in a line without a tag) are left out.

    >>> for sentence in sentences([(1, "我 B-PER"), (2, "们 E-PER"), (3, ""), (4, "走"), (5, "去 O")]):
    ...     print(sentence.line, sentence.words or sentence.wrong)
    1 ['我', '们']
    4 no tag after '走'
    """
    words: list[str] = []
    tags: list[str] = []
    first, wrong = 0, (0, "")
    for number, line in chain(lines, [(0, "")]):
        if line is not None and not line.strip():
            if wrong[1]:
                yield Sentence(wrong[0], [], [], wrong[1])
            elif words:
                yield Sentence(first, words, tags)
            words, tags, wrong = [], [], (0, "")
            continue
        if line is None:
            wrong = wrong if wrong[1] else (number, "a line that is too long")
            continue
        columns = [c.strip() for c in (line.split("\t") if "\t" in line else line.split())]
        if columns[0] == "-DOCSTART-" or (len(columns) == 1 and columns[0].startswith("#")):
            continue
        if len(columns) < 2 or not columns[-1] or not columns[0]:
            what = f"no tag after {columns[0]!r}" if columns[0] else "no word"
            wrong = wrong if wrong[1] else (number, what)
            continue
        first = first if words else number
        words.append(columns[0])
        tags.append(columns[-1])
