"""PaLM (Chowdhery et al. 2022)."""

from __future__ import annotations

from typing import Any

from liju.model.presets.entry import Preset

__all__ = ["PALM"]

SWITCHES: dict[str, Any] = {
    "family": "decoder",
    "vocab_size": 256000,
    "num_kv_heads": 1,
    "d_k": 256,
    "norm_place": "parallel",
    "norm_bias": False,
    "norm_eps": 1e-6,
    "embedding_norm": False,
    "final_norm": True,
    "activation": "silu",
    "gated": True,
    "bias": False,
    "position": "rope",
    "max_length": 2048,
    "head": "lm",
    "head_bias": False,
    "logit_scale": "d_model ** -0.5",
    "pooler": False,
}
NOTE = (
    "Attention and feed-forward side by side, one head of keys and values, no biases. Embeddings of "
    "deviation 1, logits times 1 / sqrt(d_model) (section 5). No weights were published; the paper names "
    "SentencePiece, not which kind. The norm's epsilon is our choice."
)

# d_model, layers, heads, what the paper said
_SIZES = {
    "palm-8b": (4096, 32, 16, "8.63B"),
    "palm-62b": (8192, 64, 32, "62.50B"),
    "palm-540b": (18432, 118, 48, "540.35B"),
}
PALM = [
    Preset(
        name,
        "palm",
        SWITCHES | {"d_model": d_model, "num_layers": layers, "num_heads": heads},
        "Chowdhery et al. 2022, arXiv:2204.02311, section 2 and table 1",
        "causal",
        "unigram",
        said,
        NOTE,
    )
    for name, (d_model, layers, heads, said) in _SIZES.items()
]
