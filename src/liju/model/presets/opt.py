"""OPT (Zhang et al. 2022): nine sizes, of which the 350m has another shape."""

from __future__ import annotations

from typing import Any

from liju.model.presets.entry import Preset
from liju.model.presets.gpt import GPT2_SWITCHES

__all__ = ["OPT"]

SWITCHES: dict[str, Any] = GPT2_SWITCHES | {
    "vocab_size": 50272,
    "activation": "relu",
    "max_length": 2048,
    "position_offset": 2,
    "init_std": 0.006,
}
ODD = {"norm_place": "post", "final_norm": False, "d_embedding": 512}
NOTES = {
    "opt-350m": "Norms after the residual, none at the end, and embeddings of half the width with a "
    "projection in and out: unlike its sisters, and not in the paper."
}

# d_model, layers, heads, parameters of the weights
_SIZES = {
    "125m": (768, 12, 12, 125_239_296),
    "350m": (1024, 24, 16, 331_196_416),
    "1.3b": (2048, 24, 32, 1_315_758_080),
    "2.7b": (2560, 32, 32, 2_651_596_800),
    "6.7b": (4096, 32, 32, 6_658_473_984),
    "13b": (5120, 40, 40, 12_853_473_280),
    "30b": (7168, 48, 56, 29_974_540_288),
    "66b": (9216, 64, 72, 65_719_701_504),
    "175b": (12288, 96, 96, 174_604_468_224),
}
OPT = [
    Preset(
        f"opt-{size}",
        "opt",
        SWITCHES
        | {"d_model": d_model, "num_layers": layers, "num_heads": heads}
        | (ODD if size == "350m" else {}),
        f"Zhang et al. 2022, arXiv:2205.01068, table 1; hf.co/facebook/opt-{size}",
        "causal",
        "bpe",
        size.upper(),
        NOTES.get(f"opt-{size}", "The first two rows of the position table are never used."),
        weights=weights,
    )
    for size, (d_model, layers, heads, weights) in _SIZES.items()
]
