"""CTranslate2: its specification of a Transformer, filled from a table of our names and its own.

>>> from liju.model import TransformerConfig
>>> misfit(TransformerConfig.default("encdec", vocab_size=11, d_model=8, num_heads=2), ["words"])
>>> misfit(TransformerConfig(vocab_size=11), ["words"])
'CTranslate2 is for models that write'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from liju.errors import MissingExtra
from liju.hub.engines.stock import Stock
from liju.model import TransformerConfig, positional_encoding

__all__ = ["load_ctranslate2", "misfit", "specification"]

ACTIVATIONS = {"relu": "RELU", "gelu": "GELU", "gelu_tanh": "GELUTanh", "silu": "SWISH"}


def misfit(config: TransformerConfig, heads: Sequence[str]) -> str | None:
    """Why CTranslate2 cannot compute this; None where it can."""
    if config.family == "encoder":
        return "CTranslate2 is for models that write"
    found = []
    if "words" not in heads or config.head != "lm":
        found.append(f"head is {config.head!r} (it has 'lm')")
    if config.activation not in ACTIVATIONS:
        found.append(f"activation is {config.activation!r} (it has {', '.join(ACTIVATIONS)})")
    if config.window:
        found.append(f"window is {config.window} (it has none)")
    if config.value_residual:
        found.append("value_residual is True (it has none)")
    if not config.first_norm:
        found.append("first_norm is False (its blocks all have one)")
    if config.norm_place == "post" and config.final_norm:
        found.append("final_norm is True with norm_place 'post'")
    if config.norm_place == "parallel" and config.norm == "rms":
        found.append("norm is 'rms' with norm_place 'parallel' (it has 'layer')")
    if config.norm_place == "parallel" and not config.final_norm:
        found.append("final_norm is False with norm_place 'parallel'")
    if config.position == "relative" and config.family == "decoder":
        found.append("position is 'relative' in a decoder (it has that in encoder-decoders)")
    if config.family == "encdec" and config.qk_norm:
        found.append("qk_norm is True in an encoder-decoder (its cross-attention has none)")
    if config.position == "relative" and config.num_kv_heads != config.num_heads:
        found.append("num_kv_heads is not num_heads with position 'relative'")
    if _stretched(config) and config.family == "encdec":
        found.append("rope_scaling in an encoder-decoder (it has that in decoders)")
    if config.num_types:
        found.append(f"num_types is {config.num_types} (it has none)")
    if config.d_embedding != config.d_model and config.family == "encdec":
        found.append("d_embedding is not d_model in an encoder-decoder")
    others = sorted(set(heads) - {"words"})
    if others:
        found.append(f"it has no place for the head {others[0]!r}")
    return "; ".join(found) or None


def _stretched(config: TransformerConfig) -> tuple[float, float, float, float] | None:
    """How rotations are stretched, where there are rotations."""
    return config.rope_scaling if config.position == "rope" else None


def load_ctranslate2() -> Any:
    """The package ctranslate2. Raises MissingExtra where it is not installed."""
    try:
        import ctranslate2
        import ctranslate2.specs
    except ImportError:
        raise MissingExtra("ctranslate2", extra="ctranslate2") from None
    return ctranslate2


def specification(config: TransformerConfig, stock: Stock) -> Any:
    """CTranslate2's specification of this model, with its weights. Vocabularies are not in it yet.

    Raises MissingExtra where ctranslate2 is not installed.
    """
    specs = load_ctranslate2().specs.transformer_spec
    common = load_ctranslate2().specs.common_spec
    shared: dict[str, Any] = {
        "pre_norm": config.norm_place != "post",
        "no_final_norm": not config.final_norm,
        "activation": common.Activation[ACTIVATIONS[config.activation]],
        "layernorm_embedding": config.embedding_norm,
        "relative_attention_bias": config.position == "relative",
        "ffn_glu": config.gated,
        "rms_norm": config.norm == "rms",
        "num_heads_kv": None if config.num_kv_heads == config.num_heads else config.num_kv_heads,
        "head_dim": config.d_k,
        "qk_norm": config.qk_norm,
    }
    if config.position == "rope":
        shared |= {"rotary_dim": config.d_k, "rotary_interleave": False, "rotary_base": config.rope_theta}
    if stretched := _stretched(config):
        kind = load_ctranslate2().specs.attention_spec.RotaryScalingType.Llama3
        length = int(stretched[3])
        shared |= {"rotary_scaling_type": kind, "original_max_position_embeddings": length}
    parallel = config.norm_place == "parallel"
    decoder = specs.TransformerDecoderSpec(
        config.decoder_layers,
        config.num_heads,
        with_encoder_attention=config.has_encoder,
        project_in_out=config.d_embedding != config.d_model,
        parallel_residual=parallel,
        shared_layer_norm=parallel,
        **shared,
    )
    _stack(decoder, config, stock, "decoder")
    if config.d_embedding != config.d_model:
        _linear(decoder.project_in, stock, "decoder.project_in")
        _linear(decoder.project_out, stock, "decoder.project_out")
    tied = "heads.words.projection.weight" not in stock
    decoder.projection.weight = stock["token.weight" if tied else "heads.words.projection.weight"]
    if "heads.words.bias" in stock:
        decoder.projection.bias = stock["heads.words.bias"]
    if config.logit_scale not in (None, 1.0):
        decoder.scale_outputs = np.float32(config.logit_scale)
    if config.softcap:
        decoder.final_logit_softcapping = np.float32(config.softcap)
    if not config.has_encoder:
        spec = specs.TransformerDecoderModelSpec(decoder)
    else:
        encoder = specs.TransformerEncoderSpec(config.encoder_layers, config.num_heads, **shared)
        _stack(encoder, config, stock, "encoder")
        spec = specs.TransformerSpec(encoder, decoder)
    spec.config.layer_norm_epsilon = config.norm_eps
    return spec


def _stack(spec: Any, config: TransformerConfig, stock: Stock, side: str) -> None:
    embeddings = spec.embeddings[0] if isinstance(spec.embeddings, list) else spec.embeddings
    embeddings.weight = stock["token.weight"]
    spec.scale_embeddings = np.float32(config.d_model**0.5) if config.embedding_scale else False
    if config.position == "learned":
        table = stock[f"{side}.position.weight"][config.position_offset :]
    elif config.position == "sinusoidal":
        table = positional_encoding(config.max_length, config.d_model, halves=config.sinusoid_halves)
        table = table.float().numpy()
    else:  # a specification without a table means sinusoids
        table = np.zeros((config.max_length, config.d_model), np.float32)
    if hasattr(spec, "position_encodings"):
        spec.position_encodings.encodings = np.ascontiguousarray(table)
    if config.embedding_norm:
        _norm(spec.layernorm_embedding, stock, f"{side}.embedding_norm")
    if config.final_norm:
        _norm(spec.layer_norm, stock, f"{side}.final_norm")
    for i, layer in enumerate(spec.layer):
        ours = f"{side}.blocks.{i}"
        _attention(layer.self_attention, config, stock, f"{ours}.attention", fused=3)
        if config.position == "relative":
            layer.self_attention.relative_attention_bias = stock[f"{side}.relative.weight"]
            layer.self_attention.relative_attention_max_distance = np.int32(config.relative_max_distance)
        if config.norm_place == "parallel":
            _norm(layer.shared_layer_norm, stock, f"{ours}.norm_attention")
        else:
            _norm(layer.self_attention.layer_norm, stock, f"{ours}.norm_attention")
            _norm(layer.ffn.layer_norm, stock, f"{ours}.norm_feedforward")
        if side == "decoder" and config.has_encoder:
            _attention(layer.attention, config, stock, f"{ours}.cross_attention", fused=1)
            _norm(layer.attention.layer_norm, stock, f"{ours}.norm_cross")
        if config.gated:
            _linear(layer.ffn.linear_0, stock, f"{ours}.feedforward.W_gate")
            _linear(layer.ffn.linear_0_noact, stock, f"{ours}.feedforward.W_1")
        else:
            _linear(layer.ffn.linear_0, stock, f"{ours}.feedforward.W_1")
        _linear(layer.ffn.linear_1, stock, f"{ours}.feedforward.W_2")


def _attention(spec: Any, config: TransformerConfig, stock: Stock, ours: str, fused: int) -> None:
    """Self-attention has one matrix for queries, keys and values; cross-attention one for queries, one for
    the two others."""
    if config.attention_scale is not None:
        spec.queries_scale = np.float32(config.attention_scale)
    if stretched := _stretched(config):
        factor, low, high, _ = map(np.float32, stretched)
        spec.rotary_low_freq_factor, spec.rotary_high_freq_factor = low, high
        vars(spec)["rotary_scaling_factor"] = factor  # its engine reads it; its specification forgets it
    _linear(spec.linear[0], stock, *(f"{ours}.W_{x}" for x in "qkv"[:fused]))
    if fused == 1:
        _linear(spec.linear[1], stock, f"{ours}.W_k", f"{ours}.W_v")
    _linear(spec.linear[-1], stock, f"{ours}.W_o")
    if config.qk_norm:
        _norm(spec.q_norm, stock, f"{ours}.norm_q")
        _norm(spec.k_norm, stock, f"{ours}.norm_k")


def _linear(spec: Any, stock: Stock, *ours: str) -> None:
    spec.weight = np.concatenate([stock[f"{name}.weight"] for name in ours])
    if f"{ours[0]}.bias" in stock:
        spec.bias = np.concatenate([stock[f"{name}.bias"] for name in ours])


def _norm(spec: Any, stock: Stock, ours: str) -> None:
    spec.gamma = stock[f"{ours}.weight"]
    if hasattr(spec, "beta"):
        spec.beta = stock[f"{ours}.bias"] if f"{ours}.bias" in stock else np.zeros_like(spec.gamma)
