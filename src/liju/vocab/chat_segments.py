"""The text of a template to tokens: its special tokens, and between them what people wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer as Backend

from liju.vocab.tokenizer import Tokenizer

__all__ = ["Segments", "special_names"]


def special_names(tokenizer: Tokenizer) -> dict[str, int]:
    """The special tokens of a vocabulary and their ids."""
    added = tokenizer.backend.get_added_tokens_decoder()
    names = {token.content: number for number, token in added.items() if token.special}
    for token in tokenizer.roles.values():
        number = tokenizer.backend.token_to_id(token)
        if number is not None:
            names[token] = number
    return names


class Segments:
    """A vocabulary as it reads rendered conversations.

    >>> from liju.objective.examples import tokenizer
    >>> segments = Segments(tokenizer("decoder"))
    >>> segments.encode("<s>One</s>", "|", [(3, 10)])[1][:1]
    [False]
    """

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.names = special_names(tokenizer)
        added = tokenizer.backend.get_added_tokens_decoder().values()
        # White space beside them is theirs (Phi-3 has such).
        self._left = {token.content for token in added if token.lstrip}
        self._right = {token.content for token in added if token.rstrip}
        ordered = sorted(self.names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered)) or r"(?!)")

    def guard(self, messages: Sequence[Mapping[str, str]], mark: str) -> list[dict[str, str]]:
        """The messages with `mark` within each name of a special token: nobody's text is one."""
        return [
            {
                **message,
                "content": self._pattern.sub(lambda m: m[0][0] + mark + m[0][1:], message["content"]),
            }
            for message in messages
        ]

    def turn_end(self, text: str, begin: int, end: int) -> int:
        """Where the turn that begins at `begin` ends: after its first special token, or at `end`."""
        found = self._pattern.search(text, begin, end)
        return found.end() if found else end

    def encode(self, text: str, mark: str, spans: Sequence[tuple[int, int]]) -> tuple[list[int], list[bool]]:
        """The tokens of a guarded text, and which of them have a character in one of `spans`."""
        ids: list[int] = []
        inside: list[bool] = []
        wanted = bytearray(len(text))
        for begin, end in spans:
            wanted[begin:end] = b"\x01" * (end - begin)
        at = 0
        for match in [*self._pattern.finditer(text), None]:
            stop = len(text) if match is None else match.start()
            name = "" if match is None else match[0]
            part = text[at:stop].rstrip() if name in self._left else text[at:stop]
            self._plain(part, wanted[at : at + len(part)], mark, ids, inside, bool(spans))
            if match is None:
                break
            ids.append(self.names[name])
            inside.append(bool(wanted[stop]))
            at = match.end()
            if name in self._right:
                at += len(text[at:]) - len(text[at:].lstrip())
        return ids, inside

    def _plain(
        self, text: str, wanted: bytearray, mark: str, ids: list[int], inside: list[bool], told: bool
    ) -> None:
        """Add the tokens of a text without special tokens."""
        if not text:
            return
        if mark in text:
            wanted = bytearray(flag for flag, letter in zip(wanted, text, strict=True) if letter != mark)
            text = text.replace(mark, "")
        tokenizer = self._later if ids and self._later is not None else self.tokenizer
        if not told or not any(wanted) or all(wanted):
            found = tokenizer.encode(text)
            ids += found
            inside += [bool(wanted[0])] * len(found)
            return
        found, ends = tokenizer.encode_with_ends(text)
        begin = last = 0
        for token, end in zip(found, ends, strict=True):
            if end > last:  # parts of one character have the same end
                begin, last = last, end
            ids.append(token)
            inside.append(any(wanted[begin : max(end, begin + 1)]))

    @cached_property
    def _later(self) -> Tokenizer | None:
        """The tokenizer of a text that is not the first, where it puts a space before the first only
        (Llama, Mistral); None where there is no difference."""
        told = json.loads(self.tokenizer.backend.to_str())
        first = [part for part in _parts(told.get("pre_tokenizer")) if part.get("prepend_scheme") == "first"]
        if not first:
            return None
        for part in first:
            part["prepend_scheme"] = "never"
        return Tokenizer(Backend.from_str(json.dumps(told)), self.tokenizer.roles)


def _parts(value: Any) -> list[dict[str, Any]]:
    """A pre-tokenizer of a tokenizer.json, or those in its sequence."""
    if not isinstance(value, dict):
        return []
    return [value, *(part for each in value.get("pretokenizers", []) for part in _parts(each))]
