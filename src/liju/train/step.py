"""The gradient of one optimizer step, the same for every split into micro-batches and ranks (law 2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from liju.errors import TrainingError
from liju.objective.loss import losses
from liju.samples.batch import Batch
from liju.train.parallel import Replicated, World

__all__ = ["Measured", "accumulate", "backward", "clip", "seed_of", "total_weights"]


@dataclass(frozen=True)
class Measured:
    """One step's losses (nats a target, mean over the whole step) and what was computed for them."""

    loss: float
    heads: dict[str, float]
    tokens: int
    places: int
    finite: bool
    own_seconds: float = 0.0  # of this rank's forward and backward passes, without waiting for other ranks


def seed_of(seed: int, step: int, micro_batch: int, rank: int) -> int:
    """The seed of the dropout of one micro-batch. Since it depends on nothing else, a resumed run needs no
    saved state of a random generator (law 3).

    >>> seed_of(0, 5, 0, 0) == seed_of(0, 5, 0, 0) != seed_of(0, 5, 1, 0)
    True
    """
    return int(np.random.SeedSequence([seed, step, micro_batch, rank]).generate_state(1, np.uint64)[0] >> 1)


def total_weights(batches: Sequence[Batch], heads: Mapping[str, float], world: World) -> dict[str, float]:
    """The weight sum of each head's targets in the whole step: every micro-batch of every rank."""
    names = sorted(heads)
    own = [sum(batch.weight(name) for batch in batches) for name in names]
    return dict(zip(names, world.over_data(own), strict=True))


def backward(
    model: nn.Module,
    batch: Batch,
    heads: Mapping[str, float],
    totals: Mapping[str, float],
    label_smoothing: float = 0.0,
    precision: str = "float32",
    device: torch.device | None = None,
) -> dict[str, Tensor]:
    """Add one micro-batch's share of the step's gradient to `.grad`; the sums of its losses, by head.

    `device`: that computes, where the weights rest elsewhere (the host, under FSDP's offloading).
    """
    device = device or next(model.parameters()).device
    batch = batch.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        find = getattr(model, "parallel_losses", None) or partial(losses, model)  # type: ignore[arg-type]
        sums = {name: part for name, (part, _) in find(batch, label_smoothing).items()}
    shares = [heads[name] * part / totals[name] for name, part in sums.items() if totals.get(name)]
    if shares:
        loss = torch.stack(shares).sum()
        if loss.requires_grad:
            loss.backward()
    return {name: part.detach() for name, part in sums.items()}


def accumulate(
    model: nn.Module,
    batches: Sequence[Batch],
    heads: Mapping[str, float],
    label_smoothing: float = 0.0,
    precision: str = "float32",
    seeds: Callable[[int], int] | None = None,
    world: World | None = None,
    parallel: Replicated | None = None,
    spare: Callable[[], Batch] | None = None,
) -> Measured:
    r"""Leave the gradient of the step's loss in `.grad`.

    $L = \sum_h w_h \frac{\sum_b \mathrm{sum}_{h,b}}{\sum_b \mathrm{weight}_{h,b}}$ over all micro-batches
    $b$ of all ranks: the denominator is known before the first backward pass, so the split changes nothing.

    `seeds`: micro-batch to the seed of its dropout. `heads`: head to $w_h$. `parallel`: how gradients are
    summed over the ranks. `spare`: any batch, for a rank of a sharded model that has none of its own.
    Raises TrainingError when the step has nothing to predict.
    """
    world = world or (parallel.world if parallel is not None else World())
    parallel = parallel or Replicated(world, model)
    totals = total_weights(batches, heads, world)
    if not any(totals.values()):
        numbers = [number for batch in batches for number in batch.samples]
        raise TrainingError(
            f"nothing is to be predicted in this step (samples {some(numbers)})",
            hint="raise batch_tokens or mask_rate, or look at the data",
        )
    began = time.perf_counter()
    parameters = [p for p in model.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.grad = None
    sums: dict[str, list[Tensor]] = {name: [] for name in sorted(heads)}
    work = parallel.balance(batches, totals, spare)
    for i, batch in enumerate(work):
        if seeds is not None:
            torch.manual_seed(seeds(i))
        if i == len(work) - 1:
            parallel.overlap()
        found = backward(model, batch, heads, totals, label_smoothing, precision, parallel.device)
        for name, part in found.items():
            if name in sums:
                sums[name].append(part)
    own = [float(torch.stack(parts).double().sum()) if parts else 0.0 for parts in sums.values()]
    own_seconds = time.perf_counter() - began  # the sums are numbers: a device has computed them
    counts = [float(sum(b.tokens for b in batches)), float(sum(b.places for b in batches))]
    present = [float(p.grad is not None) for p in parameters] if world.size > 1 else []
    parallel.flush()  # messages must come in one order on all ranks
    *added, tokens, places = world.over_data([*present, *own, *counts])
    parallel.finish(dict(zip(parameters, (count > 0 for count in added), strict=False)))
    means = {
        name: value / totals[name]
        for name, value in zip(sums, added[len(present) :], strict=True)
        if totals[name]
    }
    loss = sum(heads[name] * mean for name, mean in means.items())
    return Measured(loss, means, int(tokens), int(places), bool(np.isfinite(loss)), own_seconds)


def clip(model: nn.Module, largest: float) -> float:
    """The Euclidean norm of the whole gradient, which is then scaled down to `largest` (0: left as it is).

    A gradient that is not finite is left as it is too.
    """
    with_gradient = [p for p in model.parameters() if p.grad is not None]
    gradients = [p.grad for p in with_gradient if p.grad is not None]
    if any(hasattr(gradient, "placements") for gradient in gradients):
        from liju.train.sharding import gradient_norm

        norm = torch.tensor(gradient_norm(with_gradient))
        gradients = [g.to_local() if hasattr(g, "to_local") else g for g in gradients]  # type: ignore[operator]
        if largest and torch.isfinite(norm):
            factor = min(1.0, largest / (float(norm) + 1e-6))
            for gradient in gradients:
                gradient.mul_(factor)
        return float(norm)
    norm = torch.nn.utils.get_total_norm(gradients)
    if largest and torch.isfinite(norm):
        torch.nn.utils.clip_grads_with_norm_(with_gradient, largest, norm)
    return float(norm)


def some(numbers: Sequence[int], most: int = 20) -> str:
    """
    >>> some([3, 1, 2], most=2)
    '3, 1 and 1 more'
    """
    shown = ", ".join(map(str, numbers[:most]))
    return shown + (f" and {len(numbers) - most} more" if len(numbers) > most else "")
