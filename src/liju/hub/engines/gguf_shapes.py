"""Which of our switches make which of llama.cpp's architectures, and its names for the weights. Data, and a
few loops.

>>> from liju.model import TransformerConfig
>>> shape_of(TransformerConfig.default("decoder", vocab_size=11, d_model=8, num_heads=2)).name
'llama'
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from liju.hub.engines.stock import Stock
from liju.model import TransformerConfig, positional_encoding
from liju.model.position import Rotary

__all__ = ["Rows", "Shape", "misfit", "shape_of"]

Rows = Iterator[tuple[str, Float[np.ndarray, "..."]]]


@dataclass(frozen=True)
class Shape:
    """One of llama.cpp's architectures: the switches that it fixes, and the weights under its names."""

    name: str
    family: str
    fixed: Mapping[str, Any]
    weights: Callable[[TransformerConfig, Stock], Rows]
    demands: Callable[[TransformerConfig], str | None] = lambda config: None


# What no architecture below changes: (switch, values).
PLAIN: dict[str, Any] = {
    "window": 0,
    "embedding_scale": False,
    "softcap": 0.0,
    "first_norm": True,
    "value_residual": False,  # no architecture of llama.cpp has it
    "logit_scale": (None, 1.0),
}
LLAMA: dict[str, Any] = {
    "norm": "rms",
    "norm_place": "pre",
    "embedding_norm": False,
    "final_norm": True,
    "activation": "silu",
    "gated": True,
    "position": "rope",
    "head": "lm",
    "head_bias": False,
    "qk_norm": False,
}


def _interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """The rows of W_q or W_k, from halves that turn together (x[i], x[i + d_k/2]) to neighbours that do."""
    split = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(weight.shape)


def _linear(stock: Stock, ours: str, theirs: str) -> Rows:
    yield f"{theirs}.weight", stock[f"{ours}.weight"]
    if f"{ours}.bias" in stock:
        yield f"{theirs}.bias", stock[f"{ours}.bias"]


def _llama(config: TransformerConfig, stock: Stock, pairs: bool = True) -> Rows:
    yield "token_embd.weight", stock["token.weight"]
    if config.rope_scaling is not None:  # what llama.cpp divides each pair's rotation by
        turns = [
            Rotary(config.d_k, config.rope_theta, how).frequency() for how in (None, config.rope_scaling)
        ]
        yield "rope_freqs.weight", (turns[0] / turns[1]).float().numpy()
    for i in range(config.num_layers):
        ours, theirs = f"decoder.blocks.{i}", f"blk.{i}"
        for x, heads in (("q", config.num_heads), ("k", config.num_kv_heads)):
            for name, array in _linear(stock, f"{ours}.attention.W_{x}", f"{theirs}.attn_{x}"):
                yield name, _interleaved(array, heads) if pairs else array
            if config.qk_norm:
                yield from _linear(stock, f"{ours}.attention.norm_{x}", f"{theirs}.attn_{x}_norm")
        for a, b in (
            ("attention.W_v", "attn_v"),
            ("attention.W_o", "attn_output"),
            ("norm_attention", "attn_norm"),
            ("feedforward.W_gate", "ffn_gate"),
            ("feedforward.W_1", "ffn_up"),
            ("feedforward.W_2", "ffn_down"),
            ("norm_feedforward", "ffn_norm"),
        ):
            yield from _linear(stock, f"{ours}.{a}", f"{theirs}.{b}")
    yield from _linear(stock, "decoder.final_norm", "output_norm")
    if not config.tied:
        yield "output.weight", stock["heads.words.projection.weight"]


def _gpt2(config: TransformerConfig, stock: Stock) -> Rows:
    yield "token_embd.weight", stock["token.weight"]
    yield "position_embd.weight", stock["decoder.position.weight"][config.position_offset :]
    for i in range(config.num_layers):
        ours, theirs = f"decoder.blocks.{i}", f"blk.{i}"
        for kind in ("weight", "bias"):
            parts = [stock[f"{ours}.attention.W_{x}.{kind}"] for x in "qkv"]
            yield f"{theirs}.attn_qkv.{kind}", np.concatenate(parts)
        for a, b in (
            ("attention.W_o", "attn_output"),
            ("norm_attention", "attn_norm"),
            ("feedforward.W_1", "ffn_up"),
            ("feedforward.W_2", "ffn_down"),
            ("norm_feedforward", "ffn_norm"),
        ):
            yield from _linear(stock, f"{ours}.{a}", f"{theirs}.{b}")
    yield from _linear(stock, "decoder.final_norm", "output_norm")
    if not config.tied:
        yield "output.weight", stock["heads.words.projection.weight"]


