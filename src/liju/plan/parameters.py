"""The exact number of parameters of a set of switches, by part, without building the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from liju.model.config import TransformerConfig

__all__ = ["Parameters", "count_parameters"]


@dataclass(frozen=True)
class Parameters:
    """Parameters by part. `total` counts a tied matrix once."""

    token: int  # the token embedding; the output projection too where it is tied
    position: int  # learned positions, token types, relative tables, projections of the embedding
    attention: int
    cross_attention: int
    feedforward: int
    norms: int
    pooler: int
    heads: int

    @property
    def total(self) -> int:
        return sum(asdict(self).values())

    def to_json(self) -> dict[str, int]:
        return {**asdict(self), "total": self.total}


def count_parameters(config: TransformerConfig, heads: Mapping[str, int] | None = None) -> Parameters:
    r"""Count the parameters of `Transformer(config)`, with further heads {name: outputs}.

    A block holds $2 d_k d (H + H_{kv})$ of attention and $2 d\,d_{ff}$ (3 with a gate) of feed-forward,
    plus biases and norms.

    >>> bert = TransformerConfig(30522, 768, 12, num_heads=12, num_types=2)
    >>> count_parameters(bert, {"next_sentence": 2}).total  # BertForPreTraining
    110106428
    """
    d, e, d_ff = config.d_model, config.d_embedding, config.d_ff
    stacks = [layers for layers in (config.encoder_layers, config.decoder_layers) if layers]
    blocks = sum(stacks)
    one_norm = d * (2 if config.norm == "layer" and config.norm_bias else 1)

    position = 0
    if config.position == "learned":
        position += len(stacks) * (config.max_length + config.position_offset) * d
    if config.position == "relative":
        position += len(stacks) * config.relative_buckets * config.num_heads
    if config.has_encoder:
        position += config.num_types * d
    if e != d:
        # Into each stack, and back out to a projection that has no dense layer of its own.
        position += len(stacks) * e * d + (e * d if config.head == "lm" else 0)

    queries, keys = config.num_heads * config.d_k, config.num_kv_heads * config.d_k
    attention = 2 * d * (queries + keys)
    if config.bias if config.qkv_bias is None else config.qkv_bias:
        attention += queries + 2 * keys
    if config.bias:
        attention += d
    if config.qk_norm:
        attention += 2 * config.d_k
    mixes = 2 * sum(layers - 1 for layers in stacks) if config.value_residual else 0
    crossing = config.num_decoder_layers if config.family == "encdec" else 0

    matrices = 2 if config.gated else 1
    feedforward = (matrices + 1) * d * d_ff
    if config.bias:
        feedforward += matrices * d_ff + d

    norms = blocks * (1 if config.norm_place == "parallel" else 2) + crossing
    norms += len(stacks) * (config.embedding_norm + config.final_norm)
    if not config.first_norm:
        norms -= len(stacks)

    outputs = dict(heads or {})
    outputs.pop("words", None)
    words = 0
    if config.head != "none":
        if config.head == "mlm":
            words += d * e + e * config.bias + one_norm // d * e
        if config.head_bias:
            words += config.vocab_size
        if not config.tied:
            words += config.vocab_size * e
    return Parameters(
        token=config.vocab_size * e,
        position=position,
        attention=blocks * attention + mixes,
        cross_attention=crossing * attention,
        feedforward=blocks * feedforward,
        norms=norms * one_norm,
        pooler=d * d + d if config.pooler else 0,
        heads=words + sum(d * n + n for n in outputs.values()),
    )
