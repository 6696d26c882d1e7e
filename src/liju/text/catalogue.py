"""gettext catalogues (.po): pairs of a message and its translation."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Entry", "entries"]


@dataclass(slots=True)
class Entry:
    """One translated message and the line where it starts. The header has an empty `source`."""

    source: str
    target: str
    line: int


def _unquote(text: str, line: int) -> str:
    try:
        value = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError):
        value = None
    if not isinstance(value, str):
        raise ValueError(f"{line}: not a quoted string: {text.strip()[:40]}")
    return value


def entries(lines: Iterable[tuple[int, str]]) -> Iterator[Entry]:
    """The entries of a catalogue given as (number, line); not the fuzzy, obsolete, plural and untranslated.

    Raises ValueError("LINE: what") for a line that is none of a catalogue's.

    >>> po = ['msgid "Yes"', 'msgstr "是"', '', '#, fuzzy', 'msgid "No"', 'msgstr "否"', '',
    ...       'msgid "Good "', '"day"', 'msgstr "你好"']
    >>> [(entry.source, entry.target) for entry in entries(enumerate(po, 1))]
    [('Yes', '是'), ('Good day', '你好')]
    """
    fields: dict[str, str] = {}
    current, start, fuzzy = "", 0, False

    def finished() -> Iterator[Entry]:
        if "msgid_plural" not in fields and not fuzzy and fields.get("msgstr"):
            yield Entry(fields.get("msgid", ""), fields["msgstr"], start)

    for number, raw in lines:
        line = raw.strip()
        if line.startswith("#"):
            # A comment belongs to the next message.
            if "msgstr" in fields or "msgstr[0]" in fields:
                yield from finished()
                fields, fuzzy = {}, False
            fuzzy = fuzzy or (line.startswith("#,") and "fuzzy" in line)
        elif line.startswith("msg"):
            current, _, rest = line.partition(" ")
            if current in ("msgid", "msgctxt") and ("msgstr" in fields or "msgstr[0]" in fields):
                yield from finished()
                fields, fuzzy = {}, False
            if current == "msgid":
                start = number
            fields[current] = _unquote(rest, number)
        elif line.startswith('"') and current:
            fields[current] = fields.get(current, "") + _unquote(line, number)
        elif line:
            raise ValueError(f"{number}: not a line of a gettext catalogue: {line[:40]}")
    yield from finished()
