"""The Transformer in all its families, from one block."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = [
    "PRESETS",
    "Block",
    "Cache",
    "Decoder",
    "Dropout",
    "Encoder",
    "FeedForward",
    "Memory",
    "MultiHeadAttention",
    "Pooler",
    "Preset",
    "RMSNorm",
    "RelativeBias",
    "Rotary",
    "Transformer",
    "TransformerConfig",
    "Visibility",
    "WordsHead",
    "layout_for",
    "positional_encoding",
    "preset",
]

if TYPE_CHECKING:
    from liju.model.attention import Cache, Memory, MultiHeadAttention, Visibility
    from liju.model.block import Block
    from liju.model.config import TransformerConfig
    from liju.model.decoder import Decoder
    from liju.model.dropout import Dropout
    from liju.model.encoder import Encoder
    from liju.model.feedforward import FeedForward
    from liju.model.heads import Pooler, WordsHead
    from liju.model.layout import layout_for
    from liju.model.norm import RMSNorm
    from liju.model.position import RelativeBias, Rotary, positional_encoding
    from liju.model.presets import PRESETS, Preset, preset
    from liju.model.transformer import Transformer

# Where each public name lives. It is imported at first use: the presets are looked at without torch.
_HOME = {
    **dict.fromkeys(("Cache", "Memory", "MultiHeadAttention", "Visibility"), "attention"),
    **dict.fromkeys(("Pooler", "WordsHead"), "heads"),
    **dict.fromkeys(("RelativeBias", "Rotary", "positional_encoding"), "position"),
    **dict.fromkeys(("PRESETS", "Preset", "preset"), "presets"),
    "Block": "block",
    "Decoder": "decoder",
    "Dropout": "dropout",
    "Encoder": "encoder",
    "FeedForward": "feedforward",
    "RMSNorm": "norm",
    "Transformer": "transformer",
    "TransformerConfig": "config",
    "layout_for": "layout",
}


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'liju.model' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"liju.model.{_HOME[name]}"), name)
