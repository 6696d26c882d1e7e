"""Models with weights that show every mistake: nothing zero, nothing one, no two alike."""

from __future__ import annotations

import pytest
import torch

from liju.model import Transformer, TransformerConfig

BERT = {"vocab_size": 101, "d_model": 12, "num_layers": 3, "num_heads": 3, "d_ff": 20, "max_length": 32}
LLAMA = {"vocab_size": 101, "d_model": 12, "num_layers": 3, "num_heads": 3, "d_ff": 20, "max_length": 32}


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
        "T5ForConditionalGeneration": (encdec(num_decoder_layers=2), {}),
        "T5 v1.1": (encdec(tied=False, gated=True, activation="gelu_tanh", d_k=6), {}),
    }
