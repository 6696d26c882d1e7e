"""ModernBERT (Warner et al. 2024, arXiv:2412.13663): two speeds of rotary positions, windows, gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from liju.hub.kinds import ACTIVATIONS, ANY, SIZES, Kind, activation, heads_demands
from liju.hub.names import Name, weights
from liju.model import TransformerConfig

__all__ = ["MODERNBERT"]


def modernbert(config: TransformerConfig, heads: Sequence[str], pooler: bool = False) -> list[Name]:
    """ModernBertForMaskedLM, and ModernBertModel (no heads)."""
    base = "model." if heads else ""
    names = [Name(("token.weight",), f"{base}embeddings.tok_embeddings.weight")]
    names += weights([("encoder.embedding_norm", f"{base}embeddings.norm")], config.norm_bias)
    for i in range(config.num_layers):
        ours, theirs = f"encoder.blocks.{i}", f"{base}layers.{i}"
        if i:  # the first attention has no norm before it: the embeddings' own has just been
            names += weights([(f"{ours}.norm_attention", f"{theirs}.attn_norm")], config.norm_bias)
        qkv = tuple(f"{ours}.attention.W_{x}.weight" for x in "qkv")
        names.append(Name(qkv, f"{theirs}.attn.Wqkv.weight"))
        names.append(Name((f"{ours}.attention.W_o.weight",), f"{theirs}.attn.Wo.weight"))
        names += weights([(f"{ours}.norm_feedforward", f"{theirs}.mlp_norm")], config.norm_bias)
        # The half that goes through the activation is the first.
        gate = tuple(f"{ours}.feedforward.{part}.weight" for part in ("W_gate", "W_1"))
        names.append(Name(gate, f"{theirs}.mlp.Wi.weight"))
        names.append(Name((f"{ours}.feedforward.W_2.weight",), f"{theirs}.mlp.Wo.weight"))
    names += weights([("encoder.final_norm", f"{base}final_norm")], config.norm_bias)
    if "words" in heads:
        names.append(Name(("heads.words.dense.weight",), "head.dense.weight"))
        names += weights([("heads.words.norm", "head.norm")], config.norm_bias)
        if config.head_bias:
            names.append(Name(("heads.words.bias",), "decoder.bias"))
    return names


def _local(config: TransformerConfig) -> list[bool]:
    """Which blocks see a window only."""
    every = config.global_every
    return [bool(config.window and (not every or i % every)) for i in range(config.num_layers)]


def _write(config: TransformerConfig) -> dict[str, Any]:
    return {
        "hidden_activation": ACTIVATIONS[config.activation],
        "classifier_activation": ACTIVATIONS[config.activation],
        "layer_types": ["sliding_attention" if local else "full_attention" for local in _local(config)],
        "global_attn_every_n_layers": config.global_every or 1,
        "local_attention": 2 * config.window or 128,
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": config.rope_theta},
            "sliding_attention": {
                "rope_type": "default",
                "rope_theta": config.rope_theta_local or config.rope_theta,
            },
        },
        **dict.fromkeys(("embedding_dropout", "attention_dropout", "mlp_dropout"), config.dropout),
    }


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    types = values.get("layer_types")
    every = values.get("global_attn_every_n_layers", 3)
    if types:
        whole = [i for i, kind in enumerate(types) if kind == "full_attention"]
        every = whole[1] if len(whole) > 1 else len(types)
        if whole != list(range(0, len(types), every)):
            raise ValueError("layer_types is not every n-th from the first, and liju has no such switch")
    inner = values.get("hidden_activation", "gelu")
    if values.get("classifier_activation", "gelu") != inner:
        raise ValueError("classifier_activation is not hidden_activation, and liju has one switch for both")
    ropes = values.get("rope_parameters") or {}

    def theta(kind: str, old: str, default: float) -> float:
        return float((ropes.get(kind) or {}).get("rope_theta") or values.get(old) or default)

    return {
        "activation": activation(inner),
        "window": 0 if every == 1 else values.get("local_attention", 128) // 2,
        "global_every": 0 if every == 1 else every,
        "rope_theta": theta("full_attention", "global_rope_theta", 160000.0),
        "rope_theta_local": theta("sliding_attention", "local_rope_theta", 10000.0),
        "dropout": values.get("attention_dropout", 0.0),
    }


def _demands(config: TransformerConfig) -> list[str]:
    found = heads_demands(config)
    if config.num_heads * config.d_k != config.d_model:
        found.append("num_heads * d_k is not d_model")
    if config.window and not config.global_every:
        found.append("a window in every block (modernbert has global ones between)")
    return found


MODERNBERT = Kind(
    model_type="modernbert",
    family="encoder",
    fixed={
        "norm": "layer",
        "norm_place": "pre",
        "embedding_norm": True,
        "final_norm": True,
        "first_norm": False,
        "gated": True,
        "bias": False,
        "qkv_bias": (None, False),
        "qk_norm": False,
        "position": "rope",
        "rope_theta_local": ANY,
        "window": ANY,
        "global_every": ANY,
        "num_types": 0,
        "tied": True,
        "head": ("mlm", "none"),
        "logit_scale": (None, 1.0),
    },
    keys={
        **SIZES,
        "max_length": ("max_position_embeddings", 8192),
        "norm_eps": ("norm_eps", 1e-5),
        "norm_bias": ("norm_bias", False),
        "head_bias": ("decoder_bias", True),
    },
    constants={
        "attention_bias": False,
        "mlp_bias": False,
        "classifier_bias": False,
        "tie_word_embeddings": True,
    },
    variants={
        "ModernBertForMaskedLM": (("words",), False),
        "ModernBertModel": ((), False),
    },
    names=modernbert,
    write=_write,
    read=_read,
    demands=_demands,
    copies={"decoder.weight": "model.embeddings.tok_embeddings.weight"},
    prefix="model.",
)
