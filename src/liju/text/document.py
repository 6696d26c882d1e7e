"""`Document`: one row of clean text, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Document"]


@dataclass(frozen=True, slots=True)
class Document:
    """A clean text: `id` is the hash of its words, `source` the file and line that it was read from.

    `changes` names what cleaning did to it ("repaired", "nfc", "controls", "spaces", "from gb18030", "cut").

    >>> Document(id="9f", text="例句", source="notes.txt:3", language="zh").source
    'notes.txt:3'
    """

    id: str
    text: str
    source: str = ""
    language: str = ""
    licence: str = ""
    changes: list[str] = field(default_factory=list)
