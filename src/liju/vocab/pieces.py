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

# Private characters that stand for something while a text is normalised.
_TILDE, _OWN = "\U000f5e5e", 0x100000


def pieces_backend(model: SentencePiece) -> Backend:
    """The same tokenizer in the form of `tokenizers`.

    The charsmaps nmt_nfkc and nfkc are the file's own for every character. Sequences of combining marks in
    another than Unicode's order, which SentencePiece leaves so, are put in that order.

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
    # A user's own symbol is taken wherever it stands: SentencePiece gives it more than its bytes could have.
    best = max((score for _, score, kind in model.pieces if kind == NORMAL), default=0.0)
    scores = [
        (text, len(text.encode()) * best + 1.0 if kind == USER_DEFINED else score)
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
        marks = [(text, chr(_OWN + n)) for n, text in enumerate(sorted(aside, key=len, reverse=True))]
        steps = [
            *(normalizers.Replace(text, mark) for text, mark in marks),
            *steps,
            *(normalizers.Replace(mark, text) for text, mark in marks),
        ]
    if model.remove_extra_whitespaces:
        # ▁ is a space here: one that is in the text counts as one.
        steps += [
            normalizers.Replace(Regex(f"[ {SPACE}]+"), " "),
            normalizers.Replace(Regex("^ | $"), ""),
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
    if model.rule not in ("nmt_nfkc", "nfkc"):
        return [table]
    said = {letter: table.normalize_str(letter) for letter in _invisible()}
    steps: list[Any] = []
    for meant in ("", " "):
        letters = "".join(f"\\x{{{ord(letter):X}}}" for letter, text in said.items() if text == meant)
        if letters:
            steps.append(normalizers.Replace(Regex(f"[{letters}]"), meant))
    # The wide tilde stays wide in the first rule: Japanese writes ranges with it.
    tilde = table.normalize_str("～") == "～"
    inner = [normalizers.NFKC(), table]
    if tilde:
        inner = [normalizers.Replace("～", _TILDE), *inner, normalizers.Replace(_TILDE, "～")]
    return [*steps, *inner]
