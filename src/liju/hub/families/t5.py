"""T5 (Raffel et al. 2019), v1.0 and v1.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from liju.hub.kinds import ACTIVATIONS, REQUIRED, Kind, activation, heads_demands
from liju.hub.names import Name, weights
from liju.model import TransformerConfig

__all__ = ["T5"]


def t5(config: TransformerConfig, heads: Sequence[str], pooler: bool = False) -> list[Name]:
    """T5ForConditionalGeneration, v1.0 (tied) and v1.1 (gated, untied)."""
    names = [Name(("token.weight",), "shared.weight")]
    attention = [("W_q", "q"), ("W_k", "k"), ("W_v", "v"), ("W_o", "o")]
    # In a gated layer wi_0 is the half that goes through the activation.
    inner = [("W_gate", "wi_0"), ("W_1", "wi_1")] if config.gated else [("W_1", "wi")]
    for stack, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        relative = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        names.append(Name((f"{stack}.relative.weight",), relative))
        last = 1 if stack == "encoder" else 2
        for i in range(layers):
            ours, theirs = f"{stack}.blocks.{i}", f"{stack}.block.{i}.layer"
            rows = [(f"{ours}.attention.{a}", f"{theirs}.0.SelfAttention.{b}") for a, b in attention]
            rows.append((f"{ours}.norm_attention", f"{theirs}.0.layer_norm"))
            if stack == "decoder":
                rows += [
                    (f"{ours}.cross_attention.{a}", f"{theirs}.1.EncDecAttention.{b}") for a, b in attention
                ]
                rows.append((f"{ours}.norm_cross", f"{theirs}.1.layer_norm"))
            rows += [
                (f"{ours}.feedforward.{a}", f"{theirs}.{last}.DenseReluDense.{b}")
                for a, b in [*inner, ("W_2", "wo")]
            ]
            rows.append((f"{ours}.norm_feedforward", f"{theirs}.{last}.layer_norm"))
            names += weights(rows, bias=False)
        names += weights([(f"{stack}.final_norm", f"{stack}.final_layer_norm")], bias=False)
    if not config.tied:
        names += weights([("heads.words.projection", "lm_head")], bias=False)
    return names


def _t5_write(config: TransformerConfig) -> dict[str, Any]:
    # "gated-gelu" is the tanh form, by transformers' own exception for the files of 2020.
    shape = ACTIVATIONS[config.activation]
    if config.gated:
        shape = "gated-gelu" if config.activation == "gelu_tanh" else f"gated-{shape}"
    return {"feed_forward_proj": shape, "tie_word_embeddings": config.tied, "is_encoder_decoder": True}


def _t5_read(values: Mapping[str, Any]) -> dict[str, Any]:
    gate, _, shape = values.get("feed_forward_proj", "relu").rpartition("-")
    if gate not in ("", "gated"):
        raise ValueError(f"feed_forward_proj is {values['feed_forward_proj']!r}")
    tied = values.get("tie_word_embeddings", True) is not False
    # transformers 5 writes tie_word_embeddings = true whatever it was, and keeps this beside it.
    tied = tied and values.get("scale_decoder_outputs", True) is not False
    return {
        "gated": bool(gate),
        "activation": "gelu_tanh" if gate and shape == "gelu" else activation(shape),
        "tied": tied,
        "logit_scale": values["d_model"] ** -0.5 if tied else None,
        "num_decoder_layers": values.get("num_decoder_layers") or values["num_layers"],
    }


def _t5_demands(config: TransformerConfig) -> list[str]:
    found = heads_demands(config)
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
    copies={
        "encoder.embed_tokens.weight": "shared.weight",
        "decoder.embed_tokens.weight": "shared.weight",
        "lm_head.weight": "shared.weight",
        "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": None,
    },
    bare={"T5Model": "T5ForConditionalGeneration", "T5WithLMHeadModel": "T5ForConditionalGeneration"},
)
