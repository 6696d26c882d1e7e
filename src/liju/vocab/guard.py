"""A tokenizer that reads no special token out of a text."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from tokenizers import Regex, pre_tokenizers
from tokenizers import Tokenizer as Backend

from liju.vocab.bytes import LETTERS

__all__ = ["guarded"]


def guarded(backend: Backend, names: list[str]) -> Backend:
    """The same tokenizer, in which each of these names is cut in two after the text is normalised.

    Some models hold "</s>" among their own pieces (Unigram: T5), and find it in what a user writes. The
    cut is where no other piece is, if there is such a place, so that the rest is read as if uncut.
    The model is shared, not copied; the tokenizer that is saved stays as it was.

    >>> from tokenizers import models
    >>> pieces = [("<unk>", 0.0), ("</s>", 0.0), *((letter, -2.0) for letter in "</s>a")]
    >>> backend = Backend(models.Unigram(pieces, unk_id=0))
    >>> backend.encode("a</s>").tokens, guarded(backend, ["</s>"]).encode("a</s>").tokens
    (['a', '</s>'], ['a', '<', '/', 's', '>'])
    """
    vocabulary = backend.get_vocab(with_added_tokens=False)
    every = {token.content for token in backend.get_added_tokens_decoder().values()} | set(names)
    joined = {pair for piece in vocabulary if piece not in every for pair in pairwise(piece)}
    patterns = []
    for name in sorted(names, key=len, reverse=True):
        # As it stands before the cut: itself, with ▁ for a space, or as the letters of its bytes.
        for text in {name, name.replace(" ", "▁"), "".join(LETTERS[byte] for byte in name.encode())}:
            cut = min(range(1, len(text)), key=lambda cut: _price(text, cut, joined, vocabulary), default=1)
            patterns.append(f"{re.escape(text[:cut])}(?={re.escape(text[cut:])})")
    split = pre_tokenizers.Split(Regex("|".join(patterns)), "merged_with_previous")
    found = Backend(backend.model)
    before: Any = backend.pre_tokenizer
    parts: dict[str, Any] = {
        "normalizer": backend.normalizer,
        "post_processor": backend.post_processor,
        "decoder": backend.decoder,
    }
    for part, value in parts.items():
        if value is not None:
            setattr(found, part, value)
    found.pre_tokenizer = split if before is None else pre_tokenizers.Sequence([before, split])
    for _, token in sorted(backend.get_added_tokens_decoder().items()):
        (found.add_special_tokens if token.special else found.add_tokens)([token])
    found.encode_special_tokens = True
    return found


def _price(
    text: str, cut: int, joined: set[tuple[str, str]], vocabulary: dict[str, int]
) -> tuple[bool, bool]:
    """How much a cut would change: a piece that goes across it, two unknown characters that would be one."""
    before, after = text[cut - 1], text[cut]
    return (before, after) in joined, before not in vocabulary and after not in vocabulary
