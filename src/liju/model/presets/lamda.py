"""LaMDA (Thoppilan et al. 2022): a reconstruction."""

from __future__ import annotations

from typing import Any

from liju.model.presets.entry import Preset

__all__ = ["LAMDA"]

SWITCHES: dict[str, Any] = {
    "family": "decoder",
    "vocab_size": 32000,
    "d_k": 128,
    "norm": "rms",
    "norm_place": "pre",
    "norm_bias": False,
    "norm_eps": 1e-6,
    "embedding_norm": False,
    "final_norm": True,
    "activation": "gelu",
    "gated": True,
    "bias": False,
    "position": "relative",
    "max_length": 2048,
    "head": "lm",
    "head_bias": False,
    "pooler": False,
}
NOTE = (
    "A reconstruction. Published: layers, widths, heads of 128, a gated GELU, T5's relative positions, 32k "
    "tokens, and the parameters without the embeddings, which these switches meet. Not published, our "
    "choice: the kind and place of the norms, no biases, tied embeddings, the length. What makes LaMDA a "
    "dialogue system is its fine-tuning, its ranking of candidates and its tools, not this network."
)

# d_model, layers, heads, d_ff, what the paper said (without embeddings)
_SIZES = {
    "lamda-2b": (2560, 10, 40, 20480, "2B"),
    "lamda-8b": (4096, 16, 64, 32768, "8B"),
    "lamda-137b": (8192, 64, 128, 65536, "137B"),
}
LAMDA = [
    Preset(
        name,
        "lamda",
        SWITCHES | {"d_model": d_model, "num_layers": layers, "num_heads": heads, "d_ff": d_ff},
        "Thoppilan et al. 2022, arXiv:2201.08239, section 3 and its table of hyper-parameters",
        "causal",
        "bpe",
        f"{said} without embeddings",
        NOTE,
    )
    for name, (d_model, layers, heads, d_ff, said) in _SIZES.items()
]
