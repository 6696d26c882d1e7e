"""Tables of weight names: ours, theirs, and what lies between. Data, read by the two loops of `convert.py`.

A row says which of our tensors make which of theirs. `{i}` in the block tables is the number of the block.

>>> [row.theirs for row in bert(TransformerConfig(vocab_size=11, num_layers=1), ("words",))][:2]
['bert.embeddings.word_embeddings.weight', 'bert.embeddings.position_embeddings.weight']
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from liju.model import TransformerConfig, positional_encoding

__all__ = ["Name", "bert", "llama", "t5", "tied_copies"]


@dataclass(frozen=True)
class Name:
    """One of their tensors.

    ours:  our tensors that make it; several are concatenated along their first axis.
    op:    "transpose" for layers stored (in, out).
    fill:  for a tensor that we have no weight for: its values, computed.
    """

    ours: tuple[str, ...]
    theirs: str
    op: Literal["copy", "transpose"] = "copy"
    fill: Callable[[], Tensor] | None = None


def _weights(rows: Sequence[tuple[str, str]], bias: bool = True) -> Iterator[Name]:
    """A row for each weight, and one for each bias."""
    for ours, theirs in rows:
        yield Name((f"{ours}.weight",), f"{theirs}.weight")
        if bias:
            yield Name((f"{ours}.bias",), f"{theirs}.bias")


BERT_BLOCK = [
    ("attention.W_q", "attention.self.query"),
    ("attention.W_k", "attention.self.key"),
    ("attention.W_v", "attention.self.value"),
    ("attention.W_o", "attention.output.dense"),
    ("norm_attention", "attention.output.LayerNorm"),
    ("feedforward.W_1", "intermediate.dense"),
    ("feedforward.W_2", "output.dense"),
    ("norm_feedforward", "output.LayerNorm"),
]


def bert(config: TransformerConfig, heads: Sequence[str], pooler: bool = False) -> list[Name]:
    """BertModel (no heads), BertForMaskedLM, BertForPreTraining, BertForSequenceClassification.

    A fixed table of positions, or none, is a learned table that was filled by formula; without token types
    there is one type, of zeros.
    """
    base = "bert." if heads else ""
    names = [Name(("token.weight",), f"{base}embeddings.word_embeddings.weight")]
    positions = f"{base}embeddings.position_embeddings.weight"
    shape = (config.max_length, config.d_model)
    if config.position == "learned":
        names.append(Name(("encoder.position.weight",), positions))
    elif config.position == "sinusoidal":
        names.append(
            Name(
                (),
                positions,
                fill=lambda: positional_encoding(*shape, halves=config.sinusoid_halves, dtype=torch.float64),
            )
        )
    else:
        names.append(Name((), positions, fill=lambda: torch.zeros(shape)))
    types = f"{base}embeddings.token_type_embeddings.weight"
    if config.num_types:
        names.append(Name(("encoder.type.weight",), types))
    else:
        names.append(Name((), types, fill=lambda: torch.zeros(1, config.d_model)))
    names += _weights([("encoder.embedding_norm", f"{base}embeddings.LayerNorm")])
    for i in range(config.num_layers):
        names += _weights(
            [(f"encoder.blocks.{i}.{a}", f"{base}encoder.layer.{i}.{b}") for a, b in BERT_BLOCK]
        )
    if pooler:
        names += _weights([("pooler", f"{base}pooler.dense")])
    if "words" in heads:
        names += _weights(
            [
                ("heads.words.dense", "cls.predictions.transform.dense"),
                ("heads.words.norm", "cls.predictions.transform.LayerNorm"),
            ]
        )
        names.append(Name(("heads.words.bias",), "cls.predictions.bias"))
    if "next_sentence" in heads:
        names += _weights([("heads.next_sentence", "cls.seq_relationship")])
    if "label" in heads:
        names += _weights([("heads.label", "classifier")])
    return names


def llama(config: TransformerConfig, heads: Sequence[str], pooler: bool = False) -> list[Name]:
    """LlamaForCausalLM, and Qwen2 (biases on W_q, W_k, W_v) and Qwen3 (norms on queries and keys)."""
    qkv_bias = config.bias if config.qkv_bias is None else config.qkv_bias
    names = [Name(("token.weight",), "model.embed_tokens.weight")]
    for i in range(config.num_layers):

        def block(rows: list[tuple[str, str]], bias: bool = False, i: int = i) -> Iterator[Name]:
            pairs = [(f"decoder.blocks.{i}.{ours}", f"model.layers.{i}.{theirs}") for ours, theirs in rows]
            return _weights(pairs, bias)

        names += block([(f"attention.W_{x}", f"self_attn.{x}_proj") for x in "qkv"], qkv_bias)
        names += block([("attention.W_o", "self_attn.o_proj")], config.bias)
        if config.qk_norm:
            names += block([(f"attention.norm_{x}", f"self_attn.{x}_norm") for x in "qk"])
        feedforward = [("W_gate", "gate_proj"), ("W_1", "up_proj"), ("W_2", "down_proj")]
        names += block([(f"feedforward.{a}", f"mlp.{b}") for a, b in feedforward], config.bias)
        names += block(
            [("norm_attention", "input_layernorm"), ("norm_feedforward", "post_attention_layernorm")]
        )
    names += _weights([("decoder.final_norm", "model.norm")], bias=False)
    if not config.tied:
        names += _weights([("heads.words.projection", "lm_head")], bias=False)
    return names


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
            names += _weights(rows, bias=False)
        names += _weights([(f"{stack}.final_norm", f"{stack}.final_layer_norm")], bias=False)
    if not config.tied:
        names += _weights([("heads.words.projection", "lm_head")], bias=False)
    return names


# Tensors that files may hold beside the table: copies of another tensor (which must be equal to it), or
# buffers that are not weights (None).
COPIES: dict[str, dict[str, str | None]] = {
    "bert": {
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
        "bert.embeddings.position_ids": None,
        "embeddings.position_ids": None,
    },
    "t5": {
        "encoder.embed_tokens.weight": "shared.weight",
        "decoder.embed_tokens.weight": "shared.weight",
        "lm_head.weight": "shared.weight",
        "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": None,
    },
    "llama": {"lm_head.weight": "model.embed_tokens.weight"},
}
COPIES["qwen2"] = COPIES["qwen3"] = COPIES["llama"]


def tied_copies(model_type: str, names: Sequence[Name]) -> dict[str, str | None]:
    """The copies and buffers that a file of this type may hold beside the tensors of its table.

    >>> tied_copies("llama", [Name(("token.weight",), "model.embed_tokens.weight")])
    {'lm_head.weight': 'model.embed_tokens.weight'}
    """
    table = {name.theirs for name in names}
    return {copy: of for copy, of in COPIES[model_type].items() if copy not in table}
