"""How to spread a training over devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from liju.errors import RequestError
from liju.model.config import TransformerConfig
from liju.plan.flops import Checkpointing, training_flops
from liju.plan.machines import Machine
from liju.plan.memory import Precision
from liju.plan.parameters import count_parameters
from liju.plan.sharding import Layout, Shard, device_memory

__all__ = ["ROOM", "choose_layout", "gather_seconds", "step_seconds", "widths"]

ROOM = 0.9  # share of a device's memory that may be filled: the rest is fragments, messages, the driver
CLOSE = 1.03  # times the least: as good
ENOUGH = 4096  # tokens at once keep a device busy
LARGEST_TENSOR = 8  # heads and links rarely allow more


def choose_layout(
    config: TransformerConfig,
    machine: Machine,
    devices: int,
    length: int,
    *,
    target_length: int = 0,
    batch: int = 0,
    predicted: float = 1.0,
    precision: Precision = "bfloat16",
    shard: Shard | None = None,
    tensor: int = 0,
    checkpointing: Checkpointing | None = None,
) -> Layout:
    """The layout that fits and takes least time a step, with its reason; what is given is kept.

    Whole copies, or shards of the state (a message more a block); checkpointing, a third more arithmetic;
    tensor parallelism within a node, messages within each block. Of layouts within 3 % the simplest is taken.
    batch: tokens a step (0: one sequence a device). Where nothing fits, the layout of least memory is given,
    with `fits` False. Raises RequestError for groups that do not divide the devices.

    >>> from liju.plan.machines import machine
    >>> gpt2 = TransformerConfig.default("decoder", vocab_size=50257, d_model=768, num_heads=12)
    >>> choose_layout(gpt2, machine("a100"), 8, 1024).reason
    'a whole copy fits on every device'
    """
    if tensor and (devices % tensor or not _divides(config, tensor)):
        raise RequestError(
            f"{devices} devices, {config.num_heads} heads and d_ff {config.d_ff} are not all multiples of "
            f"tensor {tensor}",
            hint="choose a divisor of each",
        )
    sample = length + target_length
    sequences = max(1, batch // sample) if batch else devices
    need = partial(_need, config, length, target_length, predicted, precision)
    room = ROOM * machine.memory
    fitting: list[tuple[float, Layout]] = []
    candidates = _candidates(config, machine, devices, shard, tensor, checkpointing)
    for layout in candidates:
        if need(layout) > room:
            continue
        # More sequences at once, while there are few tokens to compute with or much time goes to messages.
        while layout.micro_batch * 2 <= max(1, sequences // layout.data):
            arithmetic = step_seconds(config, machine, layout, length, target_length, sequences, precision)
            messages = gather_seconds(config, machine, layout, sequences)
            if layout.micro_batch * sample >= ENOUGH and messages < arithmetic / 4:
                break
            more = replace(layout, micro_batch=layout.micro_batch * 2)
            if need(more) > room:
                break
            layout = more
        whole = -(-sequences // layout.data) * layout.data  # groups without a sequence wait for the others
        took = step_seconds(config, machine, layout, length, target_length, whole, precision)
        took = max(took, gather_seconds(config, machine, layout, sequences))
        took += _group_seconds(config, machine, layout, sample * whole)
        fitting.append((took, layout))
    if fitting:
        best = min(took for took, _ in fitting)
        took, layout = next(pair for pair in fitting if pair[0] <= CLOSE * best)
        return replace(layout, reason=_reason(layout, took, fitting, checkpointing is None))
    layout = min(candidates, key=need)
    enough = _enough(config, machine, devices, need)
    reason = f"it does not fit: {need(layout) / 1e9:,.0f} GB on a device of {machine.memory / 1e9:,.0f} GB; "
    reason += f"{machine.key}:{enough} would do" if enough else "shorten the sequences"
    return replace(layout, reason=reason, fits=False)


def _need(
    config: TransformerConfig,
    length: int,
    target: int,
    predicted: float,
    precision: Precision,
    layout: Layout,
) -> int:
    return device_memory(config, layout, length, target, predicted=predicted, precision=precision).total


def _candidates(
    config: TransformerConfig,
    machine: Machine,
    devices: int,
    shard: Shard | None,
    tensor: int,
    checkpointing: Checkpointing | None,
) -> list[Layout]:
    """Layouts, the simplest first."""
    shards: list[Shard] = [shard] if shard else (["none"] if devices == 1 else ["none", "weights"])
    again: list[Checkpointing] = [checkpointing] if checkpointing else ["none", "full"]
    groups = [tensor] if tensor else widths(config, machine, devices)
    return [Layout(devices // t, t, share, how) for t in groups for how in again for share in shards]


def _reason(layout: Layout, took: float, fitting: list[tuple[float, Layout]], free: bool) -> str:
    if layout.devices == 1:
        reason = "it fits on one device"
    elif layout.shard == "none":
        reason = "a whole copy fits on every " + ("device" if layout.tensor == 1 else "group")
    elif layout.shard == "weights":
        reason = "a whole copy does not fit, a share does"
    else:
        reason = f"{layout.shard} in shares, as asked"
    if layout.checkpointing != "none" and free:
        reason += "; activations are computed again, to make room"
    if layout.tensor > 1:
        alone = [other for other, one in fitting if one.tensor == 1]
        if alone:
            reason += f"; groups take {1 - took / min(alone):.0%} less time than single devices"
        else:
            reason += "; a device by itself cannot hold its part"
    return reason


def _divides(config: TransformerConfig, tensor: int) -> bool:
    return config.num_heads % tensor == 0 and config.d_ff % tensor == 0


def widths(config: TransformerConfig, machine: Machine, devices: int) -> list[int]:
    """Sizes of groups that divide the devices and the network's heads and widths, within a node."""
    most = min(machine.node, LARGEST_TENSOR)
    return [t for t in (1, 2, 4, 8) if t <= most and devices % t == 0 and _divides(config, t)]


