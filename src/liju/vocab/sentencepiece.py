"""SentencePiece models (Kudo & Richardson 2018): T5, Marian, Llama.

The file is a protobuf of few fields, read here without a package; what it holds becomes a
tokenizer of `tokenizers`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from liju.errors import TokenizerError

__all__ = ["SentencePiece", "read_sentencepiece", "sentencepiece_backend"]

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
    normalizer = {2: "charsmap", 3: "dummy_prefix", 4: "remove_extra_whitespaces", 5: "escape_whitespaces"}
    for number, value in _fields(path.read_bytes(), path):
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
                    setattr(found, name, kind(_signed(setting) if kind is int else setting))
    if not found.pieces:
        raise TokenizerError(f"{path}: no pieces in it", hint="a SentencePiece model is a .model file")
    if found.kind not in (UNIGRAM, BPE):
        names = {3: "word", 4: "char"}
        raise TokenizerError(
            f"{path}: a model of type {names.get(found.kind, found.kind)}", hint="unigram and bpe are read"
        )
    if found.whitespace_as_suffix:
        raise TokenizerError(f"{path}: treat_whitespace_as_suffix is set", hint="liju has no such switch")
    return found


def sentencepiece_backend(model: SentencePiece) -> Backend:
    """The same tokenizer in the form of `tokenizers`.

    >>> special = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3)]
    >>> pieces = [*special, ("▁a", -1.0, 1), ("b", -2.0, 1), ("▁", -9.0, 1)]
    >>> sentencepiece_backend(SentencePiece(pieces)).encode("ab a", add_special_tokens=False).tokens
    ['▁a', 'b', '▁a']
    """
    names = [text for text, _, _ in model.pieces]
    if model.kind == UNIGRAM:
        scores = [(text, score) for text, score, _ in model.pieces]
        backend = Backend(models.Unigram(scores, unk_id=model.unk, byte_fallback=model.byte_fallback))
    else:
        backend = Backend(
            models.BPE(
                {text: i for i, text in enumerate(names)},
                _merges(model),
                unk_token=names[model.unk],
                byte_fallback=model.byte_fallback,
                fuse_unk=True,
            )
        )
    steps: list[Any] = []
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if model.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if model.dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    if model.kind == UNIGRAM:  # BPE merges pairs across spaces, so there a text is one word
        backend.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme="never", split=True)
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if model.dummy_prefix else []),
        ]
    )
    special = [text for text, _, kind in model.pieces if kind in (UNKNOWN, CONTROL)]
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    own = [text for text, _, kind in model.pieces if kind == USER_DEFINED]
    backend.add_tokens([AddedToken(text, special=False, normalized=False) for text in own])
    roles = model.roles()
    if "bos" in roles and model.kind == BPE:
        bos = (roles["bos"], model.bos)
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos[0]} $A", pair=f"{bos[0]} $A {bos[0]}:1 $B:1", special_tokens=[bos]
        )
    elif "eos" in roles:
        eos = (roles["eos"], model.eos)
        backend.post_processor = processors.TemplateProcessing(
            single=f"$A {eos[0]}", pair=f"$A {eos[0]} $B:1 {eos[0]}:1", special_tokens=[eos]
        )
    return backend


def _merges(model: SentencePiece) -> list[tuple[str, str]]:
    """The pairs that make each piece, best piece first: SentencePiece keeps the pieces and no pairs."""
    scores = {text: score for text, score, kind in model.pieces if kind in (NORMAL, USER_DEFINED, UNUSED)}
    ids = {text: i for i, (text, _, _) in enumerate(model.pieces)}
    found = []
    for text, score in scores.items():
        pairs = [
            (text[:cut], text[cut:])
            for cut in range(1, len(text))
            if text[:cut] in scores and text[cut:] in scores
        ]
        found += [(-score, ids[text], ids[a], ids[b], a, b) for a, b in pairs]
    return [(a, b) for *_, a, b in sorted(found)]
