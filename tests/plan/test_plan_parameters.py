"""The closed form counts what the model holds, and what the papers' public weights hold."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.errors import ModelError
from liju.model import Transformer, TransformerConfig
from liju.plan import count_parameters

GPT2 = {
    "vocab_size": 50257,
    "family": "decoder",
    "norm_place": "pre",
    "norm_eps": 1e-5,
    "embedding_norm": False,
    "final_norm": True,
    "activation": "gelu_tanh",
    "max_length": 1024,
    "head": "lm",
    "head_bias": False,
    "pooler": False,
}
GPT1 = {**GPT2, "vocab_size": 40478, "norm_place": "post", "final_norm": False, "max_length": 512}
OPT = {**GPT2, "vocab_size": 50272, "max_length": 2048, "position_offset": 2, "activation": "relu"}
BART = {
    "vocab_size": 50265,
    "family": "encdec",
    "norm_eps": 1e-5,
    "max_length": 1024,
    "position_offset": 2,
    "head": "lm",
    "head_bias": False,  # final_logits_bias is a buffer there
    "pooler": False,
}
PALM = {
    "vocab_size": 256000,
    "family": "decoder",
    "norm_place": "parallel",
    "norm_bias": False,
    "embedding_norm": False,
    "final_norm": True,
    "activation": "silu",
    "gated": True,
    "bias": False,
    "position": "rope",
    "num_kv_heads": 1,
    "d_k": 256,
    "head": "lm",
    "head_bias": False,
    "pooler": False,
}


def bert(d: int, layers: int, vocab: int = 30522, **more) -> TransformerConfig:
    return TransformerConfig(vocab, d, layers, num_heads=d // 64, num_types=2, **more)


def gpt2(d: int, layers: int, heads: int, base=GPT2, **more) -> TransformerConfig:
    return TransformerConfig(**{**base, "d_model": d, "num_layers": layers, "num_heads": heads, **more})


def llama(d: int, layers: int, heads: int, d_ff: int, **more) -> TransformerConfig:
    switches = {
        "vocab_size": 32000,
        "tied": False,
        "d_model": d,
        "num_layers": layers,
        "num_heads": heads,
        "d_ff": d_ff,
    }
    return TransformerConfig.default("decoder", **{**switches, **more})


def qwen3(d: int, layers: int, heads: int, d_ff: int, **more) -> TransformerConfig:
    return llama(
        d,
        layers,
        heads,
        d_ff,
        **{**{"vocab_size": 151936, "num_kv_heads": 8, "d_k": 128, "qk_norm": True, "tied": True}, **more},
    )


def t5(d: int, layers: int, heads: int, d_ff: int, d_k: int = 64, **more) -> TransformerConfig:
    switches = {
        "vocab_size": 32128,
        "d_model": d,
        "num_layers": layers,
        "num_heads": heads,
        "d_k": d_k,
        "d_ff": d_ff,
        "tied": True,
    }
    return TransformerConfig.default("encdec", **{**switches, **more})


V11 = {"tied": False, "gated": True, "activation": "gelu_tanh"}
# Totals of transformers' models on the meta device; several are in the papers (rounded).
PUBLISHED = {
    "bert-base, encoder and pooler": (bert(768, 12, head="none"), {}, 109_482_240),
    "bert-large, encoder and pooler": (bert(1024, 24, head="none"), {}, 335_141_888),
    "bert-base-cased": (bert(768, 12, 28996, head="none"), {}, 108_310_272),
    "bert-base-chinese": (bert(768, 12, 21128, head="none"), {}, 102_267_648),
    "bert-tiny": (bert(128, 2, head="none"), {}, 4_385_920),
    "bert-mini": (bert(256, 4, head="none"), {}, 11_170_560),
    "bert-small": (bert(512, 4, head="none"), {}, 28_763_648),
    "bert-medium": (bert(512, 8, head="none"), {}, 41_373_184),
    "bert-base, pre-training": (bert(768, 12), {"next_sentence": 2}, 110_106_428),
    "bert-large, pre-training": (bert(1024, 24), {"next_sentence": 2}, 336_226_108),
    "gpt": (gpt2(768, 12, 12, GPT1), {}, 116_534_784),
    "gpt2": (gpt2(768, 12, 12), {}, 124_439_808),
    "gpt2-medium": (gpt2(1024, 24, 16), {}, 354_823_168),
    "gpt2-large": (gpt2(1280, 36, 20), {}, 774_030_080),
    "gpt2-xl": (gpt2(1600, 48, 25), {}, 1_557_611_200),
    "gpt3-175b": (gpt2(12288, 96, 96, max_length=2048), {}, 174_604_259_328),
    "opt-125m": (gpt2(768, 12, 12, OPT), {}, 125_239_296),
    "opt-350m": (
        gpt2(1024, 24, 16, OPT, norm_place="post", final_norm=False, d_embedding=512),
        {},
        331_196_416,
    ),
    "opt-175b": (gpt2(12288, 96, 96, OPT), {}, 174_604_468_224),
    "palm-8b": (TransformerConfig(d_model=4096, num_layers=32, num_heads=16, **PALM), {}, 8_632_012_800),
    "palm-540b": (
        TransformerConfig(d_model=18432, num_layers=118, num_heads=48, **PALM),
        {},
        540_356_474_880,
    ),
    "t5-small": (t5(512, 6, 8, 2048), {}, 60_506_624),
    "t5-base": (t5(768, 12, 12, 3072), {}, 222_903_552),
    "t5-large": (t5(1024, 24, 16, 4096), {}, 737_668_096),
    "t5-3b": (t5(1024, 24, 32, 16384, 128), {}, 2_851_598_336),
    "t5-11b": (t5(1024, 24, 128, 65536, 128), {}, 11_307_321_344),
    "t5-v1.1-small": (t5(512, 8, 6, 1024, **V11), {}, 76_961_152),
    "t5-v1.1-xxl": (t5(4096, 24, 64, 10240, **V11), {}, 11_135_332_352),
    "bart-base": (TransformerConfig(d_model=768, num_layers=6, num_heads=12, **BART), {}, 139_420_416),
    "bart-large": (TransformerConfig(d_model=1024, num_layers=12, num_heads=16, **BART), {}, 406_291_456),
    "llama-7b": (llama(4096, 32, 32, 11008), {}, 6_738_415_616),
    "llama2-13b": (llama(5120, 40, 40, 13824), {}, 13_015_864_320),
    "llama2-70b": (llama(8192, 80, 64, 28672, num_kv_heads=8), {}, 68_976_648_192),
    "llama3-8b": (llama(4096, 32, 32, 14336, num_kv_heads=8, vocab_size=128256), {}, 8_030_261_248),
    "llama3.2-1b": (
        llama(2048, 16, 32, 8192, num_kv_heads=8, vocab_size=128256, tied=True),
        {},
        1_235_814_400,
    ),
    "qwen2.5-0.5b": (
        llama(896, 24, 14, 4864, num_kv_heads=2, vocab_size=151936, tied=True, qkv_bias=True),
        {},
        494_032_768,
    ),
    "qwen3-0.6b": (qwen3(1024, 28, 16, 3072), {}, 596_049_920),
    "qwen3-8b": (qwen3(4096, 36, 32, 12288, tied=False), {}, 8_190_735_360),
    "modernbert-base": (
        TransformerConfig(
            vocab_size=50368,
            d_model=768,
            num_layers=22,
            num_heads=12,
            d_ff=1152,
            norm_place="pre",
            norm_bias=False,
            first_norm=False,
            final_norm=True,
            gated=True,
            bias=False,
            position="rope",
            window=64,
            global_every=3,
            pooler=False,
        ),
        {},
        149_655_232,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_count_is_the_published_one(name):
    config, heads, total = PUBLISHED[name]
    assert count_parameters(config, heads).total == total


@st.composite
def configs(draw) -> TransformerConfig:
    family = draw(st.sampled_from(["encoder", "decoder", "encdec"]))
    heads = draw(st.sampled_from([2, 3, 6]))
    switches = {
        "vocab_size": draw(st.integers(7, 29)),
        "d_model": heads * draw(st.sampled_from([2, 4])),
        "num_layers": draw(st.integers(1, 3)),
        "num_decoder_layers": draw(st.integers(1, 3)) if family == "encdec" else 0,
        "num_heads": heads,
        "num_kv_heads": draw(st.sampled_from([n for n in (1, 2, 3, 6) if heads % n == 0])),
        "d_k": draw(st.sampled_from([0, 2, 10])),
        "d_ff": draw(st.integers(1, 19)),
        "family": family,
        "norm": draw(st.sampled_from(["layer", "rms"])),
        "norm_place": draw(st.sampled_from(["pre", "post"] + ["parallel"] * (family != "encdec"))),
        "position": draw(st.sampled_from(["none", "sinusoidal", "learned", "rope", "relative"])),
        "position_offset": draw(st.sampled_from([0, 2])),
        "max_length": draw(st.integers(5, 13)),
        "relative_buckets": draw(st.sampled_from([8, 32])),
        "num_types": draw(st.sampled_from([0, 2, 3])) if family != "decoder" else 0,
        "d_embedding": draw(st.sampled_from([0, 5])),
        "qkv_bias": draw(st.sampled_from([None, False, True])),
        "head": draw(st.sampled_from(["lm", "mlm", "none"])),
    }
    for switch in ("norm_bias", "embedding_norm", "final_norm", "first_norm", "gated", "bias", "qk_norm"):
        switches[switch] = draw(st.booleans())
    for switch in ("tied", "head_bias", "pooler"):
        switches[switch] = draw(st.booleans())
    return TransformerConfig(**switches)


@settings(max_examples=80, deadline=None)
@given(configs())
def test_count_is_that_of_the_model(config):
    try:
        with torch.device("meta"):
            model = Transformer(config)
    except ModelError:
        return  # a combination that the model refuses
    parts = count_parameters(config)
    real = {"token": 0, "position": 0, "attention": 0, "cross_attention": 0, "feedforward": 0}
    real |= {"norms": 0, "pooler": 0, "heads": 0}
    for name, parameter in model.named_parameters():
        if name.startswith("token."):
            part = "token"
        elif name.startswith("heads."):
            part = "heads"
        elif name.startswith("pooler."):
            part = "pooler"
        elif ".attention." in name:
            part = "attention"
        elif ".cross_attention." in name:
            part = "cross_attention"
        elif ".feedforward." in name:
            part = "feedforward"
        elif "norm" in name:
            part = "norms"
        else:
            part = "position"
        real[part] += parameter.numel()
    assert parts.to_json() == {**real, "total": sum(p.numel() for p in model.parameters())}
