"""BART (Lewis et al. 2019)."""

from __future__ import annotations

from typing import Any

from liju.model.presets.entry import Preset

__all__ = ["BART"]

SWITCHES: dict[str, Any] = {
    "family": "encdec",
    "vocab_size": 50265,
    "norm_eps": 1e-5,
    "activation": "gelu",
    "position": "learned",
    "max_length": 1024,
    "position_offset": 2,
    "head": "lm",
    "pooler": False,
    "dropout": 0.1,
}
NOTE = (
    "The bias of the output layer is a buffer in the public weights, which do not count it. The paper fills "
    "spans and shuffles sentences; a project here denoises T5's way."
)

# d_model, layers of each side, heads, what was said, parameters of the weights
_SIZES = {"base": (768, 6, 12, "140M", 139_420_416), "large": (1024, 12, 16, "400M", 406_291_456)}
BART = [
    Preset(
        f"bart-{size}",
        "bart",
        SWITCHES | {"d_model": d_model, "num_layers": layers, "num_heads": heads},
        f"Lewis et al. 2019, arXiv:1910.13461; hf.co/facebook/bart-{size}",
        "denoising",
        "bpe",
        said,
        NOTE,
        weights=weights,
        buffers=50265,
        mask_rate=0.3,
    )
    for size, (d_model, layers, heads, said, weights) in _SIZES.items()
]
