"""The special tokens of each family, and their roles in files made elsewhere.

    encoder   [PAD] [UNK] [CLS] [SEP] [MASK]                     like BERT
    decoder   <pad> <s> </s>                                     like Llama
    encdec    <pad> </s> <unk>, and <extra_id_0> .. <extra_id_99>  like T5

The padding is always id 0. The sentinels are the last ids, <extra_id_0> the very last.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from liju.errors import TokenizerError

__all__ = ["NEEDS", "ROLES", "SENTINELS", "roles_in", "sentinels", "specials"]

# The roles, as attributes of Tokenizer.
ROLES = ("pad", "unk", "cls", "sep", "mask", "bos", "eos")
SENTINELS = 100

# What a family cannot learn without.
NEEDS = {
    "encoder": ("pad", "cls", "sep", "mask"),
    "decoder": ("pad", "bos", "eos"),
    "encdec": ("pad", "eos"),
}

_NAMES = {
    "encoder": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    "decoder": {"pad": "<pad>", "bos": "<s>", "eos": "</s>"},
    "encdec": {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"},
}

# Names to look for in a file that does not say which token has which role.
_USUAL = {
    "pad": ("[PAD]", "<pad>", "<|pad|>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]",),
    "sep": ("[SEP]",),
    "mask": ("[MASK]", "<mask>"),
    "bos": ("<s>", "<|begin_of_text|>", "<|endoftext|>"),
    "eos": ("</s>", "<|end_of_text|>", "<|endoftext|>"),
}


def specials(family: str, kind: str = "bpe") -> dict[str, str]:
    """The special tokens of a family by role, in the order of their ids, without the sentinels.

    >>> specials("decoder")
    {'pad': '<pad>', 'bos': '<s>', 'eos': '</s>'}
    >>> list(specials("encoder").values())
    ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    """
    if family not in _NAMES:
        raise TokenizerError(f"unknown family {family!r}", hint=f"one of {', '.join(_NAMES)}")
    names = dict(_NAMES[family])
    if family == "decoder" and kind != "bpe":
        names["unk"] = "<unk>"
    return names


def sentinels(family: str) -> list[str]:
    """The sentinels in the order of their ids: they end with <extra_id_0>, as in T5.

    >>> sentinels("encdec")[0], sentinels("encdec")[-1], sentinels("decoder")
    ('<extra_id_99>', '<extra_id_0>', [])
    """
    return [f"<extra_id_{n}>" for n in reversed(range(SENTINELS))] if family == "encdec" else []


def roles_in(vocabulary: Collection[str], declared: Mapping[str, str] | None = None) -> dict[str, str]:
    """Which token has which role: what the file declares, else by the usual names.

    >>> roles_in({"[PAD]", "[CLS]", "[SEP]", "the"})
    {'pad': '[PAD]', 'cls': '[CLS]', 'sep': '[SEP]'}
    """
    found: dict[str, str] = {}
    for role in ROLES:
        names: tuple[str, ...] = _USUAL[role]
        # RoBERTa and BART: <s> a </s>, with a <mask>.
        if "<mask>" in vocabulary:
            names = {"cls": ("<s>",), "sep": ("</s>",)}.get(role, names)
        if declared and role in declared:
            names = (declared[role],)
        there = [name for name in names if name in vocabulary]
        if there:
            found[role] = there[0]
    return found
