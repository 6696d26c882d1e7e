"""Where a NaN or an infinity comes from: the first tensor that has one, and the samples it came with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from liju.errors import TrainingError
from liju.objective.base import Objective
from liju.samples.batch import Batch, assemble
from liju.train.parallel import World
from liju.train.step import backward, some, total_weights

__all__ = ["Finding", "diagnose", "failure", "find", "first_bad"]

ELSEWHERE = "only the sum over micro-batches, or another rank's share"


@dataclass(frozen=True)
class Finding:
    """`tensor`: the first one that is not finite, in words. `samples`: those that lie in its micro-batch.
    `alone`: those that show it without the others."""

    tensor: str
    samples: tuple[int, ...]
    alone: tuple[int, ...] = ()

    @property
    def hopeless(self) -> bool:
        """A weight is not finite: no other samples would help."""
        return self.tensor.startswith("the weight ")

    def __str__(self) -> str:
        text = f"{self.tensor}; samples {some(self.samples)}"
        if self.alone and len(self.alone) < len(self.samples):
            text += f"; by itself in {some(self.alone)}"
        return text


def _bad(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point() and not bool(torch.isfinite(value).all())
    return any(map(_bad, value)) if isinstance(value, tuple | list) else False


def first_bad(model: nn.Module, run: Callable[[], Any]) -> str:
    """The first tensor that is not finite while `run` goes forward and backward through `model`, or "".

    Weights are looked at first, then every module's output in the order of computing, then the gradients of
    these outputs in the order of the backward pass, then the gradients of the weights.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> first_bad(model, lambda: model(torch.full((1, 2), torch.inf)).sum().backward())
    'the output of 0 (Linear)'
    """
    for name, parameter in model.named_parameters():
        if _bad(parameter):
            return f"the weight {name}"
    outputs: list[str] = []
    gradients: list[str] = []

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            what = f"{name} ({type(module).__name__})" if name else f"the model ({type(module).__name__})"
            if _bad(output):
                outputs.append(f"the output of {what}")
            for tensor in output if isinstance(output, tuple | list) else [output]:
                if isinstance(tensor, Tensor) and tensor.requires_grad:
                    tensor.register_hook(lambda g: gradients.append(what) if _bad(g) else None)

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in model.named_modules()]
    try:
        with torch.compiler.set_stance("force_eager"):
            result = run()
    finally:
        for handle in handles:
            handle.remove()
    if outputs:
        return outputs[0]
    if isinstance(result, dict):
        for name, value in result.items():
            if _bad(value):
                return f"the loss of {name}"
    if gradients:
        return f"the gradient of the output of {gradients[0]}"
    for name, parameter in model.named_parameters():
        if _bad(parameter.grad):
            return f"the gradient of {name}"
    return ""


def diagnose(
    model: nn.Module,
    batches: Sequence[Batch],
    run: Callable[[int, Batch], Any],
    alone: Callable[[int], Batch],
) -> Finding:
    """Go through the micro-batches of a failed step again until one shows what is not finite.

    `run(i, batch)` computes micro-batch i as the step did; `alone(n)` is the batch of sample n by itself.
    """

    def look(i: int, batch: Batch) -> str:
        model.zero_grad(set_to_none=True)
        try:
            return first_bad(model, lambda: run(i, batch))
        finally:
            model.zero_grad(set_to_none=True)

    for i, batch in enumerate(batches):
        if tensor := look(i, batch):
            if (whole := Finding(tensor, batch.samples)).hopeless:
                return whole
            by_itself = tuple(n for n in batch.samples[:256] if look(i, alone(n)))
            return Finding(tensor, batch.samples, by_itself)
    every = tuple(number for batch in batches for number in batch.samples)
    return Finding(ELSEWHERE, every)


def find(
    model: nn.Module,
    objective: Objective,
    batches: Sequence[Batch],
    precision: str,
    seeds: Callable[[int], int],
    world: World,
) -> Finding:
    """Compute a step whose loss or gradient is not finite again, slowly, with the weights as they were
    before it. Every rank looks at its own share; a rank that finds nothing says so."""
    totals = total_weights(batches, objective.weights, world)

    def again(i: int, batch: Batch) -> Any:
        torch.manual_seed(seeds(i))
        return backward(model, batch, objective.weights, totals, objective.label_smoothing, precision)

    def alone(number: int) -> Batch:
        return assemble([objective.sample(number)], pad=objective.pad)

    if any(hasattr(parameter, "placements") for parameter in model.parameters()):
        # Sharded weights are gathered by all ranks together: no rank can look at its own share alone.
        every = tuple(number for batch in batches for number in batch.samples)
        return Finding("a share of some rank (the weights are sharded)", every)
    return diagnose(model, batches, again, alone)


def failure(
    finding: Finding,
    step: int,
    folder: Path | None,
    skipped: Sequence[int] = (),
    checkpoint: Path | None = None,
) -> TrainingError:
    """The error to raise for a step whose loss or gradient is not finite, after the steps `skipped`;
    `checkpoint`: the last one that was written.

    All that was found goes to `folder`/failure.json too (None: another rank writes it).
    """
    found = {
        "step": step,
        "tensor": finding.tensor,
        "samples": list(finding.samples),
        "alone": list(finding.alone),
        "skipped": list(skipped),
    }
    if folder is not None:
        (folder / "failure.json").write_text(json.dumps(found, indent=2) + "\n")
    message = f"step {step}: not a finite number, first in {finding}"
    if skipped:
        message += f"; already left out: steps {some(skipped)}"
    last = f"the last checkpoint, {checkpoint.name}, is whole" if checkpoint else "there is no checkpoint yet"
    return TrainingError(
        message,
        hint="lower learning_rate, raise warmup or set precision = 'float32'; "
        f"{last}, and failure.json lists all samples",
    )
