"""Words of a sentence that can be put together again: what the statistical translator works on."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["joined", "segments"]

# Scripts that write no spaces: each character is a word (Han, kana).
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
# A word may begin with an apostrophe ('s, 't); anything else that is no space is a word by itself.
_WORD = re.compile(rf"(\s*)([{_ALONE}]|['’]?[^\W_{_ALONE}]+|\S)")


def segments(text: str) -> list[str]:
    """The words and punctuation marks of a text, each with the space before it.

    A Han character is a word: Chinese needs no segmenter, and phrases of the table put the words together.
    The first word of a sentence has a space too (unless it is Han), so that it is the word it is elsewhere.

    >>> segments("Ein Mann, der 例句 liest.")
    [' Ein', ' Mann', ',', ' der', ' 例', '句', ' liest', '.']
    """
    found = []
    for space, word in _WORD.findall(text):
        first = not found and not re.match(rf"[{_ALONE}]", word)
        found.append(" " + word if space or first else word)
    return found


def joined(words: Iterable[str]) -> str:
    """The text of `segments`, with single spaces.

    >>> joined(segments("It's  例句."))
    "It's 例句."
    """
    return "".join(words).strip(" ")
