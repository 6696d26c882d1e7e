"""FLOPs against published figures and against a count by hand."""

from __future__ import annotations

import pytest

from liju.model import TransformerConfig
from liju.plan import count_parameters, flops_per_token, training_flops

PALM_540B = TransformerConfig(
    256000,
    18432,
    118,
    num_heads=48,
    num_kv_heads=1,
    d_k=256,
    family="decoder",
    norm_place="parallel",
    norm_bias=False,
    embedding_norm=False,
    final_norm=True,
    activation="silu",
    gated=True,
    bias=False,
    position="rope",
    head="lm",
    head_bias=False,
    pooler=False,
)
GPT3 = TransformerConfig(
    50257,
    12288,
    96,
    num_heads=96,
    max_length=2048,
    family="decoder",
    norm_place="pre",
    embedding_norm=False,
    final_norm=True,
    head="lm",
    head_bias=False,
    pooler=False,
)
LLAMA_405B = TransformerConfig.default(
    "decoder",
    vocab_size=128256,
    d_model=16384,
    num_layers=126,
    num_heads=128,
    num_kv_heads=8,
    d_ff=53248,
    tied=False,
)


def test_palm_model_flops_utilisation():
    """Chowdhery et al. 2022, appendix B: 238.3k tokens/s on 6144 TPU v4 of 275 TFLOP/s is 46.2 %."""
    utilisation = 238_300 * flops_per_token(PALM_540B, 2048) / (6144 * 275e12)
    assert utilisation * 100 == pytest.approx(46.2, abs=0.1)


def test_gpt3_training_compute():
    """Brown et al. 2020, table D.1 counts 6 N: 3.14e23 for 300e9 tokens, without the attention's products."""
    attention = 12 * 96 * 12288 * 2048
    flops = (flops_per_token(GPT3, 2048) - attention) * 300e9
    assert flops == pytest.approx(3.14e23, rel=0.005)


def test_llama_405b_training_compute():
    """3.8e25 FLOPs for 15.6e12 tokens (Llama team 2024)."""
    attention = 12 * 126 * 16384 * 8192
    assert (flops_per_token(LLAMA_405B, 8192) - attention) * 15.6e12 == pytest.approx(3.8e25, rel=0.01)


def test_only_predicted_places_pay_for_the_vocabulary():
    config = TransformerConfig(vocab_size=101, d_model=6, num_heads=2, num_layers=3, head="lm")
    saved = flops_per_token(config, 7) - flops_per_token(config, 7, predicted=0.25)
    assert saved == pytest.approx(6 * 0.75 * 101 * 6)


def test_encoder_decoder_counts_each_side_by_its_tokens():
    config = TransformerConfig.default(
        "encdec", vocab_size=31, d_model=6, num_heads=3, num_layers=2, num_decoder_layers=5
    )
    parts = count_parameters(config)
    s, t = 11, 7
    block = (parts.attention + parts.feedforward) / 7
    cross = parts.cross_attention
    by_hand = 6 * (2 * block * s + 5 * block * t + cross / 2 * s + cross / 2 * t + 31 * 6 * t)
    by_hand += 12 * 6 * (2 * s * s + 5 * t * t + 5 * t * s)
    assert training_flops(config, s, t) == pytest.approx(by_hand)


def test_windows_count_what_they_see():
    config = TransformerConfig(vocab_size=11, d_model=6, num_heads=2, num_layers=5, window=3, global_every=2)
    full = config.replace(window=0, global_every=0)
    # Blocks 0, 2 and 4 see all 50 places, 1 and 3 see 7.
    assert flops_per_token(full, 50) - flops_per_token(config, 50) == pytest.approx(12 * 6 * 2 * (50 - 7))
