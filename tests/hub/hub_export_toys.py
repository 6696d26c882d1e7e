"""Toys for the tests of exports: a model of each shape, real small weights, and a translator trained here."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, decoders, models, normalizers, processors
from tokenizers import Tokenizer as Backend

from liju.config import Vocab
from liju.hub import Bundle
from liju.model import Transformer, TransformerConfig
from liju.samples import Goal, Sample, assemble
from liju.vocab import Tokenizer, train

ROOT = Path(__file__).parents[2]
SIZES = {"vocab_size": 420, "d_model": 24, "num_layers": 2, "num_heads": 4, "max_length": 40, "d_ff": 36}
PRE = {"embedding_norm": False, "head": "lm", "head_bias": False, "pooler": False, "norm_eps": 1e-5}
PRE |= {"norm_place": "pre", "final_norm": True}
POST = {**PRE, "norm_place": "post", "final_norm": False}


def decoder(**switches) -> TransformerConfig:
    return TransformerConfig.default("decoder", **{**SIZES, **switches})


def t5(**switches) -> TransformerConfig:
    return TransformerConfig.default("encdec", **{**SIZES, "num_decoder_layers": 3, **switches})


def plain(family, base, **switches) -> TransformerConfig:
    return TransformerConfig(**{"family": family, **SIZES, **base, **switches})


DECODERS = {
    "llama": decoder(),
    "llama, few keys, untied": decoder(num_kv_heads=2, tied=False, d_k=10),
    "llama, biases": decoder(bias=True),
    "llama, stretched": decoder(rope_scaling=(8.0, 1.0, 4.0, 16.0), rope_theta=500.0, d_k=10),
    "qwen2": decoder(qkv_bias=True, rope_theta=1e6, norm_eps=1e-6),
    "qwen2, stretched": decoder(qkv_bias=True, rope_scaling=(4.0, 1.0, 2.0, 32.0), rope_theta=500.0),
    "qwen2, wide heads": decoder(qkv_bias=True, d_k=10),
    "qwen3": decoder(qk_norm=True, d_k=10, num_kv_heads=1),
    "gpt2": plain("decoder", PRE, activation="gelu_tanh"),
    "gpt2, untied, offset": plain("decoder", PRE, activation="gelu_tanh", position_offset=2, tied=False),
    "gpt1": plain("decoder", POST, activation="gelu_tanh"),
    "opt": plain("decoder", PRE, activation="relu", position_offset=2),
    "opt-350m": plain("decoder", POST, activation="relu", position_offset=2, d_embedding=10),
    "palm": decoder(norm="layer", norm_place="parallel", num_kv_heads=1, logit_scale=0.2),
    "softcap": decoder(softcap=5.0, embedding_scale=True),
    "sinusoids": plain("decoder", PRE, position="sinusoidal"),
    "window": decoder(window=3, global_every=2, rope_theta_local=500.0),
}
ENCDECS = {
    "t5": t5(),
    "t5 v1.1": t5(tied=False, gated=True, activation="gelu_tanh", d_k=5),
    "transformer": plain("encdec", POST, activation="relu", position="sinusoidal", embedding_scale=True),
    "bart": plain("encdec", POST, embedding_norm=True, head_bias=True, position_offset=2),
    "marian": plain(
        *("encdec", POST),
        activation="silu",
        position="sinusoidal",
        sinusoid_halves=True,
        embedding_scale=True,
        head_bias=True,
    ),
    "rotary": t5(position="rope", num_kv_heads=2, gated=True, activation="silu", attention_scale=None),
    "norms of queries": t5(qk_norm=True, num_kv_heads=2),
}
ENCODERS = {
    "bert, pre-training": (TransformerConfig(**SIZES, num_types=2), {"next_sentence": 2}),
    "bert, label": (TransformerConfig(**SIZES, num_types=2, head="none"), {"label": 5}),
    "bert, no pooler": (TransformerConfig(**SIZES, head="none", pooler=False), {"label": 3}),
    "bert, tags": (TransformerConfig(**SIZES, head="none", pooler=False), {"tags": 7}),
    "bert, words": (TransformerConfig(**SIZES, pooler=False, position="sinusoidal"), {}),
    "modernbert": (
        TransformerConfig(
            **{**SIZES, "num_layers": 4},
            norm_place="pre",
            norm_bias=False,
            first_norm=False,
            final_norm=True,
            gated=True,
            bias=False,
            position="rope",
            window=3,
            global_every=3,
            rope_theta_local=100.0,
            pooler=False,
        ),
        {},
    ),
    "relative": (TransformerConfig(**SIZES, position="relative", activation="relu2", norm="rms"), {}),
}


@cache
def tokenizer(family: str) -> Tokenizer:
    """Trained on our own pages: English, Chinese, code."""
    pages = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md")]
    kind = "wordpiece" if family == "encoder" else "bpe"
    return train(pages * 2, Vocab(size=410, kind=kind), family)


def toy(build, config: TransformerConfig, heads: dict[str, int] | None = None, **task) -> Bundle:
    """A bundle in memory, of weights that show every mistake."""
    model = build(config, heads, torch.float32)
    return Bundle(model, tokenizer(config.family), task, {}, Path("toy"))


def stories(folder: Path) -> Bundle:
    """stories260K: real weights of Llama's shape (llama2.c's own file: pairs that turn are neighbours there),
    and its SentencePiece BPE."""
    raw = (folder / "stories260K.bin").read_bytes()
    d_model, d_ff, layers, heads, kv_heads, vocab, length = struct.unpack("7i", raw[:28])
    flat, place = np.frombuffer(raw, np.float32, offset=28), 0

    def take(*shape: int) -> torch.Tensor:
        nonlocal place
        place += int(np.prod(shape))
        return torch.from_numpy(flat[place - int(np.prod(shape)) : place].reshape(shape).copy())

    config = TransformerConfig.default(
        "decoder",
        vocab_size=vocab,
        d_model=d_model,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        d_ff=d_ff,
        max_length=length,
    )
    d_k, state = config.d_k, {"token.weight": take(vocab, d_model)}

    def halves(weight: torch.Tensor) -> torch.Tensor:
        return weight.reshape(-1, d_k // 2, 2, d_model).transpose(1, 2).reshape(-1, d_model)

    for name, *shape in (
        ("norm_attention", d_model),
        ("attention.W_q", d_model, d_model),
        ("attention.W_k", kv_heads * d_k, d_model),
        ("attention.W_v", kv_heads * d_k, d_model),
        ("attention.W_o", d_model, d_model),
        ("norm_feedforward", d_model),
        ("feedforward.W_gate", d_ff, d_model),
        ("feedforward.W_2", d_model, d_ff),
        ("feedforward.W_1", d_ff, d_model),
    ):
        for i, weight in enumerate(take(layers, *shape)):
            turned = name in ("attention.W_q", "attention.W_k")
            state[f"decoder.blocks.{i}.{name}.weight"] = halves(weight) if turned else weight
    state["decoder.final_norm.weight"] = take(d_model)
    model = Transformer(config)
    model.load_state_dict(state)
    return Bundle(model.eval(), _sentencepiece(folder / "tok512.bin"), {}, {}, Path("stories260K"))


def _sentencepiece(path: Path) -> Tokenizer:
    raw, place, pieces = path.read_bytes(), 4, []
    while place < len(raw):
        score, size = struct.unpack("fi", raw[place : place + 8])
        pieces.append((raw[place + 8 : place + 8 + size].decode(), score))
        place += 8 + size
    special = ["<unk>", "<s>", "</s>"]
    names = [*special, *(piece.replace(" ", "▁") for piece, _ in pieces[3:])]
    ids = {name: i for i, name in enumerate(names)}
    merges = []
    for i in sorted(range(259, len(names)), key=lambda i: -pieces[i][1]):
        cuts = [(names[i][:k], names[i][k:]) for k in range(1, len(names[i]))]
        merges += sorted((cut for cut in cuts if set(cut) <= set(ids)), key=lambda cut: ids[cut[0]])
    backend = Backend(models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    return Tokenizer(backend, {"unk": "<unk>", "bos": "<s>", "eos": "</s>"})


ENGLISH = ["sun", "moon", "sea", "hill", "tree", "bird", "rain", "wind"]
CHINESE = ["太阳", "月亮", "大海", "小山", "树木", "飞鸟", "下雨", "刮风"]


@cache
def translator(position: str) -> Bundle:
    """A translator of eight words, in the same order, learnt in a few seconds."""
    words = train([" ".join(ENGLISH), "".join(CHINESE)] * 9, Vocab(size=380), "encdec")
    base = plain("encdec", POST, activation="relu", position="sinusoidal", embedding_scale=True)
    config = base if position == "sinusoidal" else t5()
    config = config.replace(
        vocab_size=words.size, d_model=32, d_embedding=32, d_k=8, d_ff=64, num_decoder_layers=2
    )
    if config.logit_scale:
        config = config.replace(logit_scale=32**-0.5)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = Transformer(config)
    draws = np.random.default_rng(5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(260):
        samples = []
        for row in range(24):
            drawn = draws.integers(len(ENGLISH), size=draws.integers(1, 6))
            source = [*words.encode(" ".join(ENGLISH[i] for i in drawn)), words.eos]
            target = [*words.encode("".join(CHINESE[i] for i in drawn)), words.eos]
            goal = Goal(np.arange(len(target)), np.array(target))
            samples.append(
                Sample(row, np.array(source), np.array([words.pad, *target[:-1]]), goals={"words": goal})
            )
        batch = assemble(samples)
        targets = batch.targets["words"]
        logits = model.predict("words", model(batch).flatten(0, 1)[targets.index])
        loss = torch.nn.functional.cross_entropy(logits, targets.value)
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1, (step + 1) / 20) * (1 - step / 280)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    task = {"name": "translation", "max_length": config.max_length}
    return Bundle(model.eval(), words, task, {"loss": loss.item()}, Path("translator"))
