"""A vocabulary in the form that GGUF files hold, for the four kinds of tokenizer that llama.cpp has.

llama.cpp does not read a tokenizer.json. It cuts text into words by a pattern that it knows by name, so a
byte-level vocabulary needs the name of a pattern that cuts as its own does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from liju.errors import ExportError
from liju.vocab import Tokenizer

__all__ = ["CUTS", "PROBES", "RARE_PROBES", "Vocabulary", "vocabulary"]

NORMAL, UNKNOWN, CONTROL, UNUSED, BYTE = 1, 2, 3, 5, 6  # gguf.TokenType

_CONTRACTION = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_CONTRACTION_I = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_AFTER = r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# The pattern in a tokenizer.json -> llama.cpp's name for it (llama-vocab.cpp, tokenizer.ggml.pre).
CUTS = {
    _GPT2: "gpt-2",
    **dict.fromkeys((_CONTRACTION + _AFTER % "{1,3}", _CONTRACTION_I + _AFTER % "{1,3}"), "llama-bpe"),
    **dict.fromkeys((_CONTRACTION + _AFTER % "", _CONTRACTION_I + _AFTER % ""), "qwen2"),
}
# What both must cut alike, or the file is refused.
PROBES = [
    "Once upon a time, there was a little girl named Lily. She didn't know what she'd find!",
    "The price rose from 1,234.56 to 7890 in 2024 (up 12%); they're \"surprised\", I've heard.",
    "床前明月光，疑是地上霜。举头望明月，低头思故乡。",
    "模型BERT在2018年发布,参数量110M。用Python写的代码：print('你好')",
    "café naïve Zürich Ñandú Москва Αθήνα 東京タワー",
    "def add(a, b):\n    return a + b  # sum\n\nfor i in range(10):\n\tprint(f'{i:>3}')\n",
    "emoji 😀👍🏽 and 👨‍👩‍👧 symbols © ™ € → ∑ ≤ 〇",
    "https://example.org/a?b=c&d=%20#x user@example.org C:\\dir\\file.txt",
    "It's o'clock. 'quoted' \"double\" “curly” — dash … dots...",
    "A <s> </s> [CLS] [SEP] [MASK] <pad> <|endoftext|> written by a person",
]
# Where llama.cpp's rules may differ from the tokenizer's (GPT-2's pattern and liju's own; BERT's accents,
# which take vowels away there): told in the report, and refused only where both have the very same rules.
RARE_PROBES = [
    "  two  spaces   three\n\n\nlines \n  end  ",
    "x² + y³ = 10 ¹ ² ½ ٣٤ ५६",
    "हिन्दी में लिखा हुआ पाठ",
    "ภาษาไทยไม่มีช่องว่าง",
    "한국어 문장입니다",
    "e\u0301te\u0301 de\u0301compose\u0301",
]


@dataclass
class Vocabulary:
    """What a GGUF file says of its tokens. `exact`: llama.cpp cuts every text as the tokenizer does."""

    model: str
    tokens: list[str]
    types: list[int]
    pre: str | None = None
    scores: list[float] | None = None
    merges: list[str] | None = None
    exact: bool = True
    flags: dict[str, bool] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)


def vocabulary(tokenizer: Tokenizer, size: int) -> Vocabulary:
    """The tokens of a tokenizer, filled up to the rows of the embedding.

    Raises ExportError for a kind that llama.cpp does not have.

    >>> from liju.config import Vocab
    >>> from liju.vocab import train
    >>> made = vocabulary(train(["low lower lowest"] * 9, Vocab(size=300), "decoder"), 300)
    >>> made.model, made.pre, made.exact, len(made.tokens), made.flags["add_bos_token"]
    ('gpt2', 'gpt-2', False, 300, True)
    """
    backend: dict[str, Any] = json.loads(tokenizer.backend.to_str())
    model = backend["model"]
    make = {"bpe": _bpe, "wordpiece": _wordpiece, "unigram": _unigram}.get(tokenizer.kind)
    if make is None:
        raise ExportError(f"llama.cpp has no tokenizer of the kind {tokenizer.kind!r}", hint=_NEAREST)
    special = {entry["id"] for entry in backend.get("added_tokens") or [] if entry["special"]}
    special |= {i for i in map(tokenizer.backend.token_to_id, tokenizer.roles.values()) if i is not None}
    names = [tokenizer.backend.id_to_token(i) for i in range(tokenizer.size)]
    tokens = [f"[UNUSED{i}]" if name is None else name for i, name in enumerate(names)]
    tokens += [f"[PAD{i}]" for i in range(len(tokens), size)]
    types = [
        UNUSED
        if i >= len(names) or names[i] is None
        else UNKNOWN
        if i == tokenizer.unk
        else CONTROL
        if i in special
        else NORMAL
        for i in range(size)
    ]
    made = make(Vocabulary("", tokens, types), backend, model)
    roles = {
        "bos": "bos",
        "eos": "eos",
        "unknown": "unk",
        "padding": "pad",
        "mask": "mask",
        "seperator": "sep",
    }
    found = {theirs: getattr(tokenizer, ours) for theirs, ours in roles.items()}
    if tokenizer.cls is not None:  # BERT's frame is begun by "bos"
        found |= {"cls": tokenizer.cls, "bos": tokenizer.cls}
    made.ids = {name: i for name, i in found.items() if i is not None}
    made.flags |= _frame(tokenizer, made.ids)
    return made


# llama.cpp's name of a role (its spelling) -> ours.
ROLES = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad", "mask": "mask", "seperator": "sep"}
_NEAREST = "use huggingface, whose readers take tokenizer.json as it is"


def _frame(tokenizer: Tokenizer, ids: dict[str, int]) -> dict[str, bool]:
    """Whether a text begins and ends with a token, asked of the tokenizer itself."""
    inner = tokenizer.backend.encode("a", add_special_tokens=False).ids
    whole = tokenizer.backend.encode("a", add_special_tokens=True).ids
    if tokenizer.cls is not None:
        return {}  # WordPiece always has both
    before = whole[: len(whole) - len(inner)] if whole[-len(inner) :] == inner else whole[:1]
    begins = bool(before) and before[0] == ids.get("bos") and whole != inner
    ends = len(whole) > len(inner) and whole[-1] == ids.get("eos") and whole[-len(inner) :] != inner
    return {"add_bos_token": begins, "add_eos_token": ends}


def _parts(step: dict[str, Any] | None, inner: str) -> Iterator[dict[str, Any]]:
    """A pre-tokenizer or normaliser and, where it is a sequence, its parts."""
    if step is None:
        return
    if step["type"] == "Sequence":
        for part in step[inner]:
            yield from _parts(part, inner)
    else:
        yield step


def _bpe(made: Vocabulary, backend: dict[str, Any], model: dict[str, Any]) -> Vocabulary:
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    cuts = list(_parts(backend["pre_tokenizer"], "pretokenizers"))
    if any(cut["type"] == "ByteLevel" for cut in cuts):
        if any(_parts(backend["normalizer"], "normalizers")):
            raise ExportError("llama.cpp changes no text before a byte-level BPE", hint=_NEAREST)
        if any(cut.get("add_prefix_space") for cut in cuts):
            raise ExportError("llama.cpp puts no space before a byte-level BPE's text", hint=_NEAREST)
        patterns = [cut["pattern"].get("Regex") for cut in cuts if cut["type"] == "Split"]
        if not patterns and any(cut.get("use_regex") for cut in cuts):
            patterns = [_GPT2]
        made.model, made.merges = "gpt2", merges
        made.exact = len(patterns) == 1 and patterns[0] in CUTS
        # liju's own cut is GPT-2's with finer borders; a merge across them was never learnt, so that on
        # nearly every text the tokens are the same. PROBES decide.
        made.pre = CUTS[patterns[0]] if made.exact else "gpt-2"
        return made
    if not model.get("byte_fallback"):
        raise ExportError("llama.cpp has no BPE without bytes to fall back on", hint=_NEAREST)
    # SentencePiece's BPE: the pair with the best score is merged first, so the score is the merge's rank.
    rank: dict[str, int] = {}
    for number, merge in enumerate(merges):
        rank.setdefault(merge.replace(" ", "", 1), number)
    made.model = "llama"
    made.scores = [-float(rank.get(token, len(merges))) for token in made.tokens]
    steps = json.dumps([backend["normalizer"], backend["pre_tokenizer"]])
    before = (
        '"Prepend"' in steps or '"prepend_scheme": "first"' in steps or '"prepend_scheme": "always"' in steps
    )
    made.flags["add_space_prefix"] = before
    _name_bytes(made)
    return made


def _wordpiece(made: Vocabulary, backend: dict[str, Any], model: dict[str, Any]) -> Vocabulary:
    if model.get("continuing_subword_prefix", "##") != "##":
        raise ExportError("llama.cpp knows WordPiece with ## alone", hint=_NEAREST)
    if [cut["type"] for cut in _parts(backend["pre_tokenizer"], "pretokenizers")] != ["BertPreTokenizer"]:
        raise ExportError("llama.cpp knows WordPiece with BERT's words alone", hint=_NEAREST)
    # llama.cpp marks the beginning of a word, BERT what goes on.
    made.model = "bert"
    made.tokens = [
        token if made.types[i] != NORMAL else token[2:] if token.startswith("##") else f"▁{token}"
        for i, token in enumerate(made.tokens)
    ]
    steps = list(_parts(backend["normalizer"], "normalizers"))
    lower = any(step.get("lowercase") or step["type"] == "Lowercase" for step in steps)
    accents = [step.get("strip_accents") for step in steps if step["type"] == "BertNormalizer"]
    strip = lower if not accents or accents[0] is None else bool(accents[0])
    made.exact = not strip
    made.flags |= {"normalizer.lowercase": lower, "normalizer.strip_accents": strip}
    return made


def _unigram(made: Vocabulary, backend: dict[str, Any], model: dict[str, Any]) -> Vocabulary:
    if model.get("byte_fallback"):
        raise ExportError(
            "llama.cpp's Unigram has no bytes to fall back on, and this vocabulary does",
            hint='nearest: huggingface, or a vocabulary of kind = "bpe"',
        )
    made.model = "t5"
    made.scores = [float(score) for _, score in model["vocab"]]
    made.scores += [0.0] * (len(made.tokens) - len(made.scores))
    made.flags["add_space_prefix"] = _space_before(backend)
    made.flags["remove_extra_whitespaces"] = '" {2,}"' in json.dumps(backend["normalizer"])
    _name_bytes(made)
    return made


def _space_before(backend: dict[str, Any]) -> bool:
    """Whether a space is put before a text: by a normaliser, or by SentencePiece's pre-tokenizer."""
    cuts = _parts(backend["pre_tokenizer"], "pretokenizers")
    before = any(cut.get("prepend_scheme", "never") != "never" for cut in cuts)
    return before or any(s["type"] == "Prepend" for s in _parts(backend["normalizer"], "normalizers"))


def _name_bytes(made: Vocabulary) -> None:
    for i, token in enumerate(made.tokens):
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            made.types[i] = BYTE
