"""The largest micro-batch of a run, tried before its first step: memory runs out at once or not at all."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from liju.errors import TrainingError
from liju.model.attention import SPANNED
from liju.model.config import TransformerConfig
from liju.objective.base import Objective
from liju.plan.memory import Memory, training_memory
from liju.samples.batch import Batch, Side
from liju.samples.layout import Layout, micro_batches
from liju.samples.steps import Steps
from liju.train.optimizer import Optimizer, hidden_matrices
from liju.train.settings import TrainSettings
from liju.train.step import backward

__all__ = ["free_memory", "is_out_of_memory", "largest_batches", "memory_told", "needed", "try_batch"]

LOOKED_AT = 65536  # samples whose lengths are looked at: the order is random, so these are a fair draw


def largest_batches(
    objective: Objective, steps: Steps, settings: TrainSettings, layout: Layout, ranks: int = 1
) -> list[Batch]:
    """The micro-batches that take most memory, none larger than what the run will see.

    As many copies of the longest sample as a micro-batch holds; with two sides also of the one with the
    longest target, which has most words to predict, and in a flat line of the one whose target is the
    largest share of it; with packed rows or a flat line also a real one, of the step with the longest
    samples. The same on every rank.

    >>> from liju.objective import Causal
    >>> from liju.objective.examples import shards, tokenizer
    >>> objective = Causal(shards("decoder"), tokenizer("decoder"), max_length=16)
    >>> settings = TrainSettings(batch_tokens=200, micro_batch_tokens=50)
    >>> batch, = largest_batches(objective, Steps(objective, 200), settings, "grouped")
    >>> batch.decoder.tokens.shape
    torch.Size([3, 15])
    """
    seen = min(objective.size, math.ceil(objective.size / steps.per_pass * settings.steps), LOOKED_AT)
    lengths = objective.lengths(np.arange(max(1, seen)))
    chosen = [int(lengths.sum(1).argmax())]
    if lengths.min() > 0:
        chosen.append(int(lengths[:, 1].argmax()))
        if layout == "flat":
            chosen.append(int((lengths[:, 1] / lengths.sum(1)).argmax()))
    found = []
    for number in dict.fromkeys(chosen):
        sample = objective.sample(number)
        size = sum(sample.lengths)
        limit = min(settings.micro_batch_tokens, math.ceil(settings.batch_tokens / ranks) + size)
        rows = max(1, limit // size)
        found.append(micro_batches([sample] * rows, limit, layout, objective.pad)[0])
    if layout != "grouped":
        first = range(min(steps.window, settings.steps))
        longest = max(first, key=lambda step: int(objective.lengths(steps.numbers(step)).sum(1).max()))
        samples = [objective.sample(int(number)) for number in steps.numbers(longest)[::ranks]]
        real = micro_batches(samples, settings.micro_batch_tokens, layout, objective.pad)
        found.append(max(real, key=lambda batch: batch.places))
    return found


def try_batch(
    model: nn.Module,
    batch: Batch,
    objective: Objective,
    optimizer: Optimizer,
    settings: TrainSettings,
    precision: str,
    device: torch.device,
) -> None:
    """Forward and backward on `device`, beside gradients and an optimizer's memory of their full size; all
    thrown away.

    No random number is drawn for good and no weight changes, so the run's bits are those without it.
    """
    parameters = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    training, spare = model.training, 0
    if not optimizer.state() and not _on_host(settings, device):  # it comes with the first step
        narrow = set(hidden_matrices(model)) if settings.optimizer == "muon" else set()
        for name, p in parameters:
            local = p.to_local() if hasattr(p, "to_local") else p  # type: ignore[attr-defined] - DTensor
            spare += local.numel() * (4 if name in narrow else 8)
    totals = {name: batch.weight(name) for name in objective.weights}
    model.train()
    cuda = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(cuda):
            kept = torch.empty(spare, dtype=torch.uint8, device=device)
            for _, p in parameters:
                p.grad = torch.zeros_like(p)
            backward(model, batch, objective.weights, totals, objective.label_smoothing, precision, device)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            del kept
    finally:
        model.zero_grad(set_to_none=True)
        model.train(training)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: CUDA's allocator, the CPU's, or Python's.

    >>> is_out_of_memory(torch.OutOfMemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)
    )


def needed(
    model: nn.Module, batch: Batch, settings: TrainSettings, precision: str, device: torch.device
) -> Memory | None:
    """Bytes that training on such micro-batches needs on `device` by `liju plan`'s arithmetic; None for a
    network of another kind."""
    config = getattr(model, "config", None)
    return _memory(config, batch, batch.places, settings, precision, device)


def _memory(
    config: object,
    batch: Batch,
    places: int,
    settings: TrainSettings,
    precision: str,
    device: torch.device,
) -> Memory | None:
    if not isinstance(config, TransformerConfig):
        return None
    length, target = _seen(batch, device)
    words = len(batch.targets["words"].index) if "words" in batch.targets else 0
    found = training_memory(
        config,
        places,
        length,
        target if config.family == "encdec" else 0,
        predicted=words / max(1, batch.predicting.tokens.numel()),
        optimizer=settings.optimizer,
        precision="bfloat16" if precision == "bfloat16" else "float32",
    )
    return replace(found, optimizer=0) if _on_host(settings, device) else found


def _on_host(settings: TrainSettings, device: torch.device) -> bool:
    """Whether the optimizer's memory is the host's and not the device's."""
    return settings.sharding == "offload" and device.type != "cpu"


