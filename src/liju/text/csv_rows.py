"""The rows of a csv: fields in quotes over several lines, and no row lost to another's quote unseen."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator

from liju.text.report import Problem

__all__ = ["csv_rows"]

Line = tuple[int, str | None]
_FIELD = r'(?:"(?:[^"]|"")*"|[^",]*)'
_ROW = re.compile(rf"{_FIELD}(?:,{_FIELD})*")
# A row whose last field begins with a quote that does not end.
_OPEN = re.compile(rf'(?:{_FIELD},)*"(?:[^"]|"")*')


def csv_rows(
    name: str, lines: Iterable[Line], limit: int, width: int = 0
) -> Iterator[tuple[int, list[str]] | Problem]:
    """(line, fields) of every row of the numbered lines (None: one of more than `limit` characters), or its
    Problem. `width`: fields that a row has; 0: as many as the first.

    A quote that is not closed takes in the lines up to the next quote. Where these are rows of their own,
    only the first is lost; else all of them are, each told.

    >>> lines = ["text,label", '"Good,a', "Fine,b", "Bad,c", '"Well, yes",a']
    >>> for row in csv_rows("a.csv", enumerate(lines, 1), 99):
    ...     print(*row) if isinstance(row, tuple) else print(row)
    1 ['text', 'label']
    a.csv:2: not csv: a quote that is not closed
    3 ['Fine', 'b']
    4 ['Bad', 'c']
    5 ['Well, yes', 'a']
    """
    source, again = iter(lines), deque[Line]()
    taken: list[Line] = []  # the lines of the row that is read

    def following() -> Iterator[str]:
        while (line := again.popleft() if again else next(source, None)) is not None:
            taken.append(line)
            yield (line[1] or "") + "\n"

    csv.field_size_limit(max(limit, csv.field_size_limit()))
    reader = csv.reader(following(), strict=True)
    while True:
        taken.clear()
        try:
            values = next(reader, None)
        except csv.Error as error:
            what = f"not csv: {error}"
            torn = "end of data" in str(error)  # where a file may have been cut within a long text
            if _are_rows(taken[1:], width, least=3 if torn else 1):
                again.extendleft(reversed(taken[1:]))
                yield Problem(name, str(taken[0][0]), "not csv: a quote that is not closed", "bad row")
            else:
                yield from _lost(name, taken, what)
            reader = csv.reader(following(), strict=True)  # the last one may be at its end
            continue
        if long := [number for number, line in taken if line is None]:
            yield Problem(name, str(long[0]), f"a line of more than {limit} characters", "too long")
        elif values is None:
            return
        elif values:
            width = width or len(values)
            yield taken[0][0], values


def _are_rows(lines: list[Line], width: int, least: int) -> bool:
    """Whether lines that a quote took in are rows that have nothing to do with it: `least` at least, four of
    five with as many fields as the header, and the last one, at which it was noticed, whole or with such a
    quote itself. Lines of one long text are not that alike."""
    texts = [text or "" for _, text in lines]
    while texts and not texts[-1].strip():
        texts.pop()
    if len(texts) < least or width < 2:
        return False
    alike = sum(_is_row(text, width) for text in texts[:-1])
    whole = _is_row(texts[-1], width) or _OPEN.fullmatch(texts[-1]) is not None
    return whole and 5 * alike >= 4 * (len(texts) - 1)


def _is_row(text: str, width: int) -> bool:
    return _ROW.fullmatch(text) is not None and len(next(csv.reader([text]), [])) == width


def _lost(name: str, lines: list[Line], what: str) -> Iterator[Problem]:
    first, last = lines[0][0], lines[-1][0]
    if first < last:
        what += f" (lines {first} to {last} are lost)"
    yield Problem(name, str(first), what, "bad row")
    for number, _ in lines[1:]:
        yield Problem(name, str(number), f"lost with line {first}", "bad row")