def _bert(config: TransformerConfig, stock: Stock) -> Rows:
    yield "token_embd.weight", stock["token.weight"]
    if config.position == "learned":
        yield "position_embd.weight", stock["encoder.position.weight"][config.position_offset :]
    else:
        table = positional_encoding(config.max_length, config.d_model, halves=config.sinusoid_halves)
        yield "position_embd.weight", table.float().numpy()
    types = stock["encoder.type.weight"] if config.num_types else np.zeros((1, config.d_model), np.float32)
    yield "token_types.weight", types
    yield from _linear(stock, "encoder.embedding_norm", "token_embd_norm")
    for i in range(config.num_layers):
        for a, b in (
            *((f"attention.W_{x}", f"attn_{x}") for x in "qkv"),
            ("attention.W_o", "attn_output"),
            ("norm_attention", "attn_output_norm"),
            ("feedforward.W_1", "ffn_up"),
            ("feedforward.W_2", "ffn_down"),
            ("norm_feedforward", "layer_output_norm"),
        ):
            yield from _linear(stock, f"encoder.blocks.{i}.{a}", f"blk.{i}.{b}")
    if "heads.label.weight" in stock:
        if config.pooler:
            yield from _linear(stock, "pooler", "cls")
        yield from _linear(stock, "heads.label", "cls.output")


def _square(config: TransformerConfig) -> str | None:
    if config.num_kv_heads != config.num_heads:
        return "num_kv_heads is not num_heads"
    return None if config.num_heads * config.d_k == config.d_model else "num_heads * d_k is not d_model"


def _all_biases(config: TransformerConfig) -> str | None:
    if config.qkv_bias is False:
        return "qkv_bias is False with bias True"
    return _square(config)


SHAPES = [
    Shape(
        "qwen3",
        "decoder",
        {**LLAMA, "qk_norm": True, "bias": False, "qkv_bias": (None, False), "rope_scaling": None},
        lambda config, stock: _llama(config, stock, pairs=False),
    ),
    Shape(
        "qwen2",
        "decoder",
        {**LLAMA, "bias": False, "qkv_bias": True, "rope_scaling": None},
        lambda config, stock: _llama(config, stock, pairs=False),
        # With other widths, or stretched, llama.cpp's llama takes it, which has the biases too.
        lambda config: None if config.num_heads * config.d_k == config.d_model else "d_k",
    ),
    Shape("llama", "decoder", LLAMA, _llama),
    Shape(
        "gpt2",
        "decoder",
        {
            "norm": "layer",
            "norm_place": "pre",
            "norm_bias": True,
            "embedding_norm": False,
            "final_norm": True,
            "activation": "gelu_tanh",
            "gated": False,
            "bias": True,
            "qk_norm": False,
            "position": "learned",
            "head": "lm",
            "head_bias": False,
        },
        _gpt2,
        _all_biases,
    ),
    Shape(
        "bert",
        "encoder",
        {
            "norm": "layer",
            "norm_place": "post",
            "norm_bias": True,
            "embedding_norm": True,
            "final_norm": False,
            "activation": ("gelu", "gelu_tanh"),
            "gated": False,
            "bias": True,
            "qk_norm": False,
            "position": ("learned", "sinusoidal"),
        },
        _bert,
        _all_biases,
    ),
]


def _reasons(config: TransformerConfig, shape: Shape) -> list[str]:
    found = []
    for switch, allowed in {**PLAIN, **shape.fixed}.items():
        allowed = allowed if isinstance(allowed, tuple) else (allowed,)
        value = getattr(config, switch)
        if value not in allowed:
            shown = " or ".join(repr(one) for one in allowed)
            found.append(f"{switch} is {value!r} (llama.cpp's {shape.name} has {shown})")
    if config.attention_scale is not None:
        found.append(f"attention_scale is {config.attention_scale} (llama.cpp has 1 / sqrt(d_k))")
    if config.d_embedding != config.d_model:
        found.append("d_embedding is not d_model")
    reason = shape.demands(config)
    return [*found, reason] if reason else found


def shape_of(config: TransformerConfig) -> Shape | None:
    """The architecture of llama.cpp that computes what these switches say, or None."""
    fits = (s for s in SHAPES if s.family == config.family and not _reasons(config, s))
    return next(fits, None)


def misfit(config: TransformerConfig, heads: Sequence[str]) -> str | None:
    """Why llama.cpp cannot compute this; None where it can.

    >>> misfit(TransformerConfig.default("decoder", activation="gelu"), ["words"])
    "activation is 'gelu' (llama.cpp's llama has 'silu')"
    """
    if config.family == "encdec":
        return "no encoder-decoder: liju writes the decoders and encoders of llama.cpp"
    if shape_of(config) is None:
        shapes = [shape for shape in SHAPES if shape.family == config.family]
        return "; ".join(min((_reasons(config, shape) for shape in shapes), key=len))
    others = sorted(set(heads) - {"words", "next_sentence", "label"})
    if config.family == "decoder" and set(heads) != {"words"}:
        return f"llama.cpp's {config.family} has no place for the head {min(set(heads) - {'words'})!r}"
    if others and "label" not in heads:
        return f"llama.cpp's encoder has no place for the head {others[0]!r}"
    return None
