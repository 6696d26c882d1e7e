"""GPT (Radford et al. 2018) and GPT-2 (2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from liju.hub.kinds import ACTIVATIONS, REQUIRED, Kind, activation, heads_demands
from liju.hub.names import Name, weights
from liju.model import TransformerConfig

__all__ = ["GPT", "GPT2"]


def _gpt(token: str, position: str, last: str = "") -> Callable[..., list[Name]]:
    """Linear layers are stored (in, out), and W_q, W_k, W_v are one."""

    def names(config: TransformerConfig, heads: Sequence[str], pooler: bool = False) -> list[Name]:
        found = [
            Name(("token.weight",), f"transformer.{token}.weight"),
            Name(("decoder.position.weight",), f"transformer.{position}.weight"),
        ]
        for i in range(config.num_layers):
            ours, theirs = f"decoder.blocks.{i}", f"transformer.h.{i}"
            found += weights([(f"{ours}.norm_attention", f"{theirs}.ln_1")])
            qkv = tuple(f"{ours}.attention.W_{x}" for x in "qkv")
            found += _linear(qkv, f"{theirs}.attn.c_attn")
            found += _linear((f"{ours}.attention.W_o",), f"{theirs}.attn.c_proj")
            found += weights([(f"{ours}.norm_feedforward", f"{theirs}.ln_2")])
            found += _linear((f"{ours}.feedforward.W_1",), f"{theirs}.mlp.c_fc")
            found += _linear((f"{ours}.feedforward.W_2",), f"{theirs}.mlp.c_proj")
        if last:
            found += weights([("decoder.final_norm", f"transformer.{last}")])
        return found

    return names


def _linear(ours: tuple[str, ...], theirs: str) -> Iterator[Name]:
    yield Name(tuple(f"{name}.weight" for name in ours), f"{theirs}.weight", "transpose")
    yield Name(tuple(f"{name}.bias" for name in ours), f"{theirs}.bias")


FIXED: dict[str, Any] = {
    "norm": "layer",
    "norm_bias": True,
    "embedding_norm": False,
    "gated": False,
    "bias": True,
    "qkv_bias": (None, True),
    "qk_norm": False,
    "position": "learned",
    "num_types": 0,
    "tied": True,
    "head": "lm",
    "head_bias": False,
    "logit_scale": (None, 1.0),
    "pooler": False,
}
KEYS: dict[str, tuple[str, Any]] = {
    "vocab_size": ("vocab_size", REQUIRED),
    "d_model": ("n_embd", REQUIRED),
    "num_layers": ("n_layer", REQUIRED),
    "num_heads": ("n_head", REQUIRED),
    "max_length": ("n_positions", 1024),
    "norm_eps": ("layer_norm_epsilon", 1e-5),
    "init_std": ("initializer_range", 0.02),
}


def _dropout(config: TransformerConfig) -> dict[str, Any]:
    return dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config.dropout)


def _shape(config: TransformerConfig) -> list[str]:
    found = heads_demands(config)
    if config.num_heads * config.d_k != config.d_model:
        found.append("num_heads * d_k is not d_model")
    return found


def _gpt2_read(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "activation": activation(values.get("activation_function", "gelu_new")),
        "d_ff": values.get("n_inner") or 4 * values["n_embd"],
        "dropout": values.get("resid_pdrop", 0.1),
    }


# The original's "gelu" is the tanh form, in this class too.
GPT_ACTIVATIONS = {"gelu_tanh": "gelu", "relu": "relu", "silu": "silu"}


def _gpt_read(values: Mapping[str, Any]) -> dict[str, Any]:
    theirs = {"swish": "silu", **{name: ours for ours, name in GPT_ACTIVATIONS.items()}}
    if values.get("afn", "gelu") not in theirs:
        raise ValueError(f"afn is {values['afn']!r}")
    return {
        "activation": theirs[values.get("afn", "gelu")],
        "d_ff": 4 * values["n_embd"],
        "dropout": values.get("resid_pdrop", 0.1),
    }


def _gpt_demands(config: TransformerConfig) -> list[str]:
    found = _shape(config)
    if config.d_ff != 4 * config.d_model:
        found.append("d_ff is not 4 * d_model")
    if config.activation not in GPT_ACTIVATIONS:
        found.append(f"activation is {config.activation!r} (openai-gpt has 'gelu_tanh')")
    return found


# Tables of masks that old files hold.
MASKS = r"\.attn\.(masked_)?bias$"

GPT2 = Kind(
    model_type="gpt2",
    family="decoder",
    fixed={**FIXED, "norm_place": "pre", "final_norm": True},
    keys=KEYS,
    constants={
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
    },
    variants={"GPT2LMHeadModel": (("words",), False)},
    names=_gpt("wte", "wpe", "ln_f"),
    write=lambda config: {
        "activation_function": ACTIVATIONS[config.activation],
        "n_inner": config.d_ff,
        **_dropout(config),
    },
    read=_gpt2_read,
    demands=_shape,
    copies={"lm_head.weight": "transformer.wte.weight"},
    ignored=MASKS,
    prefix="transformer.",
    bare={"GPT2Model": "GPT2LMHeadModel"},
)
GPT = Kind(
    model_type="openai-gpt",
    family="decoder",
    fixed={**FIXED, "norm_place": "post", "final_norm": False},
    keys={**KEYS, "max_length": ("n_positions", 512)},
    constants={"tie_word_embeddings": True},
    variants={"OpenAIGPTLMHeadModel": (("words",), False)},
    names=_gpt("tokens_embed", "positions_embed"),
    write=lambda config: {"afn": GPT_ACTIVATIONS[config.activation], **_dropout(config)},
    read=_gpt_read,
    demands=_gpt_demands,
    copies={"lm_head.weight": "transformer.tokens_embed.weight"},
    ignored=rf"{MASKS}|position_ids$",
    prefix="transformer.",
    bare={"OpenAIGPTModel": "OpenAIGPTLMHeadModel"},
)
