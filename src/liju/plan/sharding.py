"""Bytes of one device when a training is spread over many: shards of the state, tensor parallelism,
checkpointing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from liju.errors import RequestError
from liju.model.config import TransformerConfig
from liju.plan.flops import Checkpointing
from liju.plan.memory import Memory, Precision
from liju.plan.parameters import count_parameters

__all__ = ["SHARDS", "Layout", "Shard", "activation_bytes", "device_memory", "largest_block", "state_bytes"]

Shard = Literal["none", "optimizer", "gradients", "weights"]
# What each data-parallel device holds only its share of: the stages 0 to 3 of ZeRO (Rajbhandari et al. 2019).
# "weights" is what FSDP calls full sharding.
SHARDS: tuple[Shard, ...] = ("none", "optimizer", "gradients", "weights")


@dataclass(frozen=True)
class Layout:
    """How devices share the work: `data` groups of `tensor` devices each."""

    data: int = 1
    tensor: int = 1
    shard: Shard = "none"
    checkpointing: Checkpointing = "none"
    micro_batch: int = 1  # sequences that a group computes at once
    fits: bool = True
    reason: str = ""

    def __post_init__(self) -> None:
        if min(self.data, self.tensor, self.micro_batch) < 1:
            raise RequestError("a layout has at least one device and one sequence")
        if self.shard not in SHARDS:
            raise RequestError(f"shard is {self.shard!r}", hint=f"one of {', '.join(SHARDS)}")

    @property
    def devices(self) -> int:
        return self.data * self.tensor


def state_bytes(
    parameters: float, data: int = 1, shard: Shard = "none", *, wide_gradients: bool = False
) -> tuple[float, float, float]:
    r"""Bytes of weights, gradients and optimizer on one of `data` devices, in mixed precision with Adam.

    2 bytes a weight, 2 a gradient, 12 for the float32 weight and both moments: $16 N$, of which each stage of
    ZeRO leaves a share (Rajbhandari et al. 2019, figure 1). `wide_gradients`: float32 gradients, Megatron's
    18 bytes, $6 + 12 / d$ with its distributed optimizer.

    >>> [round(sum(state_bytes(7.5e9, 64, shard)) / 1e9, 1) for shard in SHARDS]
    [120.0, 31.4, 16.6, 1.9]
    """
    stage = SHARDS.index(shard)
    weights = 2 * parameters / (data if stage >= 3 else 1)
    gradients = (4 if wide_gradients else 2) * parameters / (data if stage >= 2 else 1)
    return weights, gradients, 12 * parameters / (data if stage >= 1 else 1)


def activation_bytes(
    config: TransformerConfig,
    length: int,
    micro_batch: int = 1,
    *,
    tensor: int = 1,
    checkpointing: Checkpointing = "none",
    flash: bool = False,
) -> float:
    r"""Bytes that one block keeps for the backward pass, in 16-bit precision (Korthikanti et al. 2022).

    $sbh(34 + 5as/h)$ for their block of 4h, with dropout; here every switch is counted. Tensor and sequence
    parallelism divide it by `tensor`. checkpointing: "selective" computes the attention's core again, as does
    a flash kernel: $34 sbh$; "full" keeps a block's input alone: $2 sbh$.

    >>> config = TransformerConfig(50257, 12288, 96, num_heads=96, family="decoder", head="lm", dropout=0.1)
    >>> whole = activation_bytes(config, 2048)
    >>> kept = activation_bytes(config, 2048, checkpointing="selective")
    >>> whole / (2048 * 12288), f"{1 - kept / whole:.0%}"  # 34 + 80; their table: 70 %
    (114.0, '70%')
    """
    d, places = config.d_model, length * micro_batch
    if checkpointing == "full":
        return 2.0 * places * d / tensor
    queries, keys = config.num_heads * config.d_k, config.num_kv_heads * config.d_k
    dropped = 1 if config.dropout else 0  # bytes of a dropout's mask, a number
    norms = 1 if config.norm_place == "parallel" else 2
    core = 0.0
    if checkpointing == "none" and not flash:  # softmax, its mask, its output
        core = (5.0 if config.dropout else 2.0) * config.num_heads * length
    attention = 2 * d + 2 * (2 * queries + 2 * keys) + dropped * d + core
    if config.gated:
        inner = 8 * config.d_ff
    else:
        inner = (2 if config.activation == "relu" else 4) * config.d_ff
    feedforward = 2 * d + inner + dropped * d
    return places * (attention + feedforward + 2 * d * norms) / tensor


def largest_block(config: TransformerConfig) -> float:
    """Parameters of the largest part that full sharding gathers at once: a block, or the token table.

    >>> largest_block(TransformerConfig(97, 12, 2, num_heads=3, d_ff=5)) > 4 * 12 * 12
    True
    """
    parts = count_parameters(config)
    blocks = config.encoder_layers + config.decoder_layers
    block = (parts.attention + parts.feedforward) / blocks
    if config.family == "encdec":
        block += parts.cross_attention / config.decoder_layers
    return max(block, parts.token)


def device_memory(
    config: TransformerConfig,
    layout: Layout,
    length: int,
    target_length: int = 0,
    *,
    predicted: float = 1.0,
    precision: Precision = "bfloat16",
    flash: bool = True,
) -> Memory:
    """Bytes on each device. Logits in 2 + 4 + 4 bytes a number: as computed, in float32, their gradient.

    In float32 weights and gradients have 4 bytes and the optimizer 8, 16 together as before; activations take
    twice the room. flash: the attention's kernel keeps no scores.

    >>> gpt2 = TransformerConfig.default("decoder", vocab_size=50257, d_model=768, num_heads=12)
    >>> alone = device_memory(gpt2, Layout(), 1024).total
    >>> shared = device_memory(gpt2, Layout(data=8, shard="weights"), 1024).total
    >>> shared < alone
    True
    """
    parts, t = count_parameters(config), layout.tensor
    weights, gradients, optimizer = state_bytes(parts.total / t, layout.data, layout.shard)
    wide = precision == "float32"
    if wide:
        weights, gradients, optimizer = 2 * weights, 2 * gradients, optimizer * 2 / 3

    def block(side: int, checkpointing: Checkpointing) -> float:
        return activation_bytes(
            config, side, layout.micro_batch, tensor=t, checkpointing=checkpointing, flash=flash
        )

    own = target_length if config.family == "encdec" else length
    kept = config.encoder_layers * block(length, layout.checkpointing)
    kept += config.decoder_layers * block(own, layout.checkpointing)
    if config.family == "encdec" and layout.checkpointing != "full":  # cross-attention is half of a decoder's
        kept += config.decoder_layers * block(own, layout.checkpointing) / 3
    if layout.checkpointing == "full":
        kept += block(max(length, own), "none")  # the one that is computed again
    kept += 4.0 * layout.micro_batch * (own + (length if own != length else 0)) * config.d_model / t
    outputs = 0 if config.head == "none" else predicted * own * layout.micro_batch * config.vocab_size
    gathered = 0.0
    if layout.shard == "weights" and layout.data > 1:  # whole weights and whole gradients of one block
        gathered = 4.0 * largest_block(config) / t
    return Memory(
        weights=int(weights),
        gradients=int(gradients),
        optimizer=int(optimizer),
        activations=int(kept * (2 if wide else 1)),
        logits=int((12 if wide else 10) * outputs / t),
        workspace=int(gathered * (2 if wide else 1)),
    )
