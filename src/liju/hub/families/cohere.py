"""Cohere's Command R: the one class that computes PaLM (Chowdhery et al. 2022), whose own code is not public.

Attention and feed-forward side by side behind one norm without bias, shared heads of keys and values, tied
logits with a scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from liju.hub.families.llama import COPIES, LLAMA_KEYS, llama, rope_read, rope_write
from liju.hub.kinds import ANY, Kind, width_demands
from liju.hub.names import Name
from liju.model import TransformerConfig

__all__ = ["COHERE"]


def cohere(config: TransformerConfig, heads: Sequence[str], pooler: bool = False) -> list[Name]:
    """CohereForCausalLM: Llama's names with one norm a block; the pairs that turn are neighbours."""
    turned = {"W_q": config.num_heads, "W_k": config.num_kv_heads}
    names = []
    for name in llama(config, heads):
        part = name.ours[0].split(".")[-2]
        if "post_attention_layernorm" in name.theirs:
            continue
        names.append(Name(name.ours, name.theirs, "pairs", turned[part]) if part in turned else name)
    return names


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    scale = values.get("logit_scale", 0.0625)
    return {**rope_read(values, theta=500000.0), "logit_scale": None if scale == 1.0 else scale}


COHERE = Kind(
    model_type="cohere",
    family="decoder",
    fixed={
        "norm": "layer",
        "norm_place": "parallel",
        "norm_bias": False,
        "embedding_norm": False,
        "final_norm": True,
        "gated": True,
        "bias": False,
        "qkv_bias": (None, False),
        "qk_norm": False,
        "position": "rope",
        "rope_scaling": ANY,
        "num_types": 0,
        "head": "lm",
        "head_bias": False,
        "logit_scale": ANY,
        "tied": True,
        "pooler": False,
    },
    keys={
        **{switch: key for switch, key in LLAMA_KEYS.items() if switch != "tied"},
        "max_length": ("max_position_embeddings", 8192),
        "norm_eps": ("layer_norm_eps", 1e-5),
    },
    constants={"attention_bias": False, "use_qk_norm": False, "tie_word_embeddings": True},
    variants={"CohereForCausalLM": (("words",), False)},
    names=cohere,
    write=lambda config: {
        **rope_write(config),
        "logit_scale": 1.0 if config.logit_scale is None else config.logit_scale,
    },
    read=_read,
    demands=width_demands,
    copies=COPIES,
    prefix="model.",
    bare={"CohereModel": "CohereForCausalLM"},
)
