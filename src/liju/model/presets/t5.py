"""T5 v1.0 (Raffel et al. 2019) and v1.1 (Shazeer 2020)."""

from __future__ import annotations

from typing import Any

from liju.model.presets.entry import Preset

__all__ = ["T5"]

SWITCHES: dict[str, Any] = {
    "family": "encdec",
    "vocab_size": 32128,
    "norm": "rms",
    "norm_place": "pre",
    "norm_bias": False,
    "norm_eps": 1e-6,
    "embedding_norm": False,
    "final_norm": True,
    "activation": "relu",
    "bias": False,
    "position": "relative",
    "attention_scale": 1.0,
    "max_length": 512,
    "head": "lm",
    "head_bias": False,
    "logit_scale": "d_model ** -0.5",
    "pooler": False,
    "dropout": 0.1,
}
V1_1 = {"activation": "gelu_tanh", "gated": True, "tied": False, "logit_scale": None, "dropout": 0.0}
NOTE = "32,000 pieces, 100 sentinels and 28 rows that nothing uses."
NOTE_V1_1 = f"{NOTE} A gated GELU, an output layer of its own, no dropout while pre-training."

# d_model, layers of each side, heads, d_k, d_ff, what the paper said, parameters of the weights
_V1_0 = {
    "small": (512, 6, 8, 64, 2048, "60M", 60_506_624),
    "base": (768, 12, 12, 64, 3072, "220M", 222_903_552),
    "large": (1024, 24, 16, 64, 4096, "770M", 737_668_096),
    "3b": (1024, 24, 32, 128, 16384, "3B", 2_851_598_336),
    "11b": (1024, 24, 128, 128, 65536, "11B", 11_307_321_344),
}
_V1_1 = {
    "small": (512, 8, 6, 64, 1024, "77M", 76_961_152),
    "base": (768, 12, 12, 64, 2048, "250M", 247_577_856),
    "large": (1024, 24, 16, 64, 2816, "800M", 783_150_080),
    "xl": (2048, 24, 32, 64, 5120, "3B", 2_849_757_184),
    "xxl": (4096, 24, 64, 64, 10240, "11B", 11_135_332_352),
}


def _sizes(d_model: int, layers: int, heads: int, d_k: int, d_ff: int) -> dict[str, int]:
    return {"d_model": d_model, "num_layers": layers, "num_heads": heads, "d_k": d_k, "d_ff": d_ff}


T5 = [
    Preset(
        f"t5-{size}",
        "t5",
        SWITCHES | _sizes(*shape),
        f"Raffel et al. 2019, arXiv:1910.10683, section 3.7; hf.co/google-t5/t5-{size}",
        "denoising",
        "unigram",
        said,
        NOTE,
        weights=weights,
    )
    for size, (*shape, said, weights) in _V1_0.items()
] + [
    Preset(
        f"t5-v1.1-{size}",
        "t5",
        SWITCHES | V1_1 | _sizes(*shape),
        f"Shazeer 2020, arXiv:2002.05202; hf.co/google/t5-v1_1-{size}",
        "denoising",
        "unigram",
        said,
        NOTE_V1_1,
        weights=weights,
    )
    for size, (*shape, said, weights) in _V1_1.items()
]
