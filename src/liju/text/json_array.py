"""A file that is one JSON array: its elements one after the other, in bounded memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["BrokenArray", "Entry", "elements"]

_BLANK = re.compile(r"[ \t\n\r]*")


class Entry(int):
    """The number of an element, from 1. It is written with a sign, so that nobody takes it for a line.

    >>> f"rows.json:{Entry(3)}"
    'rows.json:#3'
    """

    def __str__(self) -> str:
        return f"#{int(self)}"

    def __format__(self, form: str) -> str:
        return format(str(self), form)


class BrokenArray(ValueError):
    """What is wrong, and at which element (`number`); nothing after it can be read."""

    def __init__(self, number: int, what: str):
        super().__init__(what)
        self.number = Entry(number)


def elements(chunks: Iterable[str], limit: int) -> Iterator[tuple[Entry, str, Any]]:
    """(number, its text, its value) of every element of an array whose text comes in chunks.

    Raises BrokenArray where the text is not an array, or an element has more than `limit` characters.

    >>> list(elements(['[{"a"', ': 1}, ', '2]'], limit=99))
    [(1, '{"a": 1}', {'a': 1}), (2, '2', 2)]
    """
    source, decoder = iter(chunks), json.JSONDecoder()
    text, at, number, after = "", 0, 0, "nothing"
    while True:
        at = _BLANK.match(text, at).end()  # type: ignore[union-attr]
        if at == len(text):
            chunk = next(source, None)
            if chunk is None:
                break
            text, at = chunk, 0
            continue
        sign = text[at]
        if after == "end":
            raise BrokenArray(number, "more stands after the end of the array")
        if after == "nothing":
            if sign != "[":
                raise BrokenArray(1, "not a JSON array")
            at, after = at + 1, "["
        elif sign == "]" and after in ("[", "value"):
            at, after = at + 1, "end"
        elif after == "value":
            if sign != ",":
                raise BrokenArray(number, "no comma after it")
            at, after = at + 1, ","
        else:
            found, wrong = None, ""
            try:
                found = decoder.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                wrong = getattr(error, "msg", "nested too deeply")
            # What reaches the end of the text may go on in the next chunk: 1 and 2 are 12.
            if found is None or found[1] == len(text):
                chunk = next(source, None) if len(text) - at <= limit else None
                if chunk is not None:
                    text, at = text[at:] + chunk, 0
                    continue
            if found is None:
                long = len(text) - at > limit
                raise BrokenArray(
                    number + 1, f"more than {limit} characters" if long else f"not JSON: {wrong}"
                )
            value, end = found
            number += 1
            yield Entry(number), text[at:end], value
            at, after = end, "value"
    if after != "end":
        raise BrokenArray(max(1, number), "the array does not end")
