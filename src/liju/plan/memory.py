"""Bytes that training and serving need in one process, by part."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from liju.model.config import TransformerConfig
from liju.plan.parameters import count_parameters

__all__ = ["Memory", "kv_cache_bytes", "serving_memory", "training_memory"]

Precision = Literal["float32", "bfloat16"]

# What glibc's allocator keeps beside the live tensors, fitted once on 17 configurations of all families (the
# largest error was 5 %). It cannot give a freed block of 64-byte alignment to a tensor of the same size.
REUSED = 0.35  # share of the gradients that lie where activations were
HOLES = 0.55  # share of the forward pass's temporaries whose room stays empty
MAPPED = 32 << 20  # larger blocks are mapped, and given back when they are freed


@dataclass(frozen=True)
class Memory:
    """Bytes by part, of one process, beside the program itself."""

    weights: int
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0  # kept from the forward pass for the backward pass
    logits: int = 0  # of the vocabulary: their softmax and its gradients
    workspace: int = 0  # gradients on their way through one block; blocks gathered from other devices
    allocator: int = 0  # holes that nothing fits into, less the gradients that fall into old ones
    cache: int = 0  # keys and values

    @property
    def total(self) -> int:
        return sum(asdict(self).values())

    def to_json(self) -> dict[str, int]:
        return {**asdict(self), "total": self.total}


def training_memory(
    config: TransformerConfig,
    places: int,
    length: int,
    target_length: int = 0,
    *,
    predicted: float = 1.0,
    optimizer: Literal["adamw", "muon"] = "adamw",
    precision: Precision = "float32",
) -> Memory:
    r"""Bytes to train on micro-batches of `places` places, in rows of `length`.

    An encoder-decoder's places are of both sides together, rows of `length` and of `target_length` (0: the
    same).
    Weights, gradients and AdamW's two moments are float32: 16 bytes a parameter; Muon keeps one moment of
    the matrices in the blocks. Activations are what the blocks keep for the backward pass (Korthikanti et
    al. 2022, section 4, counted for these blocks); under bfloat16 the matrix products' are half as wide.
    `predicted` is the share of places that reach the vocabulary. Measured on a CPU (peak of the resident
    set of whole trainings, beside the program): within 10 % of it (tests/plan, bench/plan.py).

    >>> memory = training_memory(TransformerConfig(vocab_size=97, d_model=12, num_layers=1), 64, 16)
    >>> memory.optimizer == 2 * memory.weights
    True
    """
    parts = count_parameters(config)
    total = parts.total
    matrices = parts.attention + parts.cross_attention + parts.feedforward
    states = 4 * matrices + 8 * (total - matrices) if optimizer == "muon" else 8 * total
    narrow = 2 if precision == "bfloat16" else 4
    own = (target_length or length) if config.family == "encdec" else length  # the predicting side's rows
    decoding = places if config.has_decoder else 0
    if config.family == "encdec":
        decoding = places * own // (length + own)
    encoding = places - decoding
    kept = passed = 0.0
    for here, rows, blocks in (
        (encoding, length, config.encoder_layers),
        (decoding, own, config.decoder_layers),
    ):
        kept += here * blocks * _block_bytes(config, rows, narrow)
        passed += here * blocks * _passed_bytes(config, rows, narrow)
        kept += here * 4 * config.d_model * 3 * (0.5 if config.family == "encdec" else 1)
    if config.family == "encdec":
        kept += (
            decoding * config.decoder_layers * (_attention_bytes(config, length, narrow) + 4 * config.d_model)
        )
        passed += decoding * config.decoder_layers * _crossing_bytes(config, length, narrow)
    predicting = int(predicted * (decoding or encoding))
    if config.head == "mlm":
        kept += predicting * 4 * config.d_model * 4
    outputs = 0 if config.head == "none" else predicting * config.vocab_size
    if precision == "bfloat16":
        kept += 2 * matrices  # autocast keeps a narrow copy of each matrix until the step is over
    logits = outputs * 12  # log-softmax and two gradients, in float32
    # Here, not above: a table of sizes needs no torch.
    from liju.objective.vocabulary import LARGE, chunk_rows

    if outputs >= LARGE:  # a few rows at a time, and the gradient of the projection, which waits for its turn
        rows = min(predicting, chunk_rows(config.vocab_size, "cpu"))
        outputs = rows * config.vocab_size * (2 if config.softcap else 1)
        logits = 4 * outputs + 4 * config.vocab_size * config.d_embedding
    most = max(encoding, decoding)
    passing = most * 4 * config.d_ff * (2 if config.gated else 1) + 4 * parts.token
    if optimizer == "muon":  # updates of the largest shape, stacked, and three products of Newton and Schulz
        passing += 16 * parts.feedforward * (2 / 3 if config.gated else 1 / 2)
    if config.position == "relative":
        passing += most * 4 * 2 * config.num_heads * length
    holes = HOLES * passed + (4 * outputs if 4 * outputs < MAPPED else 0)
    return Memory(
        weights=4 * total,
        gradients=4 * total,
        optimizer=states,
        activations=int(kept),
        logits=logits,
        workspace=int(passing),
        allocator=int(holes - REUSED * 4 * total),
    )


def _block_bytes(config: TransformerConfig, length: int, narrow: int) -> float:
    """Bytes a place that one block keeps: attention, feed-forward, their norms and dropouts."""
    d, d_ff = config.d_model, config.d_ff
    inner = 2 * d_ff  # before and after the activation
    if config.gated:
        inner = 4 * d_ff  # the gate before and after, the other half, their product
    elif config.activation == "relu":
        inner = d_ff  # its gradient needs only its output
    sublayers = 1 if config.norm_place == "parallel" else 2
    kept = _attention_bytes(config, length, narrow) + narrow * (inner + d) + sublayers * 4 * d
    if narrow < 4:
        kept += 4 * d  # the residual stream stays wide
    return kept + (sublayers * 4 * d if config.dropout else 0)


def _attention_bytes(config: TransformerConfig, length: int, narrow: int) -> float:
    queries, keys = config.num_heads * config.d_k, config.num_kv_heads * config.d_k
    kept = narrow * (config.d_model + 2 * queries + 2 * keys)
    if narrow < 4 or config.position == "relative":  # on a CPU then the plain path: probabilities are kept
        kept += narrow * config.num_heads * length
        if keys != queries:  # repeated, a copy for each query head
            kept += narrow * 2 * queries
    return kept


def _passed_bytes(config: TransformerConfig, length: int, narrow: int) -> float:
    """Bytes a place that one block computes in the forward pass and does not keep."""
    passed = _summed_bytes(config, 1 if config.norm_place == "parallel" else 2, narrow)
    queries, keys = config.num_heads * config.d_k, config.num_kv_heads * config.d_k
    if config.position == "rope":  # unturned, four products of halves, two sums of them
        passed += narrow * 4 * (queries + keys)
    elif config.position == "relative":  # unscaled queries; scores, and the same with their bias
        passed += narrow * (queries + 2 * config.num_heads * length)
    if config.activation == "relu" and not config.gated:
        passed += narrow * config.d_ff
    return passed


def _crossing_bytes(config: TransformerConfig, length: int, narrow: int) -> float:
    passed = _summed_bytes(config, 1, narrow)
    if config.position == "relative":
        passed += narrow * (config.num_heads * config.d_k + config.num_heads * length)
    return passed


def _summed_bytes(config: TransformerConfig, sublayers: int, narrow: int) -> float:
    """Outputs of sublayers before they are added, and sums that an RMS norm does not keep."""
    once = narrow + 4 * (config.norm == "rms") + 4 * bool(config.dropout)
    once += 4 if narrow < 4 else 0  # the norm's output before it is cast
    return config.d_model * sublayers * once


def kv_cache_bytes(config: TransformerConfig, tokens: int, bytes_each: int = 2) -> int:
    r"""Bytes of the keys and values of `tokens` tokens: $2 L H_{kv} d_k$ numbers a token. Of the decoder;
    its cross-attention's keys and values, of as many source tokens, are counted too.

    >>> llama3 = TransformerConfig.default("decoder", vocab_size=128256, d_model=4096, num_layers=32,
    ...     num_heads=32, num_kv_heads=8, d_ff=14336, tied=False)
    >>> kv_cache_bytes(llama3, 1)
    131072
    """
    layers = config.decoder_layers * (2 if config.family == "encdec" else 1)
    return 2 * layers * config.num_kv_heads * config.d_k * bytes_each * tokens


def serving_memory(config: TransformerConfig, tokens: int, *, precision: Precision = "float32") -> Memory:
    """Bytes to answer with `tokens` tokens in flight: weights, and the cache of a model that writes.

    >>> serving_memory(TransformerConfig(vocab_size=97, d_model=12, num_layers=1), 64).cache
    0
    """
    narrow = 2 if precision == "bfloat16" else 4
    cache = kv_cache_bytes(config, tokens, narrow) if config.has_decoder else 0
    return Memory(weights=narrow * count_parameters(config).total, cache=cache)
