"""Tokens to text while they come: no half character is shown, and nothing after a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from liju.vocab import Tokenizer

__all__ = ["RunningText"]

# Tokens of the prompt that are read with the first new one: whether a space stands between them is theirs.
CONTEXT = 8
_TORN = "\ufffd"  # what the decoder gives for bytes that are no whole character yet


class RunningText:
    """The text of tokens after those `before`, up to the first of the `stop` strings.

    >>> from liju.config import Vocab
    >>> from liju.vocab import train
    >>> tokenizer = train(["low lower lowest"] * 9, Vocab(size=300), "decoder")
    >>> running = RunningText(tokenizer, stop=["est"])
    >>> [running.push(token) for token in tokenizer.encode("低 lowest low")][:3]
    ['', '', '低']
    >>> running.text, running.stopped
    ('低 low', True)
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int] = (), stop: Sequence[str] = ()):
        self.tokenizer = tokenizer
        self.stop = tuple(text for text in stop if text)
        self.text = ""  # all whole characters so far, without what a stop string cuts off
        self.stopped = False
        self.starts: list[int] = []  # where in `text` each token's characters begin
        self._shown = 0
        self._ids = list(before[-CONTEXT:])
        # Decoded are the tokens from `_from` on; those up to `_read` are in the text already.
        self._from, self._read = 0, len(self._ids)

    def push(self, token: int) -> str:
        """Take a token; the text that can be shown now: it can no more become part of a stop string."""
        self.starts.append(len(self.text))
        self._ids.append(token)
        new = self._new()
        if new and not new.endswith(_TORN):
            self._from, self._read = self._read, len(self._ids)
            self._grow(new)
        return self._show(len(self.text) if self.stopped else len(self.text) - self._held())

    def finish(self) -> str:
        """No token comes any more: the rest of the text."""
        if not self.stopped:
            self._grow(self._new())
        self._from = self._read = len(self._ids)
        return self._show(len(self.text))

    def _new(self) -> str:
        before = self.tokenizer.decode(self._ids[self._from : self._read])
        return self.tokenizer.decode(self._ids[self._from :])[len(before) :]

    def _grow(self, new: str) -> None:
        if self.stopped:
            return
        # A stop string may have begun in the text before.
        first = max(0, len(self.text) + 1 - max(map(len, self.stop), default=0))
        self.text += new
        found = [at for text in self.stop if (at := self.text.find(text, first)) >= 0]
        if found:
            self.text, self.stopped = self.text[: min(found)], True

    def _held(self) -> int:
        """Characters at the end that may be the beginning of a stop string."""
        for length in range(max(map(len, self.stop), default=1) - 1, 0, -1):
            end = self.text[-length:]
            if len(end) == length and any(text.startswith(end) for text in self.stop):
                return length
        return 0

    def _show(self, upto: int) -> str:
        piece = self.text[self._shown : max(upto, self._shown)]
        self._shown += len(piece)
        return piece

    @property
    def shown(self) -> int:
        """Characters of the text that have been given out."""
        return self._shown
