"""Words and their tags as the fields of a row hold them: parted by spaces, or as lists."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

from liju.errors import DataError

__all__ = ["paired", "words_and_tags"]

_APART = re.compile("""['"]\\s+['"]""")  # two texts without a comma: Python makes one of them


def words_and_tags(words: str, tags: str) -> tuple[list[str], list[str]]:
    """The words and the tags of a row, each parted by spaces, or a list as JSON or Python writes it.

    Raises DataError where not every word has a tag, and for an item that is no word: one that is empty, has a
    space in it, or is no text.

    >>> words_and_tags('["Ada", "lives"]', '["B-PER", "O"]')
    (['Ada', 'lives'], ['B-PER', 'O'])
    >>> words_and_tags("[ 1 ]", "O O O")
    (['[', '1', ']'], ['O', 'O', 'O'])
    """
    words, tags = words.strip(), tags.strip()
    listed, tag_list = _list("words", words), _list("tags", tags)
    of_row = tags.split() if tag_list is None else _items("tag", tag_list)
    # Brackets and quotation marks are words too: beside tags that are no list, only what fits them is a list.
    if listed is not None and tag_list is None:
        texts = all(isinstance(one, str) for one in listed)
        fits = len(words.split()) == len(of_row) != len(listed)
        listed = listed if texts and not fits else None
    return paired(words.split() if listed is None else _items("word", listed), of_row)


def paired(words: list[str], tags: list[str]) -> tuple[list[str], list[str]]:
    """The same. Raises DataError where they are not equally many."""
    if len(words) != len(tags):
        hint = "one tag a word, words without spaces in them"
        raise DataError(f"{len(words)} words and {len(tags)} tags", hint=hint)
    return words, tags


def _list(name: str, text: str) -> list[Any] | None:
    """What a list in JSON or Python's own form holds; None for any other text. Raises DataError for half a
    list, such as an array of numpy that was written as it prints."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    found = None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
            break
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    first = text.split()[0]
    glued = found is None and first != "[" and "]" not in first
    if glued or (isinstance(found, list) and _APART.search(text)):
        raise DataError(f"{name} {text!r:.60} are no whole list", hint='["Ada", "lives"], or Ada lives')
    return found if isinstance(found, list) else None


def _items(name: str, items: Sequence[Any]) -> list[str]:
    for at, item in enumerate(items, 1):
        number = isinstance(item, int | float) and not isinstance(item, bool)
        if not number and not isinstance(item, str):
            raise DataError(f"{name} {at} is {json.dumps(item, default=str):.60}", hint="a list of texts")
        if not str(item).strip() or any(character.isspace() for character in str(item)):
            what = "has a space in it" if str(item).strip() else "is empty"
            raise DataError(f"{name} {at}, {item!r:.60}, {what}", hint="one tag a word, no spaces in them")
    return [str(item) for item in items]
