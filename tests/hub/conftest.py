"""Models with weights that show every mistake: nothing zero, nothing one, no two alike."""

from __future__ import annotations

import pytest
import torch
from hub_oracle import load

from liju.hub import save_bundle
from liju.model import Transformer, TransformerConfig

BERT = {"vocab_size": 101, "d_model": 12, "num_layers": 3, "num_heads": 3, "d_ff": 20, "max_length": 32}
LLAMA = {"vocab_size": 101, "d_model": 12, "num_layers": 3, "num_heads": 3, "d_ff": 20, "max_length": 32}

MODERN = {
    **BERT,
    "norm_place": "pre",
    "norm_bias": False,
    "norm_eps": 1e-5,
    "final_norm": True,
    "first_norm": False,
    "gated": True,
    "bias": False,
    "position": "rope",
    "rope_theta": 16e4,
    "rope_theta_local": 1e2,
    "pooler": False,
}
GPT = {
    **BERT,
    "family": "decoder",
    "norm_eps": 1e-5,
    "embedding_norm": False,
    "activation": "gelu_tanh",
    "head": "lm",
    "head_bias": False,
    "pooler": False,
}
PALM = {
    **GPT,
    "num_kv_heads": 1,
    "d_k": 6,
    "norm_place": "parallel",
    "norm_bias": False,
    "final_norm": True,
    "activation": "silu",
    "gated": True,
    "bias": False,
    "position": "rope",
    "logit_scale": 12**-0.5,
}
AFTER_GPT = {"norm_place": "pre", "final_norm": True}
BART = {**BERT, "family": "encdec", "norm_eps": 1e-5, "head": "lm", "head_bias": True, "pooler": False}


@pytest.fixture(scope="session")
def build():
    def build(config: TransformerConfig, heads: dict[str, int] | None = None, dtype=torch.float64):
        with torch.random.fork_rng():
            torch.manual_seed(7)
            model = Transformer(config)
            for name, outputs in (heads or {}).items():
                model.add_head(name, outputs)
            for name, parameter in model.named_parameters():
                torch.nn.init.normal_(parameter, std=0.3, mean=1.0 if "norm" in name else 0.0)
        return model.to(dtype).eval()

    return build


@pytest.fixture(scope="session")
def pair(shapes, build, tmp_path_factory):
    """A model in float64, the same one as transformers loads it, and its folder: made once for each shape.
    No test changes them."""
    pytest.importorskip("transformers")
    made: dict[str, tuple] = {}

    def pair(shape: str):
        if shape not in made:
            config, heads = shapes[shape]
            model = build(config, heads)
            folder = tmp_path_factory.mktemp("pair") / "bundle"
            save_bundle(folder, model, None)
            made[shape] = model, load(folder, shape)[0], folder
        return made[shape]

    return pair


@pytest.fixture(scope="session")
def shapes() -> dict[str, tuple[TransformerConfig, dict[str, int]]]:
    """A configuration and its further heads, for each class of transformers."""
    typed = {**BERT, "num_types": 2}

    def decoder(**more):
        return TransformerConfig.default("decoder", **{**LLAMA, **more})

    def encdec(**more):
        return TransformerConfig.default("encdec", **{**LLAMA, **more})

    return {
        "BertForPreTraining": (TransformerConfig(**typed), {"next_sentence": 2}),
        "BertForMaskedLM": (TransformerConfig(**typed, pooler=False), {}),
        "BertForSequenceClassification": (TransformerConfig(**typed, head="none"), {"label": 5}),
        "BertModel": (TransformerConfig(**typed, head="none"), {}),
        "BERT, sinusoids, no types": (
            TransformerConfig(**BERT, position="sinusoidal", activation="gelu_tanh"),
            {"next_sentence": 2},
        ),
        "LlamaForCausalLM": (decoder(), {}),
        "Llama, untied, few keys": (decoder(tied=False, num_kv_heads=1, d_k=6), {}),
        "Llama, biases": (decoder(bias=True), {}),
        "Qwen2ForCausalLM": (decoder(qkv_bias=True, norm_eps=1e-6, rope_theta=1e6), {}),
        "Qwen3ForCausalLM": (decoder(qk_norm=True, d_k=6, num_kv_heads=1), {}),
        "T5ForConditionalGeneration": (encdec(num_decoder_layers=2, tied=True), {}),
        "T5 v1.1": (encdec(tied=False, gated=True, activation="gelu_tanh", d_k=6), {}),
        "BertForTokenClassification": (TransformerConfig(**typed, head="none", pooler=False), {"tag": 5}),
        "BertForQuestionAnswering": (TransformerConfig(**typed, head="none", pooler=False), {"span": 2}),
        "RoFormerForMaskedLM": (TransformerConfig(**typed, position="rope", pooler=False), {}),
        "RoFormer, next sentence, no types": (
            TransformerConfig(**BERT, position="rope"),
            {"next_sentence": 2},
        ),
        "RoFormerForTokenClassification": (
            TransformerConfig(**typed, position="rope", pooler=False, head="none"),
            {"tag": 5},
        ),
        "RoFormerForQuestionAnswering": (
            TransformerConfig(**typed, position="rope", pooler=False, head="none"),
            {"span": 2},
        ),
        "RoFormerModel": (TransformerConfig(**typed, position="rope", pooler=False, head="none"), {}),
        "ModernBertForMaskedLM": (TransformerConfig(**MODERN, window=3, global_every=2), {}),
        "ModernBERT, no window, biases in norms": (
            TransformerConfig(**{**MODERN, "norm_bias": True, "head_bias": False}),
            {},
        ),
        "ModernBertModel": (TransformerConfig(**MODERN, head="none", window=2, global_every=3), {}),
        "LlamaForCausalLM, stretched": (decoder(rope_scaling=(8.0, 1.0, 4.0, 16.0), rope_theta=5e2), {}),
        "MistralForCausalLM": (decoder(window=4, num_kv_heads=1, tied=False), {}),
        "CohereForCausalLM": (TransformerConfig(**PALM), {}),
        "GPT2LMHeadModel": (TransformerConfig(**GPT, **AFTER_GPT), {}),
        "OpenAIGPTLMHeadModel": (TransformerConfig(**{**GPT, "d_ff": 48}), {}),
        "OPTForCausalLM": (
            TransformerConfig(**GPT | {"activation": "relu"}, **AFTER_GPT, position_offset=2),
            {},
        ),
        "OPT-350m": (
            TransformerConfig(**GPT | {"activation": "relu"}, position_offset=2, d_embedding=7),
            {},
        ),
        "BartForConditionalGeneration": (
            TransformerConfig(**BART, embedding_norm=True, position_offset=2, num_decoder_layers=2),
            {},
        ),
        "MarianMTModel": (
            TransformerConfig(
                **{**BART, "activation": "silu"},
                embedding_norm=False,
                position="sinusoidal",
                sinusoid_halves=True,
                embedding_scale=True,
            ),
            {},
        ),
    }
