"""vocab.json and merges.txt: byte-level BPE (GPT-2, OPT, BART, RoBERTa, Qwen2), and GPT's BPE of 2018."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from liju.errors import TokenizerError
from liju.vocab.declared import Declared, read_vocabulary
from liju.vocab.frames import bos_and_eos

__all__ = ["merges_backend", "read_merges"]

# Qwen2Tokenizer's cut: digits one by one, a line's end with what stands before it.
_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def merges_backend(vocab: Path, merges: Path, declared: Declared) -> Backend:
    """The tokenizer of the two files. Raises TokenizerError naming the file and the line or the token."""
    ids = read_vocabulary(vocab)
    pairs = read_merges(merges, ids, vocab.name)
    style = declared.style
    if style == "openai-gpt" or (style is None and any(word.endswith("</w>") for word in ids)):
        return _gpt(ids, pairs, declared)
    backend = Backend(models.BPE(ids, pairs))
    prefix = declared.flag("add_prefix_space", False)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.decoder = decoders.ByteLevel()
    if style == "qwen2":
        backend.normalizer = normalizers.NFC()
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_QWEN), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False),
            ]
        )
    declared.add_to(backend)
    roles = declared.roles_of(style)
    if style == "qwen2" and not declared.added and "<|endoftext|>" not in ids:
        backend.add_special_tokens(["<|endoftext|>"])
    names = dict.fromkeys([*roles.values(), "<|endoftext|>"])
    # A mask takes the space before it into itself, where transformers reads one from text.
    backend.add_special_tokens(
        [
            AddedToken(name, special=True, normalized=False, lstrip=name == "<mask>")
            for name in names
            if backend.token_to_id(name) is not None
        ]
    )
    if style == "roberta" and {"<s>", "</s>"} <= ids.keys():
        sep, cls = roles["sep"], roles["cls"]
        backend.post_processor = processors.RobertaProcessing(
            (sep, ids[sep]), (cls, ids[cls]), trim_offsets=True, add_prefix_space=prefix
        )
    elif declared.flag("add_bos_token", style == "opt") and roles.get("bos") in ids:
        bos_and_eos(
            backend, roles["bos"], roles.get("eos") if declared.flag("add_eos_token", False) else None
        )
    else:
        backend.post_processor = processors.ByteLevel(trim_offsets=False)
    return backend


def read_merges(path: Path, ids: dict[str, int], name: str) -> list[tuple[str, str]]:
    """The pairs, best first. Raises TokenizerError naming the line that is no pair, or has a token that the
    vocabulary `name` has not."""
    pairs = []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path}: not UTF-8 (byte {error.start:,})", hint="copy it again") from None
    # Not splitlines: GPT-2's tokens hold no line end, those of others may hold U+2028 or U+0085.
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        pair = line.split(" ")
        if len(pair) != 2 or not all(pair):
            raise TokenizerError(
                f"{path}:{number}: not two tokens: {line!r}", hint="a merges.txt has one pair a line"
            )
        for token in (*pair, "".join(pair)):
            if token not in ids:
                raise TokenizerError(
                    f"{path}:{number}: the merge {line!r} needs {token!r}, which {name} has not",
                    hint="the two files are of different vocabularies",
                )
        pairs.append((pair[0], pair[1]))
    return pairs


def _gpt(ids: dict[str, int], pairs: list[tuple[str, str]], declared: Declared) -> Backend:
    """GPT (2018): lower case, the end of a word marked, characters instead of bytes. Its authors cut words
    with ftfy and spaCy; this is BERT's cut, which transformers takes too."""
    unk: Any = declared.roles.get("unk", "<unk>")
    unk = unk if unk in ids else None
    backend = Backend(models.BPE(ids, pairs, unk_token=unk, end_of_word_suffix="</w>"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.BPEDecoder(suffix="</w>")
    declared.add_to(backend)
    names = [name for name in dict.fromkeys([unk, *declared.roles.values()]) if name in ids]
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    return backend
