"""Folders as others leave them, with tiny vocabularies: the files of each family, and nothing of liju's."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

CORPUS = [
    "The fox runs over the hill. The dog sleeps under a tree, and the sun is high.",
    "今天我们学习语言模型。例句是最好的老师。",
    "Every step is shown by example; every example runs in 2024.",
    "天气很好，大家都去公园散步。狐狸跑过小山。",
    "x = y[3] + 1  # a comment",
] * 9
MIXED = [
    "The quick brown fox jumps over the lazy dog, twice.",
    "  two  spaces   and a tab\tinside \n\n",
    "今天天气很好，我们去公园散步吧。",
    "混合 mixed 文字 with emoji 😀👍🏽👩‍💻 and code: x = y[3] += 1;\n\treturn",
    "café naïve ﬁne Ａ１ ½ ① ÀÉÎ İ ß",
    "שלום עולם مرحبا",
    "e\u0301 combining, ZWJ 👩\u200d💻 \u3000\u00a0\u2028",
    "Don't, we'll, IT'S 1234567890 3.14",
    "",
    " ",
    "a",
]


def write(folder: Path, **files: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if not isinstance(content, str):
            content = json.dumps(content, ensure_ascii=False)
        (folder / (name.replace("__", ".") if "__" in name else f"{name}.json")).write_text(content, "utf-8")
    return folder


@cache
def byte_level(*special: str) -> tuple[dict[str, int], str]:
    """vocab.json and merges.txt of a BPE whose first tokens are `special`."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        show_progress=False,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator(CORPUS, trainer)
    return _files(backend)


@cache
def characters() -> tuple[dict[str, int], str]:
    """The files of GPT (2018): words end with </w>."""
    backend = Backend(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=300, show_progress=False, special_tokens=["<unk>"], end_of_word_suffix="</w>"
    )
    backend.train_from_iterator([text.lower() for text in CORPUS], trainer)
    return _files(backend)


def _files(backend: Backend) -> tuple[dict[str, int], str]:
    model = json.loads(backend.to_str())["model"]
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    return model["vocab"], "\n".join(["#version: 0.2", *merges]) + "\n"


def gpt2(folder: Path) -> Path:
    vocab, merges = byte_level("<|endoftext|>")
    return write(
        folder,
        vocab=vocab,
        merges__txt=merges,
        config={"model_type": "gpt2"},
        tokenizer_config={"tokenizer_class": "GPT2Tokenizer", "model_max_length": 1024},
    )


def opt(folder: Path) -> Path:
    vocab, merges = byte_level("<s>", "<pad>", "</s>", "<unk>")
    named = {f"{role}_token": {"content": "</s>"} for role in ("bos", "eos", "unk")}
    named["pad_token"] = {"content": "<pad>"}
    return write(
        folder,
        vocab=vocab,
        merges__txt=merges,
        config={"model_type": "opt"},
        special_tokens_map=named,
        tokenizer_config={
            **{"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "add_prefix_space": False},
            **{"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"},
        },
    )


def bart(folder: Path) -> Path:
    vocab, merges = byte_level("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    return write(
        folder,
        vocab=vocab,
        merges__txt=merges,
        config={"model_type": "bart"},
        tokenizer_config={"tokenizer_class": "BartTokenizer", "model_max_length": 1024},
    )


def qwen2(folder: Path) -> Path:
    vocab, merges = byte_level()
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    flags = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word"), False)
    added = {str(len(vocab) + i): {"content": name, "special": True, **flags} for i, name in enumerate(names)}
    return write(
        folder,
        vocab=vocab,
        merges__txt=merges,
        config={"model_type": "qwen2"},
        tokenizer_config={
            "tokenizer_class": "Qwen2Tokenizer",
            "added_tokens_decoder": added,
            "additional_special_tokens": names[1:],
            "chat_template": "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}",
            **{"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": None},
        },
    )


def gpt(folder: Path) -> Path:
    vocab, merges = characters()
    return write(
        folder,
        vocab=vocab,
        merges__txt=merges,
        config={"model_type": "openai-gpt"},
        tokenizer_config={"tokenizer_class": "OpenAIGPTTokenizer", "unk_token": "<unk>"},
    )


def bert(folder: Path, **switches: bool) -> Path:
    letters = sorted(
        {letter for text in (*CORPUS, *MIXED) for letter in text + text.lower() if letter.strip()}
    )
    # The accents may stay or go: é and e are there, and e with a mark behind it.
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "fox", "Fox", "cafe", "##s"]
    words = list(dict.fromkeys([*words, *letters, *(f"##{letter}" for letter in letters)]))
    return write(
        folder,
        vocab__txt="\n".join(words) + "\n",
        config={"model_type": "bert"},
        tokenizer_config={"tokenizer_class": "BertTokenizer", **switches},
    )


def fast(folder: Path) -> Path:
    """A tokenizer.json with a normalizer, a pair template with types, and a chat template beside it."""
    from tokenizers import decoders, normalizers, processors

    vocab, merges = byte_level("<|endoftext|>")
    pairs = [tuple(line.split(" ")) for line in merges.splitlines()[1:]]
    backend = Backend(models.BPE(vocab, pairs))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    names = ["[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    backend.add_special_tokens([AddedToken(name, special=True, lstrip=name == "[MASK]") for name in names])
    backend.add_tokens([AddedToken("<think>", special=False)])
    ids = [(name, backend.token_to_id(name)) for name in names[:2]]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    backend.enable_truncation(7)
    backend.enable_padding(length=7)
    write(
        folder,
        config={"model_type": "modernbert"},
        chat_template__jinja="{{ messages[0].content }}\n",
        tokenizer_config={
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": ["input_ids", "attention_mask"],
            **{"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"},
        },
    )
    backend.save(str(folder / "tokenizer.json"))
    return folder
