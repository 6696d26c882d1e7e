"""The largest model that given devices can train."""

from __future__ import annotations

from liju.errors import ModelError
from liju.model.config import TransformerConfig
from liju.plan.layout import ROOM
from liju.plan.machines import Machine
from liju.plan.memory import Precision
from liju.plan.sharding import Layout, device_memory

__all__ = ["largest_model", "scaled"]


def scaled(config: TransformerConfig, d_model: int) -> TransformerConfig:
    """The same shape at another width: depth, heads and feed-forward grow alike.

    >>> scaled(TransformerConfig(d_model=768, num_layers=12, num_heads=12), 128).num_layers
    2
    """
    ratio = d_model / config.d_model
    heads = max(1, round(config.num_heads * ratio))
    keys = max(1, round(config.num_kv_heads * ratio))
    heads = -(-heads // keys) * keys
    decoder = max(1, round(config.num_decoder_layers * ratio)) if config.num_decoder_layers else 0
    return config.replace(
        d_model=d_model,
        num_layers=max(1, round(config.num_layers * ratio)),
        num_decoder_layers=decoder,
        num_heads=heads,
        num_kv_heads=keys,
        d_ff=max(1, round(config.d_ff * ratio)),
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
    """The largest model of this shape that the devices can train: fully sharded, everything computed again.
    None where not even the narrowest fits.

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
        layout = Layout(devices, 1, "weights" if devices > 1 else "none", "full")
        need = device_memory(
            candidate, layout, length, target_length, predicted=predicted, precision=precision
        )
        return candidate if need.total <= ROOM * machine.memory else None

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
