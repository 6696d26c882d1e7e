"""What a training run will cost, before it is paid for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from liju.errors import RequestError
from liju.model.config import TransformerConfig
from liju.plan.flops import Checkpointing, training_flops
from liju.plan.largest import largest_model
from liju.plan.layout import choose_layout, gather_seconds, step_seconds
from liju.plan.machines import Machine
from liju.plan.memory import Memory, Precision, serving_memory, training_memory
from liju.plan.parameters import count_parameters
from liju.plan.scaling import LEAST, expected_loss, optimal_tokens
from liju.plan.sharding import Layout, Shard, device_memory

__all__ = ["Plan", "plan"]


@dataclass(frozen=True)
class Plan:
    """The figures of a training run. `seconds` and `cost_usd` are None where no speed or price is known."""

    parameters: int
    tokens: int
    flops_per_token: float
    training_flops: float
    seconds: float | None
    memory_bytes: int  # of one device
    cost_usd: float | None = None
    machine: str = ""
    devices: int = 1
    precision: str = "float32"
    length: int = 0
    target_length: int = 0
    batch: int = 0  # tokens a step
    mfu: float | None = None  # model FLOPs a second over the peak: nothing computed again is counted
    price: float | None = None  # dollars a device hour
    memory: Memory | None = None
    layout: Layout | None = None
    loss: dict[str, float] = field(default_factory=dict)  # nats a token, by the fit; decoders only
    optimal_tokens: dict[str, float] = field(default_factory=dict)
    serving: Memory | None = None
    largest: int = 0  # parameters of the largest model of this shape that the devices can train

    def to_json(self) -> dict[str, Any]:
        parts = {name: value.to_json() for name in ("memory", "serving") if (value := getattr(self, name))}
        return {**asdict(self), **parts}


def plan(
    config: TransformerConfig,
    tokens: int,
    machine: Machine | None = None,
    devices: int = 1,
    *,
    length: int = 0,
    target_length: int = 0,
    predicted: float = 1.0,
    batch: int = 0,
    micro_batch_tokens: int = 4096,
    optimizer: str = "adamw",
    precision: Precision = "float32",
    causal: bool = False,
    shard: Shard | None = None,
    tensor: int = 0,
    checkpointing: Checkpointing | None = None,
    mfu: float | None = None,
    price: float | None = None,
    serve: int = 0,
    heads: Mapping[str, int] | None = None,
    tokens_per_second: float | None = None,
) -> Plan:
    """Plan the training of a model on `tokens` tokens in samples of `length` (0: the model's longest).

    Without a `machine`, or on one of no links (the one that this runs on), the memory is one process's, for
    micro-batches of `micro_batch_tokens`; else that of each of `devices`, spread by `choose_layout`. batch:
    tokens a step (0: half a million, or a sequence a device). mfu: model FLOPs over the peak (None: what the
    machine is known for, of all that it computes). price: dollars a device hour. serve: sequences of `length`
    to answer at once. heads: further ones, by name, with
    their outputs. Raises RequestError for figures that are not above 0.

    >>> bert = TransformerConfig(30522, 768, 12, num_heads=12, num_types=2)
    >>> figures = plan(bert, 10**9, tokens_per_second=1000.0)
    >>> figures.parameters, figures.seconds
    (110104890, 1000000.0)
    """
    length = length or config.max_length
    target_length = (target_length or length) if config.family == "encdec" else 0
    for name, value in {"tokens": tokens, "length": length, "devices": devices, "mfu": mfu}.items():
        if value is not None and not value > 0:
            raise RequestError(f"{name} must be above 0, not {value}")
    if mfu is not None and mfu > 1:
        raise RequestError(f"mfu is a share of the peak, in (0, 1], not {mfu}", hint="0.4 is a good one")
    if price is not None and price < 0:
        raise RequestError(f"price is dollars a device hour, not {price}")
    sample = length + target_length
    once = training_flops(config, length, target_length, predicted=predicted, causal=causal)
    flops = once / sample * tokens
    parameters = count_parameters(config, heads).total

    spread = machine is not None and machine.link > 0
    layout, largest = None, 0
    if spread:
        assert machine is not None
        batch = min(batch or max(1 << 19, devices * sample), max(tokens, sample))
        layout = choose_layout(
            config,
            machine,
            devices,
            length,
            target_length=target_length,
            batch=batch,
            predicted=predicted,
            precision=precision,
            shard=shard,
            tensor=tensor,
            checkpointing=checkpointing,
        )
        widest = largest_model(
            config,
            machine,
            devices,
            length,
            target_length=target_length,
            predicted=predicted,
            precision=precision,
        )
        largest = count_parameters(widest).total if widest is not None else 0
        memory = device_memory(
            config, layout, length, target_length, predicted=predicted, precision=precision
        )
    else:
        memory = training_memory(
            config,
            max(min(micro_batch_tokens, batch or micro_batch_tokens), sample),
            length,
            target_length,
            predicted=predicted,
            optimizer="muon" if optimizer == "muon" else "adamw",
            precision=precision,
        )

    seconds = tokens / tokens_per_second if tokens_per_second else None
    peak = machine.peak_of(precision) * devices if machine is not None else None
    if seconds is None and peak and machine is not None:
        seconds = flops / (peak * (mfu or machine.mfu))
        if mfu is None and layout is not None:
            sequences = max(1, batch // sample)
            arithmetic = step_seconds(config, machine, layout, length, target_length, sequences, precision)
            waits = gather_seconds(config, machine, layout, sequences) / arithmetic
            again = training_flops(
                config,
                length,
                target_length,
                predicted=predicted,
                causal=causal,
                recompute=layout.checkpointing,
            )
            seconds *= again / once * max(1.0, waits)
    price = price if price is not None else (machine.price if machine is not None else None)
    decoder = config.family == "decoder"
    return Plan(
        parameters=parameters,
        tokens=tokens,
        flops_per_token=once / sample,
        training_flops=flops,
        seconds=seconds,
        memory_bytes=memory.total,
        cost_usd=price * devices * seconds / 3600 if price is not None and seconds is not None else None,
        machine=machine.key if machine is not None else "",
        devices=devices,
        precision=precision,
        length=length,
        target_length=target_length,
        batch=batch,
        mfu=flops / (seconds * peak) if peak and seconds else None,
        price=price,
        memory=memory,
        layout=layout,
        loss=expected_loss(parameters, tokens) if decoder and parameters >= LEAST else {},
        optimal_tokens=optimal_tokens(parameters) if decoder else {},
        serving=serving_memory(config, serve * sample, precision=precision) if serve else None,
        largest=largest,
    )
