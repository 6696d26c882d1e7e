"""SentencePiece models (Kudo & Richardson 2018): T5, Marian, Llama.

The file is a protobuf of few fields, read here without a package; `pieces` makes a tokenizer of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liju.errors import TokenizerError

__all__ = ["SentencePiece", "read_sentencepiece"]

SPACE = "▁"
# sentencepiece_model.proto: the kinds of a piece and of a model
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE = 1, 2


@dataclass
class SentencePiece:
    """What a .model file says. `pieces`: (text, score, kind) by id."""

    pieces: list[tuple[str, float, int]] = field(default_factory=list)
    kind: int = UNIGRAM
    byte_fallback: bool = False
    unk: int = 0
    bos: int = 1
    eos: int = 2
    charsmap: bytes = b""
    rule: str = ""  # the name of the charsmap: nmt_nfkc
    dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True
    whitespace_as_suffix: bool = False

    def roles(self) -> dict[str, str]:
        """The special tokens by role; -1 in the file is none."""
        found = {"unk": self.unk, "bos": self.bos, "eos": self.eos}
        roles = {role: self.pieces[i][0] for role, i in found.items() if 0 <= i < len(self.pieces)}
        if any(text == "<pad>" for text, _, _ in self.pieces):
            roles["pad"] = "<pad>"
        return roles


def _fields(data: bytes, path: Path) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field of a protobuf message: ints, 4 bytes as float, or bytes."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    try:
        while place < len(data):
            key = varint()
            number, wire = key >> 3, key & 7
            if wire == 0:
                yield number, varint()
            elif wire == 2:
                size = varint()
                if place + size > len(data):
                    raise IndexError
                yield number, data[place : place + size]
                place += size
            elif wire == 5:
                yield number, struct.unpack_from("<f", data, place)[0]
                place += 4
            elif wire == 1:
                yield number, data[place : place + 8]
                place += 8
            else:
                raise IndexError
    except (IndexError, struct.error):
        raise TokenizerError(
            f"{path}: torn, or not a SentencePiece model (byte {place:,} of {len(data):,})",
            hint="copy it again",
        ) from None


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def read_sentencepiece(path: Path) -> SentencePiece:
    """The model in a .model file. Raises TokenizerError for a file that is torn or something else."""
    found = SentencePiece()
    trainer = {3: "kind", 24: "whitespace_as_suffix", 35: "byte_fallback", 40: "unk", 41: "bos", 42: "eos"}
    normalizer = {
        **{1: "rule", 2: "charsmap", 3: "dummy_prefix", 4: "remove_extra_whitespaces"},
        **{5: "escape_whitespaces"},
    }
    parts = set()
    for number, value in _fields(path.read_bytes(), path):
        parts.add(number)
        if number == 1 and isinstance(value, bytes):
            piece = dict(_fields(value, path))
            text = piece.get(1, b"").decode("utf-8", "replace")
            found.pieces.append((text, float(piece.get(2, 0.0)), int(piece.get(3, NORMAL))))
        elif number in (2, 3) and isinstance(value, bytes):
            names = trainer if number == 2 else normalizer
            for key, setting in _fields(value, path):
                if key in names:
                    name = names[key]
                    kind = type(getattr(found, name))
                    if kind is str:
                        setting = setting.decode("utf-8", "replace")
                    setattr(found, name, kind(_signed(setting) if kind is int else setting))
    if not found.pieces:
        raise TokenizerError(f"{path}: no pieces in it", hint="a SentencePiece model is a .model file")
    if not {2, 3} <= parts:
        name = "normalizer_spec" if 2 in parts else "trainer_spec"
        raise TokenizerError(
            f"{path}: {len(found.pieces)} pieces and no {name}", hint="the file is cut off: copy it again"
        )
    _check(found, path)
    return found


def _check(found: SentencePiece, path: Path) -> None:
    """Raise TokenizerError for what cannot be read as it is meant."""
    if found.kind not in (UNIGRAM, BPE):
        name = {3: "word", 4: "char"}.get(found.kind, found.kind)
        raise TokenizerError(
            f"{path}: trainer_spec.model_type: {name}",
            hint="unigram and bpe are read: train it again with --model_type=unigram",
        )
    if found.whitespace_as_suffix:
        raise TokenizerError(
            f"{path}: trainer_spec.treat_whitespace_as_suffix is set", hint="liju has no such switch"
        )
    if not found.escape_whitespaces:
        raise TokenizerError(
            f"{path}: normalizer_spec.escape_whitespaces is off", hint="liju has no such switch"
        )
    seen: dict[str, int] = {}
    for i, (text, _, kind) in enumerate(found.pieces):
        if text in seen:
            raise TokenizerError(
                f"{path}: piece {i} {text!r} is also piece {seen[text]}", hint="each piece has one id"
            )
        seen[text] = i
        if kind == UNKNOWN:
            found.unk = i
    if not any(kind == UNKNOWN for *_, kind in found.pieces):
        raise TokenizerError(f"{path}: no piece of the kind unknown", hint="SentencePiece refuses it too")