def _seen(batch: Batch, device: torch.device) -> tuple[int, int]:
    """Places that attention makes scores for, of the first side and of the second: a whole row where it has a
    mask, a segment where rows of many go to a kernel."""
    return _longest(batch) if device.type in SPANNED else _widths(batch)


def _longest(batch: Batch) -> tuple[int, int]:
    """Tokens of the longest segment of the first side and of the second (0: there is none)."""
    return _both(batch, lambda side: int(side.position.max()) + 1)


def _widths(batch: Batch) -> tuple[int, int]:
    """Places of a row on the first side and on the second (0: there is none)."""
    return _both(batch, lambda side: side.tokens.shape[1])


def _both(batch: Batch, size: Callable[[Side], int]) -> tuple[int, int]:
    sizes = [size(side) for side in (batch.encoder, batch.decoder) if side is not None]
    return (sizes[0], sizes[1]) if len(sizes) == 2 else (sizes[0], 0)


def free_memory(device: torch.device) -> int:
    """Bytes that a process could take on a device; 0 where it cannot be known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _whole_memory(device: torch.device) -> int:
    """Bytes of a device; 0 where it cannot be known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 0


@contextmanager
def memory_told(
    model: nn.Module,
    batches: Sequence[Batch],
    settings: TrainSettings,
    precision: str,
    when: str,
    device: torch.device,
) -> Iterator[None]:
    """Turn an allocator's error into a TrainingError that says what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or not batches:
            raise
        batch = max(batches, key=lambda one: one.places)
        raise _out_of_memory(model, batch, settings, precision, when, device) from error


def _out_of_memory(
    model: nn.Module,
    batch: Batch,
    settings: TrainSettings,
    precision: str,
    when: str,
    device: torch.device,
) -> TrainingError:
    whole = _whole_memory(device)
    rows, (length, target) = batch.predicting.tokens.shape[0], _widths(batch)
    shape = f"{rows} row{'s' * (rows > 1)} of {length}" + (f" and {target}" if target else "")
    message = f"memory ran out on {device} {when}: {shape} tokens ({batch.places:,} places)"
    estimate = needed(model, batch, settings, precision, device)
    if estimate is not None:
        states = estimate.weights + estimate.gradients + estimate.optimizer
        message += (
            f" need about {estimate.total / 1e9:,.2f} GB, {states / 1e9:,.2f} GB of them for weights, "
            f"gradients and optimizer, {(estimate.total - states) / 1e9:,.2f} GB for the micro-batch"
        )
    if whole:
        message += f"; the device has {whole / 1e9:,.1f} GB"
    return TrainingError(message, hint=_lower(model, batch, settings, precision, whole, device))


def _lower(
    model: nn.Module, batch: Batch, settings: TrainSettings, precision: str, room: int, device: torch.device
) -> str:
    """What to lower, and to how much."""
    sample = sum(_longest(batch))
    places = batch.places // 2
    while places >= sample:
        less = _memory(getattr(model, "config", None), batch, places, settings, precision, device)
        if less is None or not room or less.total <= 0.9 * room:
            return (
                f"micro_batch_tokens = {places} (it is {settings.micro_batch_tokens}); the gradient stays "
                "that of the whole batch"
            )
        places //= 2
    return (
        f"a single sample of {sample} tokens does not fit: lower model.max_length or the network's size, "
        "compute activations again (activation checkpointing), or spread the weights over devices (liju plan)"
    )
