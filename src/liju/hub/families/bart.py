"""BART (Lewis et al. 2019) and Marian (Junczys-Dowmunt et al. 2018): the Transformer of 2017, post-norm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from liju.hub.kinds import ACTIVATIONS, REQUIRED, Kind, activation, heads_demands
from liju.hub.names import Name, weights
from liju.model import TransformerConfig, positional_encoding

__all__ = ["BART", "MARIAN"]


def _attention(ours: str, theirs: str) -> list[tuple[str, str]]:
    names = [*((f"W_{x}", f"{x}_proj") for x in "qkv"), ("W_o", "out_proj")]
    return [(f"{ours}.{a}", f"{theirs}.{b}") for a, b in names]


def _table(sinusoids: bool) -> Callable[..., list[Name]]:
    def names(config: TransformerConfig, heads: Sequence[str], pooler: bool = False) -> list[Name]:
        found = [Name(("token.weight",), "model.shared.weight")]
        for stack, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
            base = f"model.{stack}"
            if sinusoids:
                found.append(
                    Name(
                        (),
                        f"{base}.embed_positions.weight",
                        fill=lambda: positional_encoding(
                            config.max_length, config.d_model, halves=True, dtype=torch.float64
                        ),
                    )
                )
            else:
                found.append(Name((f"{stack}.position.weight",), f"{base}.embed_positions.weight"))
            if config.embedding_norm:
                found += weights([(f"{stack}.embedding_norm", f"{base}.layernorm_embedding")])
            for i in range(layers):
                ours, theirs = f"{stack}.blocks.{i}", f"{base}.layers.{i}"
                rows = _attention(f"{ours}.attention", f"{theirs}.self_attn")
                rows.append((f"{ours}.norm_attention", f"{theirs}.self_attn_layer_norm"))
                if stack == "decoder":
                    rows += _attention(f"{ours}.cross_attention", f"{theirs}.encoder_attn")
                    rows.append((f"{ours}.norm_cross", f"{theirs}.encoder_attn_layer_norm"))
                rows += [
                    (f"{ours}.feedforward.W_1", f"{theirs}.fc1"),
                    (f"{ours}.feedforward.W_2", f"{theirs}.fc2"),
                    (f"{ours}.norm_feedforward", f"{theirs}.final_layer_norm"),
                ]
                found += weights(rows)
        found.append(Name(("heads.words.bias",), "final_logits_bias", "row"))
        return found

    return names


FIXED: dict[str, Any] = {
    "norm": "layer",
    "norm_place": "post",
    "norm_bias": True,
    "norm_eps": 1e-5,
    "final_norm": False,
    "gated": False,
    "bias": True,
    "qkv_bias": (None, True),
    "qk_norm": False,
    "num_types": 0,
    "tied": True,
    "head": "lm",
    "head_bias": True,
    "logit_scale": (None, 1.0),
    "pooler": False,
}
KEYS: dict[str, tuple[str, Any]] = {
    "vocab_size": ("vocab_size", REQUIRED),
    "d_model": ("d_model", REQUIRED),
    "num_layers": ("encoder_layers", REQUIRED),
    "num_decoder_layers": ("decoder_layers", REQUIRED),
    "num_heads": ("encoder_attention_heads", REQUIRED),
    "d_ff": ("encoder_ffn_dim", REQUIRED),
    "max_length": ("max_position_embeddings", 1024),
    "embedding_scale": ("scale_embedding", False),
    "dropout": ("dropout", 0.1),
    "init_std": ("init_std", 0.02),
}


def _write(config: TransformerConfig) -> dict[str, Any]:
    return {
        "decoder_attention_heads": config.num_heads,
        "decoder_ffn_dim": config.d_ff,
        "activation_function": ACTIVATIONS[config.activation],
        "attention_dropout": config.dropout,
        "is_encoder_decoder": True,
    }


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    for encoder, decoder in (
        ("encoder_attention_heads", "decoder_attention_heads"),
        ("encoder_ffn_dim", "decoder_ffn_dim"),
    ):
        if values.get(decoder, values[encoder]) != values[encoder]:
            raise ValueError(f"{decoder} is not {encoder}, and liju has one switch for both")
    if values.get("decoder_vocab_size") not in (None, values["vocab_size"]):
        raise ValueError("decoder_vocab_size is not vocab_size, and liju has one vocabulary")
    return {"activation": activation(values.get("activation_function", "gelu"))}


def _demands(config: TransformerConfig) -> list[str]:
    found = heads_demands(config)
    if config.num_heads * config.d_k != config.d_model:
        found.append("num_heads * d_k is not d_model")
    return found


COPIES: dict[str, str | None] = {
    "model.encoder.embed_tokens.weight": "model.shared.weight",
    "model.decoder.embed_tokens.weight": "model.shared.weight",
    "lm_head.weight": "model.shared.weight",
}
CONSTANTS = {"is_decoder": False, "tie_word_embeddings": True}
ABSENT = {"final_logits_bias": lambda config: torch.zeros(1, config.vocab_size)}
BART = Kind(
    model_type="bart",
    family="encdec",
    fixed={**FIXED, "embedding_norm": True, "position": "learned", "position_offset": 2},
    keys=KEYS,
    constants={
        **CONSTANTS,
        "normalize_before": False,
        "normalize_embedding": True,
        "add_final_layer_norm": False,
    },
    variants={"BartForConditionalGeneration": (("words",), False)},
    names=_table(sinusoids=False),
    write=_write,
    read=_read,
    demands=_demands,
    copies=COPIES,
    prefix="model.",
    bare={"BartModel": "BartForConditionalGeneration"},
    absent=ABSENT,
)
MARIAN = Kind(
    model_type="marian",
    family="encdec",
    fixed={**FIXED, "embedding_norm": False, "position": "sinusoidal", "sinusoid_halves": True},
    keys=KEYS,
    constants={
        **CONSTANTS,
        "share_encoder_decoder_embeddings": True,
        "normalize_before": False,
        "normalize_embedding": False,
        "add_final_layer_norm": False,
    },
    variants={"MarianMTModel": (("words",), False)},
    names=_table(sinusoids=True),
    write=_write,
    read=_read,
    demands=_demands,
    copies=COPIES,
    prefix="model.",
    bare={"MarianModel": "MarianMTModel"},
    absent=ABSENT,
)
