"""Floating-point operations of training."""

from __future__ import annotations

from typing import Literal

from liju.model.config import TransformerConfig
from liju.plan.parameters import count_parameters

__all__ = ["Checkpointing", "Convention", "flops_per_token", "training_flops"]

Convention = Literal["used", "6N", "6N+attention"]
Checkpointing = Literal["none", "selective", "full"]


def training_flops(
    config: TransformerConfig,
    length: int,
    target_length: int = 0,
    *,
    predicted: float = 1.0,
    convention: Convention = "used",
    causal: bool = False,
    recompute: Checkpointing = "none",
) -> float:
    r"""FLOPs to train on one sample of `length` tokens (encoder-decoder: and `target_length`).

    $6N + 12 L H d_k s$ a token, the convention of PaLM (Chowdhery et al. 2022, appendix B): 6 for each
    weight of a matrix product (2 forward, 4 backward) and the attention counted as if every place saw every
    other; windows count what they see. With an encoder and a decoder each matrix counts the tokens that go
    through it: $6 (N_{enc} s + N_{dec} t)$, where the keys and values of the cross-attention belong to the
    encoder's tokens. `predicted` is the share of places that reach the vocabulary (0.15 with masked words).

    convention: "used" counts the matrices that a token goes through; the published figures count all
    parameters, tables that are only looked up among them: "6N" without the attention's own products (GPT-3,
    Llama 3), "6N+attention" with them (PaLM, MPT). An encoder-decoder is always counted as used.
    causal: count half of the attention in a decoder, what its order lets it see.
    recompute: "full" runs the blocks forward once more, $8N + 16 L H d_k s$; "selective" the attention's
    core alone (Korthikanti et al. 2022).

    >>> gpt3 = TransformerConfig(50257, 12288, 96, num_heads=96, family="decoder", max_length=2048,
    ...     norm_place="pre", embedding_norm=False, final_norm=True, head="lm", head_bias=False, pooler=False)
    >>> f"{training_flops(gpt3, 2048) / 2048 * 300e9:.3g}"
    '3.23e+23'
    >>> f"{training_flops(gpt3, 2048, convention='6N') / 2048 * 300e9:.3g}"  # Brown et al. 2020, appendix D
    '3.14e+23'
    """
    parts = count_parameters(config)
    blocks = config.encoder_layers + config.decoder_layers
    again = 4 / 3  # a third pass forward beside one forward and two for the gradients
    weight = 6.0 * (again if recompute == "full" else 1)
    each = (parts.attention + parts.feedforward) / blocks
    pairs = 12.0 * config.num_heads * config.d_k  # of one query with one key, both products
    pairs *= again if recompute != "none" else 1
    own_pairs = pairs / 2 if causal else pairs
    flops = 0.0
    if config.has_encoder:
        flops += weight * each * config.encoder_layers * length
        flops += pairs * length * _seen(config, config.encoder_layers, length)
    if config.has_decoder:
        own = target_length if config.family == "encdec" else length
        flops += weight * each * config.decoder_layers * own
        flops += own_pairs * own * _seen(config, config.decoder_layers, own)
        if config.family == "encdec":
            ratio = config.num_kv_heads / (config.num_heads + config.num_kv_heads)
            flops += weight * parts.cross_attention * (ratio * length + (1 - ratio) * own)
            flops += pairs * own * length * config.decoder_layers
    if convention != "used" and config.family != "encdec":
        attention = flops - weight * (parts.attention + parts.feedforward) * length
        return weight * parts.total * length + (attention if convention == "6N+attention" else 0)
    outs = target_length if config.family == "encdec" else length
    head = 0 if config.head == "none" else config.vocab_size * config.d_embedding
    head += config.d_model**2 if config.head == "mlm" else 0
    return flops + 6.0 * predicted * head * outs


def flops_per_token(
    config: TransformerConfig,
    length: int,
    target_length: int = 0,
    *,
    predicted: float = 1.0,
    convention: Convention = "used",
    causal: bool = False,
    recompute: Checkpointing = "none",
) -> float:
    """Training FLOPs a token, of samples of this length (encoder-decoder: a token of either side).

    >>> round(flops_per_token(TransformerConfig(num_layers=1, d_model=8, num_heads=2), 4, predicted=0) / 6)
    904
    """
    tokens = length + (target_length if config.family == "encdec" else 0)
    whole = training_flops(
        config,
        length,
        target_length,
        predicted=predicted,
        convention=convention,
        causal=causal,
        recompute=recompute,
    )
    return whole / tokens


def _seen(config: TransformerConfig, layers: int, length: int) -> float:
    """Keys that a query meets, summed over the layers of a stack."""
    if not config.window:
        return layers * length
    everything = -(-layers // config.global_every) if config.global_every else 0
    return everything * length + (layers - everything) * min(length, 2 * config.window + 1)
