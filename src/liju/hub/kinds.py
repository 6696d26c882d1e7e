"""The model types of transformers that liju reads and writes, as data: which switches each one fixes, what
the others are called in config.json, which classes it has.

>>> sorted(KINDS)
['bert', 'llama', 'qwen2', 'qwen3', 't5']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from liju.hub.names import Name, bert, llama, t5
from liju.model import TransformerConfig

__all__ = ["KINDS", "PLAIN", "REQUIRED", "Kind"]

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_tanh": "gelu_new",
    "relu": "relu",
    "relu2": "relu2",
    "silu": "silu",
}
ACTIVATIONS_IN = {
    **{theirs: ours for ours, theirs in ACTIVATIONS.items()},
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "swish": "silu",
}


@dataclass(frozen=True)
class Kind:
    """A `model_type` of transformers.

    fixed:     switches that it has no choice of: the value, or a tuple of values.
    keys:      our switch -> (their key, its value when a file leaves it out).
    constants: their key -> the only value that we can read (others change the function).
    variants:  their class -> the heads it has, and whether it has a pooler.
    names:     the table of weights.
    write, read: the keys that are more than a name; `demands` are conditions on several switches.
    """

    model_type: str
    family: str
    fixed: Mapping[str, Any]
    keys: Mapping[str, tuple[str, Any]]
    constants: Mapping[str, Any]
    variants: Mapping[str, tuple[tuple[str, ...], bool]]
    names: Callable[[TransformerConfig, Sequence[str], bool], list[Name]]
    write: Callable[[TransformerConfig], dict[str, Any]]
    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    demands: Callable[[TransformerConfig], list[str]] = field(default=lambda config: [])


def _activation(name: Any) -> str:
    if name not in ACTIVATIONS_IN:
        raise ValueError(f"unknown activation {name!r}")
    return ACTIVATIONS_IN[name]


REQUIRED = object()

# What no architecture below changes.
PLAIN: dict[str, Any] = {
    "window": 0,
    "global_every": 0,
    "embedding_scale": False,
    "softcap": 0.0,
    "first_norm": True,
    "position_offset": 0,
}

SIZES = {
    "vocab_size": ("vocab_size", REQUIRED),
    "d_model": ("hidden_size", REQUIRED),
    "num_layers": ("num_hidden_layers", REQUIRED),
    "num_heads": ("num_attention_heads", REQUIRED),
    "d_ff": ("intermediate_size", REQUIRED),
    "init_std": ("initializer_range", 0.02),
}


def _width(config: TransformerConfig) -> list[str]:
    return [] if config.d_embedding == config.d_model else ["d_embedding is not d_model"]


def _heads(config: TransformerConfig) -> list[str]:
    found = _width(config)
    if config.num_kv_heads != config.num_heads:
        found.append("num_kv_heads is not num_heads")
    return found


def _bert_demands(config: TransformerConfig) -> list[str]:
    found = _heads(config)
    if config.num_heads * config.d_k != config.d_model:
        found.append("num_heads * d_k is not d_model")
    if config.head == "mlm" and not config.head_bias:
        found.append("head_bias is False (bert has True)")
    return found


def _bert_write(config: TransformerConfig) -> dict[str, Any]:
    return {
        "type_vocab_size": max(1, config.num_types),
        "hidden_act": ACTIVATIONS[config.activation],
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
    }


def _bert_read(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "position": "learned",
        "num_types": values.get("type_vocab_size", 2),
        "activation": _activation(values.get("hidden_act", "gelu")),
        "dropout": values.get("hidden_dropout_prob", 0.1),
    }


BERT = Kind(
    model_type="bert",
    family="encoder",
    fixed={
        "norm": "layer",
        "norm_place": "post",
        "norm_bias": True,
        "embedding_norm": True,
        "final_norm": False,
        "gated": False,
        "bias": True,
        "qkv_bias": (None, True),
        "qk_norm": False,
        "position": ("learned", "sinusoidal", "none"),
        "tied": True,
        "head": ("mlm", "none"),
        "logit_scale": (None, 1.0),
    },
    keys={
        **SIZES,
        "max_length": ("max_position_embeddings", 512),
        "norm_eps": ("layer_norm_eps", 1e-12),
    },
    constants={
        "is_decoder": False,
        "add_cross_attention": False,
        "position_embedding_type": "absolute",
        "tie_word_embeddings": True,
    },
    variants={
        "BertForSequenceClassification": (("label",), True),
        "BertForPreTraining": (("words", "next_sentence"), True),
        "BertForMaskedLM": (("words",), False),
        "BertModel": ((), True),
    },
    names=bert,
    write=_bert_write,
    read=_bert_read,
    demands=_bert_demands,
)


def _llama_write(config: TransformerConfig) -> dict[str, Any]:
    return {
        "hidden_act": ACTIVATIONS[config.activation],
        "rope_theta": config.rope_theta,  # read by transformers 4 and most other engines
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "attention_dropout": config.dropout,
    }


def _llama_read(values: Mapping[str, Any]) -> dict[str, Any]:
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise ValueError(f"rope_parameters.rope_type is {kind!r}, and liju has no such switch")
    return {
        "activation": _activation(values.get("hidden_act", "silu")),
        "rope_theta": values.get("rope_theta") or rope.get("rope_theta") or 10000.0,
        "dropout": values.get("attention_dropout") or 0.0,
    }


def _llama_shape(config: TransformerConfig) -> list[str]:
    found = _width(config)
    if config.d_model % config.num_heads:
        found.append("d_model is not a multiple of num_heads")
    if config.bias and config.qkv_bias is False:
        found.append("qkv_bias is False with bias True")
    return found


LLAMA_FIXED: dict[str, Any] = {
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
LLAMA = Kind(
    model_type="llama",
    family="decoder",
    fixed={**LLAMA_FIXED, "bias": (False, True), "qkv_bias": (None, False, True)},
    keys={**LLAMA_KEYS, "bias": ("attention_bias", False)},
    constants={"pretraining_tp": 1},
    variants={"LlamaForCausalLM": (("words",), False)},
    names=llama,
    write=lambda config: {**_llama_write(config), "mlp_bias": config.bias},
    read=lambda values: {**_same_bias(values), **_llama_read(values), "qkv_bias": None},
    demands=lambda config: _llama_shape(config) + _only_qkv(config),
)


def _same_bias(values: Mapping[str, Any]) -> dict[str, Any]:
    if bool(values.get("attention_bias")) != bool(values.get("mlp_bias")):
        raise ValueError("attention_bias and mlp_bias differ, and liju has one switch for both")
    return {}


def _only_qkv(config: TransformerConfig) -> list[str]:
    return ["qkv_bias is True with bias False"] if config.qkv_bias and not config.bias else []


QWEN2 = Kind(
    model_type="qwen2",
    family="decoder",
    fixed={**LLAMA_FIXED, "bias": False, "qkv_bias": True},
    keys={**LLAMA_KEYS, "max_length": ("max_position_embeddings", 32768)},
    constants={"use_sliding_window": False},
    variants={"Qwen2ForCausalLM": (("words",), False)},
    names=llama,
    write=_llama_write,
    read=_llama_read,
    demands=_llama_shape,
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
    write=_llama_write,
    read=_llama_read,
    demands=_llama_shape,
)


def _t5_write(config: TransformerConfig) -> dict[str, Any]:
    # "gated-gelu" is the tanh form, by transformers' own exception for the files of 2020.
    activation = ACTIVATIONS[config.activation]
    if config.gated:
        activation = "gated-gelu" if config.activation == "gelu_tanh" else f"gated-{activation}"
    return {"feed_forward_proj": activation, "tie_word_embeddings": config.tied, "is_encoder_decoder": True}


def _t5_read(values: Mapping[str, Any]) -> dict[str, Any]:
    gate, _, activation = values.get("feed_forward_proj", "relu").rpartition("-")
    if gate not in ("", "gated"):
        raise ValueError(f"feed_forward_proj is {values['feed_forward_proj']!r}")
    tied = values.get("tie_word_embeddings", True) is not False
    # transformers 5 writes tie_word_embeddings = true whatever it was, and keeps this beside it.
    tied = tied and values.get("scale_decoder_outputs", True) is not False
    return {
        "gated": bool(gate),
        "activation": "gelu_tanh" if gate and activation == "gelu" else _activation(activation),
        "tied": tied,
        "logit_scale": values["d_model"] ** -0.5 if tied else None,
        "num_decoder_layers": values.get("num_decoder_layers") or values["num_layers"],
    }


def _t5_demands(config: TransformerConfig) -> list[str]:
    found = _heads(config)
    if config.gated and config.activation == "gelu":
        found.append("activation is 'gelu' in a gated layer (t5 has 'gelu_tanh')")
    wanted = config.d_model**-0.5 if config.tied else None
    scale = config.logit_scale
    if (scale in (None, 1.0)) != (wanted is None) or (scale and wanted and abs(scale - wanted) > 1e-12):
        found.append(f"logit_scale is {scale} (t5 has {wanted} when tied is {config.tied})")
    return found


T5 = Kind(
    model_type="t5",
    family="encdec",
    fixed={
        "norm": "rms",
        "norm_place": "pre",
        "norm_bias": (False, True),
        "embedding_norm": False,
        "final_norm": True,
        "bias": False,
        "qkv_bias": (None, False),
        "qk_norm": False,
        "attention_scale": 1.0,
        "position": "relative",
        "num_types": 0,
        "head": "lm",
        "head_bias": False,
        "pooler": False,
    },
    keys={
        "vocab_size": ("vocab_size", REQUIRED),
        "d_model": ("d_model", REQUIRED),
        "num_layers": ("num_layers", REQUIRED),
        "num_decoder_layers": ("num_decoder_layers", 0),
        "num_heads": ("num_heads", REQUIRED),
        "d_k": ("d_kv", 64),
        "d_ff": ("d_ff", REQUIRED),
        "norm_eps": ("layer_norm_epsilon", 1e-6),
        "relative_buckets": ("relative_attention_num_buckets", 32),
        "relative_max_distance": ("relative_attention_max_distance", 128),
        "max_length": ("n_positions", 512),
        "dropout": ("dropout_rate", 0.1),
    },
    constants={},
    variants={"T5ForConditionalGeneration": (("words",), False)},
    names=t5,
    write=_t5_write,
    read=_t5_read,
    demands=_t5_demands,
)

# In order of preference.
KINDS: dict[str, Kind] = {kind.model_type: kind for kind in (BERT, LLAMA, QWEN2, QWEN3, T5)}
