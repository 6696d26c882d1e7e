"""Qwen2.5 and Qwen3 (Qwen Team 2024, 2025)."""

from __future__ import annotations

from typing import Any

from liju.model.presets.entry import Preset
from liju.model.presets.llama import LLAMA_SWITCHES

__all__ = ["QWEN"]

SWITCHES: dict[str, Any] = LLAMA_SWITCHES | {"vocab_size": 151936, "norm_eps": 1e-6, "rope_theta": 1e6}
QWEN3_SWITCHES = SWITCHES | {"num_kv_heads": 8, "d_k": 128, "qk_norm": True, "max_length": 40960}

# d_model, layers, heads, d_ff, tied, parameters of the weights
_QWEN3 = {
    "0.6b": (1024, 28, 16, 3072, True, 596_049_920),
    "1.7b": (2048, 28, 16, 6144, True, 1_720_574_976),
    "4b": (2560, 36, 32, 9728, True, 4_022_468_096),
    "8b": (4096, 36, 32, 12288, False, 8_190_735_360),
}
QWEN = [
    Preset(
        "qwen2.5-0.5b",
        "qwen",
        SWITCHES
        | {"d_model": 896, "num_layers": 24, "num_heads": 14, "num_kv_heads": 2, "d_ff": 4864}
        | {"max_length": 32768, "qkv_bias": True, "tied": True},
        "Qwen Team 2024, arXiv:2412.15115, table 1; hf.co/Qwen/Qwen2.5-0.5B",
        "causal",
        "bpe",
        "0.49B",
        "Biases on queries, keys and values only.",
        weights=494_032_768,
    )
] + [
    Preset(
        f"qwen3-{size}",
        "qwen",
        QWEN3_SWITCHES
        | {"d_model": d_model, "num_layers": layers, "num_heads": heads, "d_ff": d_ff, "tied": tied},
        f"Qwen Team 2025, arXiv:2505.09388, table 1; hf.co/Qwen/Qwen3-{size.upper()}",
        "causal",
        "bpe",
        size.upper(),
        "Queries and keys are normalised head by head; heads of 128 whatever the width of the model.",
        weights=weights,
    )
    for size, (d_model, layers, heads, d_ff, tied, weights) in _QWEN3.items()
]