def _enough(config: TransformerConfig, machine: Machine, devices: int, need: Callable[[Layout], int]) -> int:
    """A number of devices that would hold it, doubling; 0 where none would."""
    while devices < 1 << 20:
        devices *= 2
        t = max(widths(config, machine, devices))
        layout = Layout(devices // t, t, "weights" if devices > t else "none", "full")
        if need(layout) <= ROOM * machine.memory:
            return devices
    return 0


def gather_seconds(config: TransformerConfig, machine: Machine, layout: Layout, sequences: int = 1) -> float:
    r"""Seconds in a step of `sequences` to move weights and gradients between data-parallel devices.

    $2 \cdot 2N$ bytes for a sum of gradients (the two rounds of a ring); where the weights are in shares,
    $2N$ for the gradients and $2 \cdot 2N$ a micro-batch, to gather them forward and backward. Over the
    network when there is more than one node, else over the links. It hides behind the arithmetic; where it
    is longer than that, the devices wait.
    """
    if layout.data == 1:
        return 0.0
    micro_batches = max(1, -(-sequences // (layout.data * layout.micro_batch)))
    rounds = 1 + 2 * micro_batches if layout.shard == "weights" else 2
    speed = machine.network if layout.devices > machine.node else machine.link / 2
    return rounds * 2 * count_parameters(config).total / layout.tensor / speed if speed else 0.0


def _group_seconds(config: TransformerConfig, machine: Machine, layout: Layout, tokens: int) -> float:
    """Messages within tensor-parallel groups: four sums of all activations a block (Shoeybi et al. 2019),
    each twice over the links. They cannot hide."""
    t, blocks = layout.tensor, config.encoder_layers + config.decoder_layers
    if t == 1 or not machine.link:
        return 0.0
    sent = blocks * 4 * 2 * config.d_model * 2 * (t - 1) / t * tokens / layout.data
    return sent / (machine.link / 2)


def step_seconds(
    config: TransformerConfig,
    machine: Machine,
    layout: Layout,
    length: int,
    target_length: int = 0,
    sequences: int = 1,
    precision: str = "bfloat16",
) -> float:
    """Seconds of arithmetic in a step of `sequences`, at the machine's usual share of its peak; what is
    computed again is counted."""
    flops = training_flops(config, length, target_length, recompute=layout.checkpointing) * sequences
    return flops / (layout.devices * machine.peak_of(precision) * machine.mfu)
