"""Known shapes by name. A preset is data: values for the switches of `TransformerConfig`."""

from __future__ import annotations

from typing import Any

from liju.errors import ModelError, did_you_mean
from liju.model.config import TransformerConfig

__all__ = ["PRESETS", "preset"]

PRESETS: dict[str, dict[str, Any]] = {
    # Vaswani et al. 2017, table 3
    "transformer-base": {
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
    },
}
PRESETS["transformer-big"] = PRESETS["transformer-base"] | {"d_model": 1024, "num_heads": 16, "dropout": 0.3}


def preset(name: str, **switches: Any) -> TransformerConfig:
    """The configuration of a known model, with some switches changed. Raises ModelError for an unknown name.

    >>> preset("transformer-base", vocab_size=8192).d_ff
    2048
    """
    if name not in PRESETS:
        raise ModelError(f"unknown preset {name!r}", did_you_mean(name, PRESETS))
    return TransformerConfig(**{**PRESETS[name], **switches})
