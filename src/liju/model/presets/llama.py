"""Llama 1, 2, 3, 3.1 and 3.2 (Touvron et al. 2023, Grattafiori et al. 2024)."""

from __future__ import annotations

from typing import Any

from liju.model.presets.entry import Preset

__all__ = ["LLAMA", "LLAMA_SWITCHES"]

LLAMA_SWITCHES: dict[str, Any] = {
    "family": "decoder",
    "norm": "rms",
    "norm_place": "pre",
    "norm_bias": False,
    "embedding_norm": False,
    "final_norm": True,
    "activation": "silu",
    "gated": True,
    "bias": False,
    "position": "rope",
    "tied": False,
    "head": "lm",
    "head_bias": False,
    "pooler": False,
}
ONE = {"vocab_size": 32000, "norm_eps": 1e-6, "max_length": 2048}
TWO = {"vocab_size": 32000, "norm_eps": 1e-5, "max_length": 4096}
THREE = {"vocab_size": 128256, "norm_eps": 1e-5, "max_length": 8192, "rope_theta": 5e5, "num_kv_heads": 8}
LONG = {"max_length": 131072}

FIRST = "Touvron et al. 2023, arXiv:2302.13971, table 2"
SECOND = "Touvron et al. 2023, arXiv:2307.09288; hf.co/meta-llama/Llama-2-{}-hf"
THIRD = "Grattafiori et al. 2024, arXiv:2407.21783, table 3; hf.co/meta-llama/{}"
STRETCHED = "Rotations are stretched for 131,072 tokens (rope_scaling)."

# d_model, layers, heads, d_ff, further switches, what was said, parameters of the weights, source, note
_SIZES: dict[str, tuple[int, int, int, int, dict[str, Any], str, int, str, str]] = {
    "llama-7b": (4096, 32, 32, 11008, ONE, "6.7B", 6_738_415_616, FIRST, ""),
    "llama-13b": (5120, 40, 40, 13824, ONE, "13.0B", 13_015_864_320, FIRST, ""),
    "llama-30b": (
        6656, 60, 52, 17920, ONE, "32.5B", 32_528_943_616, FIRST, "33B in the paper, 30B by its files.",
    ),
    "llama-65b": (8192, 80, 64, 22016, ONE, "65.2B", 65_285_660_672, FIRST, ""),
    "llama2-7b": (4096, 32, 32, 11008, TWO, "7B", 6_738_415_616, SECOND.format("7b"), ""),
    "llama2-13b": (5120, 40, 40, 13824, TWO, "13B", 13_015_864_320, SECOND.format("13b"), ""),
    "llama2-70b": (
        8192, 80, 64, 28672, TWO | {"num_kv_heads": 8}, "70B", 68_976_648_192, SECOND.format("70b"), "",
    ),
    "llama3-8b": (
        4096, 32, 32, 14336, THREE, "8B", 8_030_261_248, THIRD.format("Meta-Llama-3-8B"), "",
    ),
    "llama3-70b": (
        8192, 80, 64, 28672, THREE, "70B", 70_553_706_496, THIRD.format("Meta-Llama-3-70B"), "",
    ),
    "llama3.1-405b": (
        16384, 126, 128, 53248, THREE | LONG | {"rope_scaling": (8.0, 1.0, 4.0, 8192.0)},
        "405B", 405_853_388_800, THIRD.format("Llama-3.1-405B"), STRETCHED,
    ),
    "llama3.2-1b": (
        2048, 16, 32, 8192, THREE | LONG | {"rope_scaling": (32.0, 1.0, 4.0, 8192.0), "tied": True},
        "1.23B", 1_235_814_400, "hf.co/meta-llama/Llama-3.2-1B, config.json", STRETCHED,
    ),
}  # fmt: skip
LLAMA = [
    Preset(
        name,
        "llama",
        LLAMA_SWITCHES
        | {"d_model": d_model, "num_layers": layers, "num_heads": heads, "d_ff": d_ff}
        | further,
        source,
        "causal",
        "bpe",
        said,
        note or "Pre-norm without means, gated SiLU, rotary positions, no biases, two embeddings.",
        weights=weights,
    )
    for name, (d_model, layers, heads, d_ff, further, said, weights, source, note) in _SIZES.items()
]
