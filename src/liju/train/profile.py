"""Where the time of a step goes: a trace of a few steps, and a table of its parts."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType  # type: ignore[attr-defined] - public, not in its __all__
from torch.profiler import ProfilerActivity, profile, record_function

__all__ = ["DATA", "OPTIMIZER", "PARTS", "STEPS", "Profiler", "part", "table"]

PARTS = ("matrix products", "attention", "norms", "embedding and loss", "optimizer", "communication")
PARTS += ("waiting for data", "idle", "between operations", "other")
WARM = 3  # steps before the first look: memory is taken, kernels are chosen
STEPS = 5  # that `--profile` counts
LONGEST = 20.0  # seconds recorded, after which no further step is: a trace has thousands of lines a step
OPERATIONS = 20  # of the longest list
STEP, OPTIMIZER, DATA = "liju: step", "liju: optimizer", "liju: data"

# A part that all below it belongs to: the products inside attention are attention.
WHOLE = {
    "optimizer": re.compile(OPTIMIZER),
    "waiting for data": re.compile(DATA),
    "attention": re.compile(r"scaled_?dot_?product|fmha|attention|attn|(^|[^a-z])flash", re.I),
    "norms": re.compile(r"(layer|rms)_?norm", re.I),
    "communication": re.compile(r"^(c10d|_c10d_functional|nccl|gloo)|nccl(Dev|:)|FSDP::", re.I),
}
# Products of two stacks of matrices, and softmax, are in attention only.
NAMES = {
    "attention": re.compile(
        r"^aten::(bmm|baddbmm_?|_?softmax\w*)$|(Bmm|Baddbmm)Backward|[^g]SoftmaxBackward"
    ),
    "matrix products": re.compile(r"^aten::(mm|addmm_?|addmv_?|mv|dot|linear|matmul)$|(Mm|Addmm)Backward"),
    "embedding and loss": re.compile(
        r"^aten::(embedding|index_select|cross_entropy|nll_loss|_?log_softmax)|^_Chunks"
        r"|(Embedding|IndexSelect|LogSoftmax|NllLoss|CrossEntropyLoss)\w*Backward"
    ),
}
# Kernels that no operation of torch is written beside, as in compiled regions.
KERNELS = {
    "attention": re.compile(r"flex_attention|flash|fmha", re.I),
    "matrix products": re.compile(r"gemm|cutlass|nvjet|triton_tem", re.I),
    "norms": re.compile(r"(layer|rms)_?norm|rsqrt", re.I),
    "embedding and loss": re.compile(r"embedding|log_softmax|nll_loss|index_select", re.I),
    "communication": re.compile("nccl", re.I),
}


def part(name: str) -> record_function:
    """Marks what is done within as a part of a step, for a profiler that may be looking."""
    return record_function(name)


class Profiler:
    """Looks at `steps` steps after the third and leaves trace.json.gz (for Perfetto or chrome://tracing) and
    profile.json in `folder`. The numbers of the training are not touched. 0: it never looks.

    >>> import tempfile
    >>> with Profiler(tempfile.mkdtemp(), steps=2) as profiler:
    ...     for step in range(7):
    ...         with profiler.step(step):
    ...             _ = torch.ones(3, 5) @ torch.ones(5, 2)
    >>> profiler.found["steps"], round(sum(row["share"] for row in profiler.found["parts"].values()), 2)
    ([5, 6], 1.0)
    """

    def __init__(self, folder: Path | str, steps: int, device: torch.device | None = None):
        self.folder, self.wanted = Path(folder), steps
        self.device = device or torch.device("cpu")
        self.found: dict[str, Any] = {}  # what profile.json has, once it has looked
        self._numbers: list[int] = []
        self._seen = 0
        self._looking: profile | None = None

    def __enter__(self) -> Profiler:
        return self

    def __exit__(self, *error: object) -> None:
        if self._looking is not None:
            self._end(keep=not any(error))

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """One step of the loop, after `number` others."""
        if not self.wanted or self.found:
            yield
            return
        self._seen += 1
        if self._looking is None and self._seen > WARM:
            kinds = [ProfilerActivity.CPU]
            kinds += [ProfilerActivity.CUDA] if self.device.type == "cuda" else []
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it tells on standard error that it starts
            self._looking = profile(activities=kinds)
            self._looking.start()
            self._began = time.monotonic()
        with record_function(STEP):
            yield
        if self._looking is not None:
            self._numbers.append(number + 1)
            late = time.monotonic() - self._began > LONGEST and len(self._numbers) > 1
            # The first one is not counted: the profiler itself starts in it.
            if late or len(self._numbers) > self.wanted:
                self._end(keep=True)

    def _end(self, keep: bool) -> None:
        looked, self._looking = self._looking, None
        if looked is None:
            return
        looked.stop()
        if not keep or not self._numbers:
            return
        counted = self._numbers[1:] or self._numbers
        self.found = {"steps": counted, "device": str(self.device)}
        self.found |= _parts(list(looked.events() or ()), len(counted), self.device.type == "cuda")
        looked.export_chrome_trace(str(self.folder / "trace.json.gz"))
        text = json.dumps(self.found, indent=2, ensure_ascii=False) + "\n"
        (self.folder / "profile.json").write_text(text, encoding="utf-8")


def table(found: Mapping[str, Any]) -> str:
    """What profile.json has, as lines for a person: ms a step and share of each part.

    >>> print(table({"steps": [5, 6], "device": "cpu", "step_ms": 20.0,
    ...     "parts": {"matrix products": {"ms": 15.0, "share": 0.75}, "other": {"ms": 5.0, "share": 0.25}}}))
    a step of 20.0 ms on cpu (mean of 2)
      matrix products        15.00 ms   75 %
      other                   5.00 ms   25 %
    """
    lines = [f"a step of {found['step_ms']:,.1f} ms on {found['device']} (mean of {len(found['steps'])})"]
    for name, row in found["parts"].items():
        lines.append(f"  {name:<18} {row['ms']:>9,.2f} ms  {100 * row['share']:>3.0f} %")
    return "\n".join(lines)


def _parts(events: Sequence[Any], count: int, on_device: bool) -> dict[str, Any]:
    """The mean of the last `count` steps among a profiler's events: their parts sum to the whole."""
    # A range that is marked on the CPU is told for the GPU too, under the same name.
    cpu = [event for event in events if event.device_type == DeviceType.CPU]
    roots = [event for event in cpu if event.name == STEP][-count:]
    spent: defaultdict[str, float] = defaultdict(float)
    operations: dict[tuple[str, str], list[float]] = {}
    whole = sum(root.time_range.elapsed_us() for root in roots)

    def add(name: str, where: str, microseconds: float) -> None:
        spent[where] += microseconds
        row = operations.setdefault((name, where), [0, 0.0])
        row[0] += 1
        row[1] += microseconds

    if on_device:
        _on_device(events, roots, add)
        whole = max(whole, sum(spent.values()))  # kernels of several streams may run at once
        idle = whole - sum(spent.values())
        waited = sum(e.time_range.elapsed_us() for e in cpu if e.name == DATA and _within(e, roots))
        spent["waiting for data"] = min(idle, waited)
        spent["idle"] = idle - spent["waiting for data"]
    else:
        for root in roots:
            for event, where in _walk(root, "other", fixed=False):
                below = sum(child.time_range.elapsed_us() for child in event.cpu_children)
                where = "between operations" if event is root else where
                add(event.name, where, event.time_range.elapsed_us() - below)
    longest = sorted(operations.items(), key=lambda item: -item[1][1])[:OPERATIONS]
    return {
        "step_ms": round(whole / len(roots) / 1e3, 4),
        "parts": {
            name: {"ms": round(spent[name] / len(roots) / 1e3, 4), "share": round(spent[name] / whole, 6)}
            for name in PARTS
            if spent[name] > 0
        },
        "operations": [
            {
                "name": "Python" if name == STEP else name,
                "part": where,
                "calls": round(calls / len(roots), 1),
                "ms": round(microseconds / len(roots) / 1e3, 4),
            }
            for (name, where), (calls, microseconds) in longest
        ],
    }


def _walk(root: Any, where: str, fixed: bool) -> Iterator[tuple[Any, str]]:
    """Every event from one down, with its part; what no rule knows is of the part that its parent is of."""
    stack = [(root, where, fixed)]
    while stack:
        event, where, fixed = stack.pop()
        if not fixed:
            where, fixed = _rule(event.name, where)
        yield event, where
        stack += [(child, where, fixed) for child in event.cpu_children]


def _rule(name: str, inherited: str) -> tuple[str, bool]:
    for where, known in WHOLE.items():
        if known.search(name):
            return where, True
    return next((where for where, known in NAMES.items() if known.search(name)), inherited), False


def _within(event: Any, roots: Sequence[Any]) -> bool:
    return any(r.time_range.start <= event.time_range.start <= r.time_range.end for r in roots)


def _on_device(events: Sequence[Any], roots: Sequence[Any], add: Any) -> None:
    """A device's kernels: each belongs where the operation that started it does, whatever thread that ran in
    (the backward pass has its own)."""
    known: Counter[tuple[str, float]] = Counter()
    tops = [e for e in events if e.device_type == DeviceType.CPU and e.cpu_parent is None]
    for top in tops:
        for event, where in _walk(top, "other", fixed=False):
            if event.kernels and _within(event, roots):
                for kernel in event.kernels:
                    known[kernel.name, kernel.duration] += 1
                    add(kernel.name, where, kernel.duration)
    for event in events:
        if event.device_type == DeviceType.CPU or not _within(event, roots):
            continue
        if event.name.startswith("liju: ") or getattr(event, "is_user_annotation", False):
            continue
        key = (event.name, event.time_range.elapsed_us())
        if known[key] > 0:
            known[key] -= 1
        else:
            where = next((name for name, rule in KERNELS.items() if rule.search(event.name)), "other")
            add(event.name, where, key[1])
