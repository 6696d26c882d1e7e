"""Corpora of word/TAG tokens, such as the People's Daily of January 1998, back to running text."""

from __future__ import annotations

import re

__all__ = ["untag"]

_TOKEN = re.compile(r"^(\[*)(.+?)/([A-Za-z]+[0-9]*)(?:\]+/?[A-Za-z]*[0-9]*)?$")
# The People's Daily numbers its paragraphs: 19980101-01-001-001/m
_NUMBER = re.compile(r"^\d{8}-\d{2}-\d{3}-\d{3}/m$")


def _joins(left: str, right: str) -> bool:
    """Whether no space stands between two words: one of the two sides is not Latin, Greek, Cyrillic or a digit."""
    return left >= "\u2e80" or right >= "\u2e80" or not (left.isalnum() and right.isalnum())


def untag(line: str) -> str:
    """The text of a tagged line: tags and compound brackets removed, Han words joined without spaces.

    >>> untag("19980101-01-001-002/m  [中央/n  电台/n]nt  播出/v  Hello/nx  World/nx  ，/w  ６０/m")
    '中央电台播出Hello World，６０'
    """
    words: list[str] = []
    for token in line.split():
        if _NUMBER.match(token):
            continue
        match = _TOKEN.match(token)
        word = match[2] if match else token
        if words and not _joins(words[-1][-1], word[0]):
            words.append(" ")
        words.append(word)
    return "".join(words)
