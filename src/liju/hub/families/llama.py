"""Llama (Touvron et al. 2023), Mistral, Qwen2 and Qwen3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from liju.hub.kinds import ACTIVATIONS, ANY, SIZES, Kind, activation, width_demands
from liju.hub.names import Name, weights
from liju.model import TransformerConfig

__all__ = [
    "COPIES",
    "LLAMA",
    "LLAMA_KEYS",
    "MISTRAL",
    "QWEN2",
    "QWEN3",
    "llama",
    "rope_read",
    "rope_write",
]


def llama(config: TransformerConfig, heads: Sequence[str], pooler: bool = False) -> list[Name]:
    """LlamaForCausalLM, and Qwen2 (biases on W_q, W_k, W_v) and Qwen3 (norms on queries and keys)."""
    qkv_bias = config.bias if config.qkv_bias is None else config.qkv_bias
    names = [Name(("token.weight",), "model.embed_tokens.weight")]
    for i in range(config.num_layers):

        def block(rows: list[tuple[str, str]], bias: bool = False, i: int = i) -> Iterator[Name]:
            pairs = [(f"decoder.blocks.{i}.{ours}", f"model.layers.{i}.{theirs}") for ours, theirs in rows]
            return weights(pairs, bias)

        names += block([(f"attention.W_{x}", f"self_attn.{x}_proj") for x in "qkv"], qkv_bias)
        names += block([("attention.W_o", "self_attn.o_proj")], config.bias)
        if config.qk_norm:
            names += block([(f"attention.norm_{x}", f"self_attn.{x}_norm") for x in "qk"])
        feedforward = [("W_gate", "gate_proj"), ("W_1", "up_proj"), ("W_2", "down_proj")]
        names += block([(f"feedforward.{a}", f"mlp.{b}") for a, b in feedforward], config.bias)
        names += block(
            [("norm_attention", "input_layernorm"), ("norm_feedforward", "post_attention_layernorm")]
        )
    names += weights([("decoder.final_norm", "model.norm")], bias=False)
    if not config.tied:
        names += weights([("heads.words.projection", "lm_head")], bias=False)
    return names


SCALING = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


def _scaling(config: TransformerConfig) -> dict[str, Any]:
    """How positions are stretched (Llama 3.1)."""
    if config.rope_scaling is None:
        return {"rope_type": "default"}
    values = dict(zip(SCALING, config.rope_scaling, strict=True))
    return {"rope_type": "llama3", **values, SCALING[3]: int(values[SCALING[3]])}


def rope_write(config: TransformerConfig) -> dict[str, Any]:
    """The activation and the rotation, for config.json."""
    return {
        "hidden_act": ACTIVATIONS[config.activation],
        "rope_theta": config.rope_theta,  # read by transformers 4 and most other engines
        "rope_parameters": {"rope_theta": config.rope_theta, **_scaling(config)},
        "attention_dropout": config.dropout,
    }


def rope_read(values: Mapping[str, Any], theta: float = 10000.0) -> dict[str, Any]:
    """The same from config.json; `theta` where it does not say.

    Raises ValueError for a rotation that no switch expresses."""
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    scaling = None
    if kind == "llama3":
        if missing := [key for key in SCALING if key not in rope]:
            raise ValueError(f"rope_parameters has no {missing[0]!r}")
        scaling = tuple(float(rope[key]) for key in SCALING)
    elif kind != "default":
        raise ValueError(f"rope_parameters.rope_type is {kind!r}, and liju has default and llama3")
    return {
        "activation": activation(values.get("hidden_act", "silu")),
        "rope_theta": rope.get("rope_theta") or values.get("rope_theta") or theta,
        "rope_scaling": scaling,
        "dropout": values.get("attention_dropout") or 0.0,
    }


def _llama_shape(config: TransformerConfig) -> list[str]:
    found = width_demands(config)
    if config.d_model % config.num_heads:
        found.append("d_model is not a multiple of num_heads")
    if config.bias and config.qkv_bias is False:
        found.append("qkv_bias is False with bias True")
    return found


LLAMA_FIXED: dict[str, Any] = {
    "rope_scaling": ANY,
    "norm": "rms",
    "norm_place": "pre",
    "norm_bias": (False, True),  # an RMS norm has none
    "embedding_norm": False,
    "final_norm": True,
    "gated": True,
    "qk_norm": False,
    "position": "rope",
    "num_types": 0,
    "head": "lm",
    "head_bias": False,
    "logit_scale": (None, 1.0),
    "pooler": False,
}
LLAMA_KEYS: dict[str, tuple[str, Any]] = {
    **SIZES,
    "num_kv_heads": ("num_key_value_heads", 0),
    "d_k": ("head_dim", 0),
    "max_length": ("max_position_embeddings", 2048),
    "norm_eps": ("rms_norm_eps", 1e-6),
    "tied": ("tie_word_embeddings", False),
}
COPIES = {"lm_head.weight": "model.embed_tokens.weight"}
# Tables that files of early 2023 hold.
FREQUENCIES = r"\.rotary_emb\.inv_freq$"
LLAMA = Kind(
    model_type="llama",
    family="decoder",
    fixed={**LLAMA_FIXED, "bias": (False, True), "qkv_bias": (None, False, True)},
    keys={**LLAMA_KEYS, "bias": ("attention_bias", False)},
    constants={"pretraining_tp": 1},
    variants={"LlamaForCausalLM": (("words",), False)},
    names=llama,
    write=lambda config: {**rope_write(config), "mlp_bias": config.bias},
    read=lambda values: {**_same_bias(values), **rope_read(values), "qkv_bias": None},
    demands=lambda config: _llama_shape(config) + _only_qkv(config),
    copies=COPIES,
    ignored=FREQUENCIES,
    prefix="model.",
    bare={"LlamaModel": "LlamaForCausalLM"},
)


def _same_bias(values: Mapping[str, Any]) -> dict[str, Any]:
    if bool(values.get("attention_bias")) != bool(values.get("mlp_bias")):
        raise ValueError("attention_bias and mlp_bias differ, and liju has one switch for both")
    return {}


def _only_qkv(config: TransformerConfig) -> list[str]:
    return ["qkv_bias is True with bias False"] if config.qkv_bias and not config.bias else []


def _mistral_read(values: Mapping[str, Any]) -> dict[str, Any]:
    # Their window counts the place itself; a file that does not name it has one of 4096.
    window = values.get("sliding_window", 4096)
    if window is not None and window < 2:
        raise ValueError(f"sliding_window is {window}, and liju's windows see one place back at least")
    return {**rope_read(values), "window": 0 if window is None else window - 1}


# Without a window it is llama, which is preferred for writing.
MISTRAL = Kind(
    model_type="mistral",
    family="decoder",
    fixed={**LLAMA_FIXED, "bias": False, "qkv_bias": (None, False), "window": ANY},
    keys={**LLAMA_KEYS, "max_length": ("max_position_embeddings", 4096 * 32)},
    constants={"attention_bias": False},
    variants={"MistralForCausalLM": (("words",), False)},
    names=llama,
    write=lambda config: {
        **rope_write(config),
        "sliding_window": config.window + 1 if config.window else None,
    },
    read=_mistral_read,
    demands=_llama_shape,
    copies=COPIES,
    ignored=FREQUENCIES,
    prefix="model.",
    bare={"MistralModel": "MistralForCausalLM"},
)
QWEN2 = Kind(
    model_type="qwen2",
    family="decoder",
    fixed={**LLAMA_FIXED, "bias": False, "qkv_bias": True},
    keys={**LLAMA_KEYS, "max_length": ("max_position_embeddings", 32768)},
    constants={"use_sliding_window": False},
    variants={"Qwen2ForCausalLM": (("words",), False)},
    names=llama,
    write=rope_write,
    read=rope_read,
    demands=_llama_shape,
    copies=COPIES,
    ignored=FREQUENCIES,
    prefix="model.",
    bare={"Qwen2Model": "Qwen2ForCausalLM"},
)
QWEN3 = Kind(
    model_type="qwen3",
    family="decoder",
    fixed={**LLAMA_FIXED, "bias": False, "qkv_bias": (None, False), "qk_norm": True},
    keys={
        **LLAMA_KEYS,
        "max_length": ("max_position_embeddings", 32768),
        "d_k": ("head_dim", 128),
    },
    constants={"use_sliding_window": False, "attention_bias": False},
    variants={"Qwen3ForCausalLM": (("words",), False)},
    names=llama,
    write=rope_write,
    read=rope_read,
    demands=_llama_shape,
    copies=COPIES,
    ignored=FREQUENCIES,
    prefix="model.",
    bare={"Qwen3Model": "Qwen3ForCausalLM"},
)
