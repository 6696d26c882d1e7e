"""The letter that stands for each byte in byte-level vocabularies (GPT-2)."""

from __future__ import annotations

__all__ = ["BYTES", "LETTERS"]


def _letters() -> dict[int, str]:
    """Itself where it is printable, else a letter from Ā on."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + n) for n, byte in enumerate(hidden)}


LETTERS = _letters()
BYTES = {letter: byte for byte, letter in LETTERS.items()}
