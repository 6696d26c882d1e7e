"""The Transformer in all its families, from one block."""

from liju.model.attention import Cache, Memory, MultiHeadAttention, Visibility
from liju.model.block import Block
from liju.model.config import TransformerConfig
from liju.model.decoder import Decoder
from liju.model.encoder import Encoder
from liju.model.feedforward import FeedForward
from liju.model.heads import Pooler, WordsHead
from liju.model.norm import RMSNorm
from liju.model.position import RelativeBias, Rotary, positional_encoding
from liju.model.presets import PRESETS, preset
from liju.model.transformer import Transformer

__all__ = [
    "PRESETS",
    "Block",
    "Cache",
    "Decoder",
    "Encoder",
    "FeedForward",
    "Memory",
    "MultiHeadAttention",
    "Pooler",
    "RMSNorm",
    "RelativeBias",
    "Rotary",
    "Transformer",
    "TransformerConfig",
    "Visibility",
    "WordsHead",
    "positional_encoding",
    "preset",
]
