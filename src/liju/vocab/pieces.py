"""A tokenizer of `tokenizers` from what a SentencePiece model holds, token for token."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from liju.vocab.frames import bos_and_eos
from liju.vocab.sentencepiece import (
    CONTROL,
    NORMAL,
    SPACE,
    UNIGRAM,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    SentencePiece,
)

__all__ = ["pieces_backend"]

# Characters that are in no text (Unicode's 32 noncharacters, then private ones) stand for something while one
# is normalised.
_ASIDE = [*range(0xFDD2, 0xFDF0), *range(0x100000, 0x10FFFE)]
_KEPT = ("\ufdd0", "\ufdd1")


def pieces_backend(model: SentencePiece) -> Backend:
    """The same tokenizer in the form of `tokenizers`.

    The charsmaps (nmt_nfkc, nfkc, with _cf or without) are the file's own for every character. Where more
    than one combining mark follows a letter, or one follows a ligature, they are composed and put in
    Unicode's order, which SentencePiece does not do.

    >>> special = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3)]
    >>> pieces = [*special, ("▁a", -1.0, 1), ("b", -2.0, 1), ("▁", -9.0, 1)]
    >>> pieces_backend(SentencePiece(pieces)).encode("ab a", add_special_tokens=False).tokens
    ['▁a', 'b', '▁a']
    """
    own = [text for text, _, kind in model.pieces if kind == USER_DEFINED]
    backend = Backend(_unigram(model) if model.kind == UNIGRAM else _bpe(model, bool(own)))
    backend.normalizer = normalizers.Sequence(_normalizers(model, own))
    # In a BPE model pairs are merged across spaces: there a text is one word.
    cuts: list[Any] = []
    if model.kind == UNIGRAM and not any(SPACE in text[1:] for text, *_ in model.pieces):
        cuts.append(pre_tokenizers.Metaspace(SPACE, prepend_scheme="never", split=True))
    if own:
        longest = sorted(own, key=len, reverse=True)
        pattern = "|".join(re.escape(text) for text in longest)
        cuts.append(pre_tokenizers.Split(Regex(pattern), "isolated"))
    if cuts:
        backend.pre_tokenizer = pre_tokenizers.Sequence(cuts)
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
    roles = model.roles()
    if "bos" in roles and model.kind != UNIGRAM:
        bos_and_eos(backend, roles["bos"], None)
    elif "eos" in roles:
        bos_and_eos(backend, None, roles["eos"], types=False)
    return backend


def _unigram(model: SentencePiece) -> Any:
    # SentencePiece's score of a user's own symbol (unigram_model.cc): it is taken wherever it stands, for its
    # bytes could not have more.
    best = max((score for _, score, kind in model.pieces if kind == NORMAL), default=0.0)
    scores = [
        (text, len(text.encode()) * best - 0.1 if kind == USER_DEFINED else score)
        for text, score, kind in model.pieces
    ]
    return models.Unigram(scores, unk_id=model.unk, byte_fallback=model.byte_fallback)


def _bpe(model: SentencePiece, own: bool) -> Any:
    return models.BPE(
        {text: i for i, (text, *_) in enumerate(model.pieces)},
        _merges(model),
        unk_token=model.pieces[model.unk][0],
        byte_fallback=model.byte_fallback,
        fuse_unk=True,
        # A user's own symbol is a word by itself, and no merges make it.
        ignore_merges=own,
    )


def _merges(model: SentencePiece) -> list[tuple[str, str]]:
    """The pairs that make each piece, best piece first: SentencePiece keeps the pieces and no pairs."""
    scores = {text: score for text, score, kind in model.pieces if kind in (NORMAL, UNUSED)}
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


def _normalizers(model: SentencePiece, own: list[str]) -> list[Any]:
    steps: list[Any] = []
    if model.charsmap:
        steps += _charsmap(model)
        # What the charsmap would change is put aside: a user's own symbols are read as they are.
        whole = normalizers.Sequence(steps)
        aside = [text for text in own if whole.normalize_str(text) != text]
        longest = sorted(aside, key=len, reverse=True)
        marks = [(text, chr(mark)) for text, mark in zip(longest, _ASIDE, strict=False)]
        steps = [
            *(normalizers.Replace(text, mark) for text, mark in marks),
            *steps,
            *(normalizers.Replace(mark, text) for text, mark in marks),
        ]
    if model.remove_extra_whitespaces:
        # At the end a ▁ that is in the text counts as a space, elsewhere not.
        steps += [
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Replace(Regex(rf"\A |[ {SPACE}]+\z"), ""),
        ]
    steps.append(normalizers.Replace(" ", SPACE))
    if model.dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    return steps


@cache
def _invisible() -> list[str]:
    """Spaces and control characters, and ▁."""
    kinds = {"Cc", "Cf", "Zs", "Zl", "Zp"}
    return [SPACE, *(chr(i) for i in range(0x110000) if unicodedata.category(chr(i)) in kinds and i != 32)]


def _charsmap(model: SentencePiece) -> list[Any]:
    """The charsmap as steps.

    `tokenizers` looks only at the first character of what is seen as one ("，" with a mark, "ｶﾞ", "\\r\\n"),
    and drops the rest. So spaces, controls and compositions are done before, where the rule is Unicode's.
    """
    table = normalizers.Precompiled(model.charsmap)
    if model.rule.removesuffix("_cf") not in ("nmt_nfkc", "nfkc"):
        return [table]
    said = {letter: table.normalize_str(letter) for letter in _invisible()}
    steps: list[Any] = []
    for meant in ("", " "):
        letters = "".join(f"\\x{{{ord(letter):X}}}" for letter, text in said.items() if text == meant)
        if letters:
            steps.append(normalizers.Replace(Regex(f"[{letters}]"), meant))
    lower = [normalizers.Lowercase()] if model.rule.endswith("_cf") else []
    # What the file leaves as it is: the wide tilde, of Japanese ranges, and the Turkish capital.
    kept = zip("～İ", _KEPT, strict=True)
    kept = [(letter, mark) for letter, mark in kept if table.normalize_str(letter) == letter]
    return [
        *steps,
        *(normalizers.Replace(letter, mark) for letter, mark in kept),
        normalizers.NFKC(),
        *lower,
        table,
        *(normalizers.Replace(mark, letter) for letter, mark in kept),
    ]
