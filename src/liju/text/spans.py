"""Text with spans that have a type, in characters: CLUENER, doccano, Prodigy. To words and BIO tags."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["bio", "spans_of"]

# A run of letters and digits of a script that uses spaces, or any other character that is not a space.
_WORD = re.compile("[^\\W\u2e80-\U0010ffff]+|\\S")

Span = tuple[int, int, str]


def spans_of(record: Mapping[str, str]) -> list[Span]:
    """The spans of a record as (begin, end, type), `text[begin:end]`.

    `label` {type: {the text: [[begin, last]]}} is CLUENER's (the last character is in it); `label` or
    `labels` [[begin, end, type]] is doccano's; `spans` [{"start", "end", "label"}] is Prodigy's.
    Raises ValueError that says what is wrong.

    >>> spans_of({"text": "在台湾。", "label": '{"address": {"台湾": [[1, 2]]}}'})
    [(1, 3, 'address')]
    >>> spans_of({"text": "in Rome", "labels": '[[3, 7, "place"]]'})
    [(3, 7, 'place')]
    """
    name = next((name for name in ("spans", "entities", "labels", "label") if name in record), None)
    if name is None:
        raise ValueError(f"no spans, labels or label (it has {', '.join(record)})")
    text = record["text"]
    try:
        found = list(_found(json.loads(record[name]), text))
        found = [(int(begin), int(end), str(kind)) for begin, end, kind in found]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{name} has no spans of a known form: {error}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is not JSON: {error}") from None
    found.sort()
    for (begin, end, kind), after in zip(found, [*found[1:], None], strict=False):
        if not 0 <= begin < end <= len(text):
            raise ValueError(f"{kind} from {begin} to {end} in a text of {len(text)} characters")
        if after is not None and after[0] < end:
            other = f"{after[2]} {text[after[0] : after[1]]!r}"
            raise ValueError(f"{kind} {text[begin:end]!r} and {other} overlap")
        if any(character.isspace() for character in kind):
            raise ValueError(f"the type {kind!r} has a space in it")
    return found


def _found(value: Any, text: str) -> Iterator[tuple[Any, Any, Any]]:
    if isinstance(value, dict):
        for kind, surfaces in value.items():
            for surface, places in surfaces.items():
                for begin, last in places:
                    if text[begin : last + 1] != surface:
                        raise ValueError(f"{kind} {surface!r} is {text[begin : last + 1]!r} in the text")
                    yield begin, last + 1, kind
        return
    for span in value:
        yield (span["start"], span["end"], span["label"]) if isinstance(span, dict) else tuple(span)


def bio(text: str, spans: list[Span]) -> tuple[list[str], list[str]]:
    """The words of a text, every Han character by itself, and their BIO tags. A word is cut where a span
    begins or ends.

    >>> bio("我在New York。", [(2, 10, "place")])
    (['我', '在', 'New', 'York', '。'], ['O', 'O', 'B-place', 'I-place', 'O'])
    >>> bio("1993年", [(0, 2, "x")])
    (['19', '93', '年'], ['B-x', 'O', 'O'])
    """
    words, tags, place = [], [], 0
    for begin, end, kind in [*spans, (len(text), len(text), "")]:
        for word in _WORD.findall(text[place:begin]):
            words.append(word)
            tags.append("O")
        for at, word in enumerate(_WORD.findall(text[begin:end])):
            words.append(word)
            tags.append(f"{'I' if at else 'B'}-{kind}")
        place = end
    return words, tags
