"""The largest model that given devices can train."""

from __future__ import annotations

from liju.errors import ModelError
from liju.model.config import TransformerConfig
from liju.plan.layout import ROOM, widths
from liju.plan.machines import Machine
from liju.plan.memory import Precision
from liju.plan.sharding import Layout, device_memory

__all__ = ["largest_model", "scaled"]


def scaled(config: TransformerConfig, d_model: int) -> TransformerConfig:
    """The same shape at another width: depth, heads and feed-forward grow alike, to what divides well.

    >>> scaled(TransformerConfig(d_model=768, num_layers=12, num_heads=12), 128).num_layers
    2
    """
    ratio = d_model / config.d_model
    keys = max(1, round(config.num_kv_heads * ratio))
    heads = max(1, round(config.num_heads * ratio))
    step = keys * 8 if heads >= 16 * keys else keys  # groups of devices share heads
    heads = max(1, round(heads / step)) * step
    d_ff = round(config.d_ff * ratio)
    decoder = max(1, round(config.num_decoder_layers * ratio)) if config.num_decoder_layers else 0
    return config.replace(
        d_model=d_model,
        num_layers=max(1, round(config.num_layers * ratio)),
        num_decoder_layers=decoder,
        num_heads=heads,
        num_kv_heads=keys,
        d_ff=max(8, round(d_ff / 8) * 8) if config.d_ff >= 64 else max(1, d_ff),
        d_embedding=d_model if config.d_embedding == config.d_model else config.d_embedding,
    )


def largest_model(
    config: TransformerConfig,
    machine: Machine,
    devices: int,
    length: int,
    *,
    target_length: int = 0,
    predicted: float = 1.0,
    precision: Precision = "bfloat16",
) -> TransformerConfig | None:
    """The largest model of this shape that the devices can train: fully sharded, everything computed again,
    in groups where that helps. None where not even the narrowest fits.

    >>> from liju.plan.machines import machine
    >>> llama = TransformerConfig.default("decoder", vocab_size=32000, d_model=4096, num_layers=32,
    ...     num_heads=32, d_ff=11008, tied=False)
    >>> from liju.plan.parameters import count_parameters
    >>> round(count_parameters(largest_model(llama, machine("a100"), 1, 2048)).total / 1e9)
    4
    """
    step = 64 if config.d_model >= 64 else config.d_model

    def fits(size: int) -> TransformerConfig | None:
        try:
            candidate = scaled(config, size * step)
        except ModelError:
            return None
        for t in widths(candidate, machine, devices):
            shard = "weights" if devices > t else "none"
            need = device_memory(
                candidate,
                Layout(devices // t, t, shard, "full"),
                length,
                target_length,
                predicted=predicted,
                precision=precision,
            )
            if need.total <= ROOM * machine.memory:
                return candidate
        return None

    found, low, high = None, 0, 1
    while (candidate := fits(high)) is not None:
        found, low, high = candidate, high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if (candidate := fits(middle)) is not None:
            found, low = candidate, middle
        else:
            high = middle
    return found
