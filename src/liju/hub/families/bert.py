"""BERT (Devlin et al. 2018), and RoFormer (Su et al. 2021): BERT with rotary positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from liju.hub.kinds import ACTIVATIONS, SIZES, Kind, activation, heads_demands
from liju.hub.names import Name, weights
from liju.model import TransformerConfig, positional_encoding

__all__ = ["BERT", "ROFORMER"]

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
    """BertModel (no heads) and its classes with heads.

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
    names += weights([("encoder.embedding_norm", f"{base}embeddings.LayerNorm")])
    for i in range(config.num_layers):
        names += weights([(f"encoder.blocks.{i}.{a}", f"{base}encoder.layer.{i}.{b}") for a, b in BERT_BLOCK])
    if pooler:
        names += weights([("pooler", f"{base}pooler.dense")])
    if "words" in heads:
        names += weights(
            [
                ("heads.words.dense", "cls.predictions.transform.dense"),
                ("heads.words.norm", "cls.predictions.transform.LayerNorm"),
            ]
        )
        names.append(Name(("heads.words.bias",), "cls.predictions.bias"))
    if "next_sentence" in heads:
        names += weights([("heads.next_sentence", "cls.seq_relationship")])
    for head, theirs in (("label", "classifier"), ("tag", "classifier"), ("span", "qa_outputs")):
        if head in heads:
            names += weights([(f"heads.{head}", theirs)])
    return names


def _bert_demands(config: TransformerConfig) -> list[str]:
    found = heads_demands(config)
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
        "activation": activation(values.get("hidden_act", "gelu")),
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
        "BertForTokenClassification": (("tag",), False),
        "BertForQuestionAnswering": (("span",), False),
        "BertForPreTraining": (("words", "next_sentence"), True),
        "BertForMaskedLM": (("words",), False),
        "BertModel": ((), True),
    },
    names=bert,
    write=_bert_write,
    read=_bert_read,
    demands=_bert_demands,
    copies={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    ignored=r"embeddings\.position_ids$",
    prefix="bert.",
)


def roformer(config: TransformerConfig, heads: Sequence[str], pooler: bool = False) -> list[Name]:
    """RoFormerForMaskedLM and its sisters: BERT's names under another prefix. Its pairs are neighbours."""
    names = []
    for name in bert(config.replace(position="none"), heads):
        theirs = name.theirs.replace("bert.", "roformer.", 1)
        if "position_embeddings" in theirs:
            base = "roformer." if heads else ""
            names.append(
                Name(
                    (),
                    f"{base}encoder.embed_positions.weight",
                    fill=lambda: positional_encoding(
                        config.max_length, config.d_k, halves=True, dtype=torch.float64
                    ),
                )
            )
        elif ".self.query." in theirs or ".self.key." in theirs:
            names.append(Name(name.ours, theirs, "pairs", heads=config.num_heads))
        else:
            names.append(replace(name, theirs=theirs))
    return names


def _roformer_read(values: Mapping[str, Any]) -> dict[str, Any]:
    if values.get("embedding_size") not in (None, values["hidden_size"]):
        raise ValueError("embedding_size is not hidden_size, and liju has no such switch here")
    return {**_bert_read(values), "position": "rope"}


ROFORMER = Kind(
    model_type="roformer",
    family="encoder",
    fixed={**BERT.fixed, "position": "rope", "rope_theta": 10000.0},
    keys={**BERT.keys, "max_length": ("max_position_embeddings", 1536)},
    constants={"is_decoder": False, "add_cross_attention": False, "rotary_value": False},
    variants={
        "RoFormerForTokenClassification": (("tag",), False),
        "RoFormerForQuestionAnswering": (("span",), False),
        "RoFormerForMaskedLM": (("words",), False),
        "RoFormerModel": ((), False),
    },
    names=roformer,
    write=lambda config: {**_bert_write(config), "embedding_size": config.d_model},
    read=_roformer_read,
    demands=_bert_demands,
    copies={
        "cls.predictions.decoder.weight": "roformer.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    prefix="roformer.",
)
