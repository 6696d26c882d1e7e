"""Files of records (jsonl, csv, tsv): one mapping of strings a record, bad ones named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from liju.text.csv_rows import csv_rows
from liju.text.encoding import Encoding, text_chunks
from liju.text.json_array import BrokenArray, elements
from liju.text.pieces import bounded_lines
from liju.text.report import Problem
from liju.text.sources import File

__all__ = ["RECORD", "Record", "invalid", "records", "whole_lines"]

# Characters that one record, or one file that must be read whole, has at most.
RECORD = 16_000_000
NUL = "a NUL character in it"

Record = tuple[int, dict[str, str]]
_INVALID = re.compile("[\ud800-\udfff]")
_UNDOUBLED = re.compile(r'(?<!")"(?:"")*(?!")')


def invalid(text: str) -> bool:
    """Whether some of the text are bytes that could not be decoded."""
    # Only text with such bytes cannot be encoded again, and encoding is the fastest look.
    return not text.isascii() and bool(_INVALID.search(text))


def bad_bytes(file: File, encoding: Encoding, line: int) -> Problem:
    """The problem of a line with such bytes."""
    first = f" (the first at byte {encoding.bad})" if encoding.bad is not None else ""
    name = encoding.name.removesuffix("-sig").upper()
    return Problem(file.name, str(line), f"bytes that are not {name}{first}", "invalid bytes")


def whole_lines(chunks: Iterable[str], limit: int = RECORD) -> Iterator[tuple[int, str | None]]:
    """The lines as (number, text); None instead of the text of a line longer than `limit`.

    >>> list(whole_lines(["a\\nbbbbbb\\nc"], limit=4))
    [(1, 'a'), (2, None), (3, 'c')]
    """
    held: tuple[int, str | None] | None = None
    for number, part, text in bounded_lines(chunks, limit):
        if part:
            held = (number, None)
            continue
        if held:
            yield held
        held = (number, text)
    if held:
        yield held


def records(file: File, encoding: Encoding, required: Iterable[str] = ()) -> Iterator[Record | Problem]:
    """(line, values) of every record of a jsonl, csv or tsv file, all values as strings, or its Problem.

    A csv or tsv starts with a header line unless the source names its columns. Every one of the `required`
    columns must be in the header, and in each JSON object with a value. A file that is one JSON array is read
    object by object: its "line" is the number of the object, written #3. A tsv has no quoting; a field wholly
    in quotes with every inner quote doubled, as spreadsheets write it, is unquoted.
    """
    required = list(required)
    if file.format in ("jsonl", "spans"):
        yield from _json_records(file, encoding, required)
    else:
        yield from _table(file, encoding, required)


def _json_records(file: File, encoding: Encoding, required: list[str]) -> Iterator[Record | Problem]:
    chunks = text_chunks(file.path, encoding)
    head = ""
    for chunk in chunks:
        head += chunk
        if head.strip():
            break
    chunks = chain([head], chunks)
    if head.lstrip().startswith("["):
        yield from _array(file, encoding, chunks, required)
        return
    for number, line in whole_lines(chunks):
        place = str(number)
        if line is None:
            yield Problem(file.name, place, f"a line of more than {RECORD} characters", "too long")
            continue
        if not line.strip():
            continue
        if invalid(line):
            yield bad_bytes(file, encoding, number)
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == 1 and line.strip() == "{":
                yield Problem(file.name, place, "not one JSON object a line", "not jsonl", fatal=True)
                return
            yield Problem(file.name, place, f"not JSON: {error}", "bad row")
            continue
        yield _values(file, number, value, required)


def _array(
    file: File, encoding: Encoding, chunks: Iterable[str], required: list[str]
) -> Iterator[Record | Problem]:
    """The objects of one JSON array."""
    try:
        for number, text, value in elements(chunks, RECORD):
            if invalid(text):
                yield bad_bytes(file, encoding, number)
            else:
                yield _values(file, number, value, required)
    except BrokenArray as error:
        yield Problem(file.name, str(error.number), str(error), "not json", fatal=True)


def _values(file: File, number: int, value: Any, required: list[str]) -> Record | Problem:
    """The fields of an object as strings."""
    if not isinstance(value, dict):
        return Problem(file.name, str(number), "not a JSON object", "bad row")
    # NaN is what pandas writes where there is nothing.
    values = {key: _string(item) for key, item in value.items() if item is not None and item == item}
    missing = [name for name in required if name not in values]
    if missing:
        has = ", ".join(values) or "nothing"
        return Problem(file.name, str(number), f"no field {missing[0]!r} (it has {has})", "bad row")
    if any(map(invalid, values.values())):
        return Problem(file.name, str(number), "half of a surrogate pair", "bad row")
    if any("\0" in value for value in values.values()):
        return Problem(file.name, str(number), NUL, "bad row")
    return number, values


def _string(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(file: File, encoding: Encoding, required: list[str]) -> Iterator[Record | Problem]:
    header = list(file.columns)
    if header and (missing := [name for name in required if name not in header]):
        yield Problem(
            file.name, "", f"no column {missing[0]!r} among {', '.join(header)}", "missing column", fatal=True
        )
        return
    for row in _csv_rows(file, encoding) if file.format == "csv" else _tsv_rows(file, encoding):
        if isinstance(row, Problem):
            yield row
            continue
        number, values = row
        if not header:
            header = [name.strip() for name in values]
            twice = [name for name in header if header.count(name) > 1]
            missing = [name for name in required if name not in header]
            if twice:
                what = f"the header has two columns {twice[0]!r}"
                yield Problem(file.name, str(number), what, "bad header", fatal=True)
                return
            if missing:
                what = f"no column {missing[0]!r} in the header ({', '.join(header)[:200]})"
                yield Problem(file.name, str(number), what, "missing column", fatal=True)
                return
        elif len(values) != len(header):
            columns = "column" if len(values) == 1 else "columns"
            what = f"{len(values)} {columns} where the header has {len(header)}"
            yield Problem(file.name, str(number), what, "bad row")
        elif any(map(invalid, values)):
            yield bad_bytes(file, encoding, number)
        elif any("\0" in value for value in values):
            yield Problem(file.name, str(number), NUL, "bad row")
        else:
            yield number, dict(zip(header, values, strict=True))


def _csv_rows(file: File, encoding: Encoding) -> Iterator[tuple[int, list[str]] | Problem]:
    lines = whole_lines(text_chunks(file.path, encoding))
    return csv_rows(file.name, lines, RECORD, len(file.columns))


def _tsv_rows(file: File, encoding: Encoding) -> Iterator[tuple[int, list[str]] | Problem]:
    for number, line in whole_lines(text_chunks(file.path, encoding)):
        if line is None:
            what = f"a line of more than {RECORD} characters"
            yield Problem(file.name, str(number), what, "too long")
        elif line.strip():
            yield number, [_unquoted(value) for value in line.split("\t")]


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"' and not _UNDOUBLED.search(value[1:-1]):
        return value[1:-1].replace('""', '"')
    return value
