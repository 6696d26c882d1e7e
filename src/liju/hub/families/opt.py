"""OPT (Zhang et al. 2022): GPT-3 again, in the open. The 350m has its norms after, and narrow embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from liju.hub.kinds import ACTIVATIONS, REQUIRED, Kind, activation
from liju.hub.names import Name, weights
from liju.model import TransformerConfig

__all__ = ["OPT"]

BLOCK = [
    *((f"attention.W_{x}", f"self_attn.{x}_proj") for x in "qkv"),
    ("attention.W_o", "self_attn.out_proj"),
    ("norm_attention", "self_attn_layer_norm"),
    ("feedforward.W_1", "fc1"),
    ("feedforward.W_2", "fc2"),
    ("norm_feedforward", "final_layer_norm"),  # of the block, whatever its name says
]


def opt(config: TransformerConfig, heads: Sequence[str], pooler: bool = False) -> list[Name]:
    """OPTForCausalLM."""
    base = "model.decoder."
    names = [
        Name(("token.weight",), f"{base}embed_tokens.weight"),
        Name(("decoder.position.weight",), f"{base}embed_positions.weight"),
    ]
    if config.d_embedding != config.d_model:
        for name in ("project_in", "project_out"):
            names.append(Name((f"decoder.{name}.weight",), f"{base}{name}.weight"))
    for i in range(config.num_layers):
        names += weights([(f"decoder.blocks.{i}.{a}", f"{base}layers.{i}.{b}") for a, b in BLOCK])
    if config.final_norm:
        names += weights([("decoder.final_norm", f"{base}final_layer_norm")])
    return names


def _write(config: TransformerConfig) -> dict[str, Any]:
    return {
        "activation_function": ACTIVATIONS[config.activation],
        "do_layer_norm_before": config.norm_place == "pre",
        "_remove_final_layer_norm": config.norm_place == "pre" and not config.final_norm,
        "attention_dropout": config.dropout,
    }


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    before = values.get("do_layer_norm_before", True)
    return {
        "activation": activation(values.get("activation_function", "relu")),
        "norm_place": "pre" if before else "post",
        "final_norm": bool(before and not values.get("_remove_final_layer_norm", False)),
        "d_embedding": values.get("word_embed_proj_dim") or values["hidden_size"],
    }


def _demands(config: TransformerConfig) -> list[str]:
    found = []
    if config.num_kv_heads != config.num_heads:
        found.append("num_kv_heads is not num_heads")
    if config.num_heads * config.d_k != config.d_model:
        found.append("num_heads * d_k is not d_model")
    if config.norm_place == "post" and config.final_norm:
        found.append("final_norm with norm_place 'post'")
    return found


OPT = Kind(
    model_type="opt",
    family="decoder",
    fixed={
        "norm": "layer",
        "norm_place": ("pre", "post"),
        "norm_bias": True,
        "norm_eps": 1e-5,
        "embedding_norm": False,
        "gated": False,
        "bias": True,
        "qkv_bias": (None, True),
        "qk_norm": False,
        "position": "learned",
        "position_offset": 2,
        "num_types": 0,
        "tied": True,
        "head": "lm",
        "head_bias": False,
        "logit_scale": (None, 1.0),
        "pooler": False,
    },
    keys={
        "vocab_size": ("vocab_size", REQUIRED),
        "d_model": ("hidden_size", REQUIRED),
        "num_layers": ("num_hidden_layers", REQUIRED),
        "num_heads": ("num_attention_heads", REQUIRED),
        "d_ff": ("ffn_dim", REQUIRED),
        "max_length": ("max_position_embeddings", 2048),
        "d_embedding": ("word_embed_proj_dim", 0),
        "dropout": ("dropout", 0.1),
        "init_std": ("init_std", 0.02),
    },
    constants={"enable_bias": True, "layer_norm_elementwise_affine": True, "tie_word_embeddings": True},
    variants={"OPTForCausalLM": (("words",), False)},
    names=opt,
    write=_write,
    read=_read,
    demands=_demands,
    copies={"lm_head.weight": "model.decoder.embed_tokens.weight"},
    prefix="model.",
    bare={"OPTModel": "OPTForCausalLM"},
)
