"""BERT's vocab.txt: one token a line, its id the number of the line from 0."""

from __future__ import annotations

import re
from pathlib import Path

from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from liju.errors import TokenizerError
from liju.vocab.declared import Declared

__all__ = ["read_lines", "wordpiece_backend"]

_NAMES = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def read_lines(path: Path, unk: str = "[UNK]") -> dict[str, int]:
    """The tokens and their ids. Raises TokenizerError for a line that is there twice, or no [UNK]."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path}: not UTF-8 (byte {error.start:,})", hint="copy it again") from None
    ids: dict[str, int] = {}
    # Not splitlines: a line may be U+2028 itself.
    for number, line in enumerate(text.rstrip("\n").split("\n")):
        word = line.rstrip("\r")
        if word in ids:
            raise TokenizerError(
                f"{path}:{number + 1}: {word!r} is also line {ids[word] + 1}",
                hint="a vocab.txt has one token a line, each once",
            )
        ids[word] = number
    if unk not in ids:
        raise TokenizerError(f"{path}: no {unk} line", hint="a BERT vocab.txt has one token a line")
    return ids


def lowercases(ids: dict[str, int], declared: Declared) -> bool:
    """Whether text is lower-cased: what do_lower_case says, which is true where only the class is named; else
    whether the vocabulary has no capitals."""
    said = declared.settings.get("do_lower_case", "tokenizer_class" in declared.settings or None)
    if said is not None:
        return bool(said)
    return not any(re.fullmatch(r"(##)?[A-Z][A-Za-z]*", word) for word in ids)


def wordpiece_backend(path: Path, declared: Declared) -> Backend:
    """BERT's tokenizer from its vocab.txt, with the switches of tokenizer_config.json: do_lower_case,
    strip_accents, tokenize_chinese_chars."""
    roles = {**_NAMES, **declared.roles}
    ids = read_lines(path, roles["unk"])
    backend = Backend(models.WordPiece(ids, unk_token=roles["unk"]))
    accents = declared.settings.get("strip_accents")
    backend.normalizer = normalizers.BertNormalizer(
        lowercase=lowercases(ids, declared),
        strip_accents=None if accents is None else bool(accents),
        handle_chinese_chars=declared.flag("tokenize_chinese_chars", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    names = [roles[role] for role in _NAMES if roles[role] in ids]
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    declared.add_to(backend)
    cls, sep = roles["cls"], roles["sep"]
    if cls in ids and sep in ids:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{cls} $A {sep}",
            pair=f"{cls} $A {sep} $B:1 {sep}:1",
            special_tokens=[(name, ids[name]) for name in (cls, sep)],
        )
    return backend
