"""The line of every section, key and list item of a TOML text, which tomllib does not say."""

from __future__ import annotations

import re
import tomllib

__all__ = ["Keys", "key_lines"]

# A key as its parts; items of lists are numbered: ("text", "sources", "1", "path").
Keys = tuple[str, ...]

_TOKEN = re.compile(
    r'(?P<skip>[ \t\r]+|\#[^\n]*)|(?P<text>"""(?:\\.|[^\\])*?"{3,5}|'
    r"'''.*?'{3,5}|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*')|(?P<mark>[\[\]{},=\n])|(?P<word>[^\s\[\]{},=\"'#]+)",
    re.DOTALL,
)


def key_lines(text: str) -> dict[Keys, int]:
    """Where each key stands, counted from 1. `text` must be TOML that tomllib has read.

    >>> key_lines('[[text.sources]]\\npath = "a"\\n[[text.sources]]\\nformat = "lines"')[
    ...     "text", "sources", "1", "format"]
    4
    >>> key_lines('[finetune]\\ntrain = [\\n  "a",\\n  {path = "b"},\\n]')["finetune", "train", "1", "path"]
    4
    """
    return _Walk(text).lines


class _Walk:
    def __init__(self, text: str):
        self.tokens: list[tuple[str, str, int]] = []
        line = 1
        for match in _TOKEN.finditer(text):
            kind, token = str(match.lastgroup), match[0]
            if kind != "skip":
                self.tokens.append((kind, token, line))
            line += token.count("\n")
        self.place = 0
        self.lines: dict[Keys, int] = {}
        self.sizes: dict[Keys, int] = {}  # of arrays of tables, so far
        section: Keys = ()
        while self.place < len(self.tokens):
            if self.take("\n"):
                continue
            line = self.tokens[self.place][2]
            if self.take("["):
                many = self.take("[")
                section = self.inside(self.key(), many)
                self.take("]")
                self.take("]")
                self.note(section, line)
            else:
                self.pair(section)

    @property
    def now(self) -> str:
        return self.tokens[self.place][1] if self.place < len(self.tokens) else ""

    def take(self, mark: str) -> bool:
        if self.place < len(self.tokens) and self.tokens[self.place][:2] == ("mark", mark):
            self.place += 1
            return True
        return False

    def note(self, keys: Keys, line: int) -> None:
        for size in range(1, len(keys) + 1):
            self.lines.setdefault(keys[:size], line)

    def inside(self, keys: Keys, many: bool) -> Keys:
        """A header's key with the numbers of the list items that it stands in."""
        found: Keys = ()
        for i, part in enumerate(keys):
            found = (*found, part)
            if many and i == len(keys) - 1:
                self.sizes[found] = self.sizes.get(found, 0) + 1
            if found in self.sizes:
                found = (*found, str(self.sizes[found] - 1))
        return found

    def key(self) -> Keys:
        parts: list[str] = []
        while self.place < len(self.tokens) and self.tokens[self.place][0] != "mark":
            kind, token, _ = self.tokens[self.place]
            if kind == "text":
                parts.append(tomllib.loads(f"x = {token}")["x"])
            else:
                parts += [part for part in token.split(".") if part]
            self.place += 1
        return tuple(parts)

    def pair(self, section: Keys) -> None:
        """key = value"""
        line = self.tokens[self.place][2]
        keys = (*section, *self.key())
        self.note(keys, line)
        if not self.take("="):
            self.place += 1  # not TOML: go on
            return
        self.value(keys)

    def value(self, keys: Keys) -> None:
        if self.take("["):
            count = 0
            while self.now and not self.take("]"):
                if self.take("\n") or self.take(","):
                    continue
                item = (*keys, str(count))
                self.note(item, self.tokens[self.place][2])
                self.value(item)
                count += 1
        elif self.take("{"):
            while self.now and not self.take("}"):
                if not (self.take("\n") or self.take(",")):
                    self.pair(keys)
        else:
            while self.place < len(self.tokens) and self.tokens[self.place][0] != "mark":
                self.place += 1
            if self.now in ("[", "{", "="):
                self.place += 1
