"""The tokenizer.bin of llama2.c (Karpathy 2023): the longest token's length, then (score, length, text) each.

It is a SentencePiece BPE model without its kinds and settings, which are those of Llama: <unk>, <s>, </s>,
the 256 bytes, then the pieces.
"""

from __future__ import annotations

import struct
from pathlib import Path

from liju.errors import TokenizerError
from liju.vocab.sentencepiece import BPE, BYTE, CONTROL, NORMAL, SPACE, UNKNOWN, SentencePiece

__all__ = ["read_llama2c"]

_FIRST = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]


def read_llama2c(path: Path) -> SentencePiece:
    """The model in the file. Raises TokenizerError where it is torn or something else."""
    raw, place = path.read_bytes(), 4
    texts: list[tuple[bytes, float]] = []
    while place + 8 <= len(raw):
        score, size = struct.unpack_from("<fi", raw, place)
        if size < 0 or place + 8 + size > len(raw):
            break
        texts.append((raw[place + 8 : place + 8 + size], score))
        place += 8 + size
    if place != len(raw) or len(texts) < 259 or texts[3][0] != b"<0x00>":
        raise TokenizerError(
            f"{path}: torn, or not of llama2.c (byte {min(place, len(raw)):,} of {len(raw):,})",
            hint="copy it again",
        )
    pieces = list(_FIRST)
    for number, (text, score) in enumerate(texts[3:], 3):
        kind = BYTE if number < 259 else NORMAL
        pieces.append((text.decode("utf-8", "replace").replace(" ", SPACE), score, kind))
    return SentencePiece(
        pieces, kind=BPE, byte_fallback=True, remove_extra_whitespaces=False, unk=0, bos=1, eos=2
    )
