"""The Transformer of the article (Vaswani et al. 2017)."""

from __future__ import annotations

from typing import Any

from liju.model.presets.entry import Preset

__all__ = ["TRANSFORMER"]

SWITCHES: dict[str, Any] = {
    "family": "encdec",
    "vocab_size": 37000,
    "d_model": 512,
    "num_layers": 6,
    "num_heads": 8,
    "activation": "relu",
    "norm_eps": 1e-6,
    "embedding_norm": False,
    "position": "sinusoidal",
    "embedding_scale": True,
    "head": "lm",
    "head_bias": False,
    "pooler": False,
    "dropout": 0.1,
}
SOURCE = "Vaswani et al. 2017, arXiv:1706.03762, table 3"
NOTE = (
    "As in the paper: norms after the residual, all three embeddings tied, 37,000 tokens shared by both "
    "languages. Attention has biases here, which the paper's formulas and its code have not; later versions "
    "of its code have the norms before."
)

TRANSFORMER = [
    Preset("transformer-base", "transformer", SWITCHES, SOURCE, "translation", "bpe", "65M", NOTE),
    Preset(
        "transformer-big",
        "transformer",
        SWITCHES | {"d_model": 1024, "num_heads": 16, "dropout": 0.3},
        SOURCE,
        "translation",
        "bpe",
        "213M",
        NOTE,
    ),
]
