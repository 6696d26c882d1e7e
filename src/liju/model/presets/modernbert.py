"""ModernBERT (Warner et al. 2024)."""

from __future__ import annotations

from typing import Any

from liju.model.presets.entry import Preset

__all__ = ["MODERNBERT"]

SWITCHES: dict[str, Any] = {
    "family": "encoder",
    "vocab_size": 50368,
    "norm_place": "pre",
    "norm_bias": False,
    "norm_eps": 1e-5,
    "first_norm": False,
    "final_norm": True,
    "activation": "gelu",
    "gated": True,
    "bias": False,
    "position": "rope",
    "rope_theta": 160000.0,
    "rope_theta_local": 10000.0,
    "window": 64,
    "global_every": 3,
    "max_length": 8192,
    "head": "mlm",
    "pooler": False,
}

# d_model, layers, heads, d_ff, what the paper said, parameters of the weights
_SIZES = {
    "base": (768, 22, 12, 1152, "149M", 149_655_232),
    "large": (1024, 28, 16, 2624, "395M", 395_881_664),
}
MODERNBERT = [
    Preset(
        f"modernbert-{size}",
        "modernbert",
        SWITCHES | {"d_model": d_model, "num_layers": layers, "num_heads": heads, "d_ff": d_ff},
        f"Warner et al. 2024, arXiv:2412.13663; hf.co/answerdotai/ModernBERT-{size}",
        "masked",
        "bpe",
        said,
        "Every third layer sees everything, the others 64 places each side; the first attention has no norm "
        "of its own. Trained on 30 % masked words and no next sentence.",
        weights=weights,
        mask_rate=0.3,
    )
    for size, (d_model, layers, heads, d_ff, said, weights) in _SIZES.items()
]
