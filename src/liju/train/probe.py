"""What is fastest on this machine, measured in a moment: precision, compilation, the peak to compare with.

"bfloat16 is available" says nothing: on a CPU without such units it measured six times slower than float32,
on one with them three times faster.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from liju.model.config import TransformerConfig
from liju.model.layout import layout_for
from liju.samples.batch import Batch
from liju.samples.layout import Layout
from liju.train.settings import TrainSettings
from liju.train.work import Work

__all__ = ["Chosen", "blocks", "choose", "device_of", "speeds"]

FASTER = 1.3  # bfloat16 is taken when it is this many times faster: it costs accuracy
LONG_CPU, LONG_CUDA = 1200.0, 180.0  # seconds of training from which compiling may pay
MFU_GUESS = 0.4  # share of the peak that training reaches, to estimate its time


@dataclass(frozen=True)
class Chosen:
    """What the run uses. It is written into the run and taken from there on resume, not measured again (but
    for the peak, on another machine or in another precision)."""

    device: str
    precision: str  # float32: no autocast; bfloat16: autocast over float32 weights
    compile: bool
    layout: Layout
    peak_flops: float  # of a matrix product in training shapes, in that precision
    because: str = ""  # why rows are not flat on a GPU
    machine: str = ""  # whose peak that is

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def device_of(name: str) -> torch.device:
    """The device that a name means; "auto" is CUDA where there is one.

    >>> device_of("cpu")
    device(type='cpu')
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def machine_of(device: torch.device) -> str:
    """The kind of the GPU, or of the CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()


def blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of the model's stacks."""
    return [
        block
        for name, stack in model.named_modules()
        if name.split(".")[-1] == "blocks" and isinstance(stack, nn.ModuleList)
        for block in stack
    ]


def seconds(work: Callable[[], Any], device: torch.device, budget: float = 0.05) -> float:
    """The median time of one call, of as many (at least 3) as `budget` seconds hold."""

    def once() -> float:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    once()
    times = [once()]
    while len(times) < 3 or sum(times) < budget:
        times.append(once())
    return sorted(times)[len(times) // 2]


def speeds(model: nn.Module, settings: TrainSettings, device: torch.device) -> dict[str, float]:
    """Forward and backward through a feed-forward of the model's widths, in FLOP/s, in each precision.

    Under autocast, as in training: the casts of the weights are part of what is measured.
    """
    inside = [m for block in blocks(model) for m in block.modules() if isinstance(m, nn.Linear)]
    widest = max(inside, key=lambda m: m.weight.numel(), default=None)
    wide, narrow = widest.weight.shape if widest is not None else (1024, 256)
    rows = min(settings.micro_batch_tokens, 2048 if device.type == "cpu" else 32768)
    x = torch.randn(rows, narrow, device=device)
    up = torch.randn(wide, narrow, device=device).div_(narrow**0.5).requires_grad_()
    down = torch.randn(narrow, wide, device=device).div_(wide**0.5).requires_grad_()

    def work(precision: str) -> Callable[[], Any]:
        def run() -> None:
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
                loss = F.linear(F.relu(F.linear(x, up)), down).float().square().sum()
            torch.autograd.grad(loss, (up, down))

        return run

    flops = 2 * rows * wide * narrow * 5  # two products forward, three backward (x asks for no gradient)
    return {name: flops / seconds(work(name), device) for name in ("float32", "bfloat16")}


def peak(precision: str, device: torch.device, size: int = 0) -> float:
    """FLOP/s of a square matrix product: what the use of the machine is measured against."""
    size = size or (512 if device.type == "cpu" else 8192)
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b, device)


def choose(
    model: nn.Module,
    settings: TrainSettings,
    batch: Callable[[], Batch] | None = None,
    *,
    before: Mapping[str, Any] | None = None,
) -> Chosen:
    """Measure (about a third of a second) and decide what `settings` leave to "auto".

    `batch`: gives a micro-batch of the run; asked for only when compiling is to be tried.
    `before`: what the run chose when it was started; it stays, except for what is asked for by name. On a
    device of another kind all is chosen anew.
    """
    device = device_of(settings.device)
    if before is not None and torch.device(before["device"]).type != device.type:
        before = None
    asked: dict[str, Any] = {
        name: getattr(settings, name) for name in ("precision", "layout") if getattr(settings, name) != "auto"
    }
    if settings.compile != "auto":
        asked["compile"] = settings.compile == "on"
    if next(model.parameters()).dtype != torch.float32:
        asked["precision"] = "float32"  # weights of another type are computed with as they are
    if before is not None:
        kept = Chosen(**{**before, **asked, "device": str(device)})
        if (kept.precision, machine_of(device)) != (before["precision"], kept.machine):
            kept = replace(kept, peak_flops=peak(kept.precision, device), machine=machine_of(device))
        if kept.layout == "flat" and "layout" not in asked:  # another GPU may have no kernel for it
            layout, because = best_layout(model, device, kept.precision)
            kept = replace(kept, layout=layout, because=because)
        return kept
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        precision = asked.get("precision")
        if precision is None:
            measured = speeds(model, settings, device)
            precision = "bfloat16" if measured["bfloat16"] > FASTER * measured["float32"] else "float32"
        top = peak(precision, device)
        layout, because = best_layout(model, device, precision)
        if "layout" in asked:
            layout, because = asked["layout"], ""
        compiled = asked.get("compile")
        if compiled is None:
            work = Work.of(model)
            expected = 6 * work.weights * settings.batch_tokens * settings.steps
            expected /= MFU_GUESS * top  # seconds
            if device.type == "cuda":
                compiled = expected > LONG_CUDA
            else:
                compiled = (
                    batch is not None
                    and expected > LONG_CPU
                    and compiling_pays(model, batch(), device, precision)
                )
    return Chosen(str(device), precision, compiled, layout, top, because, machine_of(device))


def best_layout(model: nn.Module, device: torch.device, precision: str) -> tuple[Layout, str]:
    """The layout of rows for a device, and why it is not the flat one where that could have been expected."""
    config = getattr(model, "config", None)
    if device.type == "cpu" or not isinstance(config, TransformerConfig):
        return "grouped", ""
    dtype = torch.bfloat16 if precision == "bfloat16" else next(model.parameters()).dtype
    return layout_for(config, device, dtype)


def compiling_pays(model: nn.Module, batch: Batch, device: torch.device, precision: str) -> bool:
    """Time the model's first block on a micro-batch, forward and backward, as it is and compiled.

    A machine that cannot compile (no C++ compiler) answers no.
    """
    stack = blocks(model)
    if not stack:
        return False
    caught: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    handle = stack[0].register_forward_pre_hook(
        lambda module, args, kwargs: caught.append((args, kwargs)), with_kwargs=True
    )
    model.to(device)
    try:
        with torch.no_grad():
            model(batch.to(device))
    finally:
        handle.remove()
    args, kwargs = caught[0]

    def trial(block: Callable[..., Any]) -> Callable[[], Any]:
        def run() -> None:
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
                output = block(*args, **kwargs)
            output = output[0] if isinstance(output, tuple) else output
            output.float().sum().backward()

        return run

    try:
        plain = seconds(trial(stack[0]), device, 0.5)
        compiled = seconds(trial(torch.compile(stack[0], dynamic=True)), device, 0.5)
    except Exception:  # Inductor's failures have no common base class
        return False
    finally:
        model.zero_grad(set_to_none=True)
    torch.compiler.reset()
    return plain > 1.1 * compiled
