"""Corpora of word/TAG tokens, such as the People's Daily of January 1998, back to running text."""

from __future__ import annotations

import re

__all__ = ["untag", "words_of"]

# What follows a word: /TAG, and ]TAG where a compound ends. What comes before it: [ where one begins.
_TAG = re.compile(r"(?<=\S)/[A-Za-z]+[0-9]*(?:\]+/?[A-Za-z]*[0-9]*)?(?=\s|\Z)")
_OPEN = re.compile(r"(?<!\S)\[+(?=\S)")
# The People's Daily numbers its paragraphs.
_NUMBER = re.compile(r"\A\s*\d{8}-\d{2}-\d{3}-\d{3}/m(?=\s|\Z)")
# A space stands between two words where both sides are letters or digits of a script that uses spaces.
_BETWEEN = re.compile("(?<=[^\\W\u2e80-\U0010ffff])\\s+(?=[^\\W\u2e80-\U0010ffff])")


# A word with its tag, and what opens and closes a compound around it.
_WORD = re.compile(r"\[*(\S+?)/([A-Za-z]+[0-9]*)(?:\]+/?([A-Za-z]*[0-9]*))?(?=\s|\Z)")


def words_of(line: str) -> tuple[list[str], list[str], list[str]]:
    """The words of a line, the tag of each, and the tags of the compounds that words make.

    >>> words_of("19980101-01-001-002/m  [中央/n  电台/n]nt  播出/v  ，/w")
    (['中央', '电台', '播出', '，'], ['n', 'n', 'v', 'w'], ['nt'])
    """
    found = _WORD.findall(_NUMBER.sub("", line))
    return [word for word, _, _ in found], [tag for _, tag, _ in found], [name for *_, name in found if name]


def untag(line: str) -> str:
    """The text of a tagged line: tags and compound brackets removed, Han words joined without spaces.

    >>> untag("19980101-01-001-002/m  [中央/n  电台/n]nt  播出/v  Hello/nx  World/nx  ，/w  ６０/m")
    '中央电台播出Hello World，６０'
    >>> untag("1/m  //w  2/m  [/w  好/a  km/h/q")
    '1/2[好km/h'
    """
    text = _OPEN.sub("", _TAG.sub("", _NUMBER.sub("", line)))
    return "".join(_BETWEEN.sub("\0", text).split()).replace("\0", " ")
