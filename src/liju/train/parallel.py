"""The ranks of a run: one process, or those of an initialised `torch.distributed`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from liju.errors import ConfigError, RankError
from liju.samples.batch import Batch

__all__ = ["Replicated", "World"]

Result = TypeVar("Result")
BUCKET = 25 * 2**20  # bytes of gradients in one message, as DistributedDataParallel has it
# What a rank hears when another one has gone: of gloo, of NCCL, of the store.
LOST = re.compile(
    r"connection (closed|reset|refused|was likely closed)|broken pipe|timed out|timeout|remote process exited"
    r"|nccl|watchdog|gloo|socket|failed to recv|connectFullMesh",
    re.IGNORECASE,
)
_alone = 0  # how often the first rank is at work by itself
_patient: list[Any] = []  # the group for waits that may take hours


@dataclass(frozen=True)
class World:
    """The ranks. `tensor_parallel` of them, one after the other, share each sample; every such group takes a
    slice of each step's samples, and gradients are summed over the groups.

    >>> World().total([1.5, 2.0])
    [1.5, 2.0]
    >>> world = World(rank=5, size=8, tensor_parallel=2)
    >>> world.data_rank, world.data_size
    (2, 4)
    """

    rank: int = 0
    size: int = 1
    tensor_parallel: int = 1

    @classmethod
    def current(cls, tensor_parallel: int = 1) -> World:
        """The process group that the caller has initialised; one process without it, or inside `by_itself`.

        Raises ConfigError when the ranks are no multiple of `tensor_parallel`.
        """
        import torch.distributed as dist

        rank, size = 0, 1
        if not _alone and dist.is_available() and dist.is_initialized():
            rank, size = dist.get_rank(), dist.get_world_size()
        if size % tensor_parallel:
            raise ConfigError(
                f"tensor_parallel = {tensor_parallel} needs so many ranks, or a multiple of that, not {size}",
                hint="start that many with torchrun, or --on local:N" if size == 1 else "",
            )
        return cls(rank, size, tensor_parallel)

    @property
    def first(self) -> bool:
        """This rank writes the files and shows the progress."""
        return self.rank == 0

    @property
    def data_rank(self) -> int:
        """Which slice of the samples is this rank's."""
        return self.rank // self.tensor_parallel

    @property
    def data_size(self) -> int:
        """How many slices there are."""
        return self.size // self.tensor_parallel

    def total(self, values: Sequence[float], device: torch.device | str = "") -> list[float]:
        """The sums over all ranks."""
        return self._reduced(values, device, "SUM")

    def over_data(self, values: Sequence[float]) -> list[float]:
        """The sums over the slices of the samples: ranks that share samples count once."""
        return [value / self.tensor_parallel for value in self.total(values)]

    def largest(self, value: float) -> float:
        """The largest value of any rank."""
        return self._reduced([value], "", "MAX")[0]

    def _reduced(self, values: Sequence[float], device: torch.device | str, how: str) -> list[float]:
        if self.size == 1:
            return list(values)
        import torch.distributed as dist

        if not device:  # NCCL alone has no way to sum what is not on a GPU
            device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        found = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(found, getattr(dist.ReduceOp, how))
        return found.tolist()

    def agrees(self, value: float) -> bool:
        """Every rank has the same value."""
        mean = self.total([value])[0] / self.size
        return self.total([abs(value - mean)])[0] == 0

    def of_first(self, value: float) -> float:
        """The value that the first rank has. The others wait for it as long as it takes."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        device = "cuda" if not _patient and dist.get_backend() == "nccl" else "cpu"
        found = torch.tensor([value], dtype=torch.float64, device=device)
        with self.heard():
            dist.broadcast(found, src=0, group=_patient[-1] if _patient else None)
        return float(found)

    def told(self, value: Any) -> Any:
        """What the first rank has, of the types of JSON."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        text = json.dumps(value).encode() if self.first else b""
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        found = torch.zeros(int(self.of_first(float(len(text)))), dtype=torch.uint8, device=device)
        if self.first:
            found.copy_(torch.tensor(list(text), dtype=torch.uint8))
        dist.broadcast(found, src=0)
        return json.loads(bytes(found.tolist()))

    def first_only(self, work: Callable[[], Result]) -> Result | None:
        """Let the first rank work while the others wait. Where it raises, they raise RankError.

        >>> World().first_only(lambda: 7)
        7
        """
        if self.size == 1:
            return work()
        if not self.first:
            if self.of_first(1.0):
                raise RankError("the first rank ended with an error", hint="its own message says why")
            return None
        failed = True
        try:
            with by_itself():
                result = work()
            failed = False
            return result
        finally:
            self.of_first(float(failed))

    @contextmanager
    def heard(self, step: Callable[[], int] | None = None) -> Iterator[None]:
        """Turn what torch raises where another rank has died or is silent into a RankError.

        `step`: how many are done, for the message.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not LOST.search(str(error)):
                raise
            when = "" if step is None else f", after step {step()}"
            reason = str(error).strip().splitlines()[0][:200]
            raise RankError(
                f"rank {self.rank} of {self.size}{when}: another rank ended or does not answer ({reason})",
                hint="its own message says why; --resume goes on from the last checkpoint",
            ) from error

    def agree(self, model: nn.Module) -> None:
        """Give every rank the weights of the first."""
        if self.size > 1:
            import torch.distributed as dist

            for tensor in model.state_dict().values():
                dist.broadcast(tensor, src=0)


@contextmanager
def by_itself() -> Iterator[None]:
    """Inside, this process is a world of one: what is trained there is trained here alone."""
    global _alone
    _alone += 1
    try:
        yield
    finally:
        _alone -= 1


class Replicated:
    """Every rank has the whole model. Gradients are summed over the ranks in messages of 25 MB, each sent as
    soon as the last backward pass has left its part, so that sending and computing overlap (as
    DistributedDataParallel does: Li et al. 2020, arXiv:2006.15704).

    >>> weight = nn.Parameter(torch.ones(3))
    >>> replicated = Replicated(World(), nn.ParameterList([weight]))
    >>> replicated.balance([], {}, None)
    []
    """

    sharded = False

    def __init__(self, world: World, model: nn.Module, bucket: int = BUCKET):
        self.world, self.model, self.bucket = world, model, bucket
        self.device = next(model.parameters()).device  # that computes; weights may rest elsewhere
        self.sent: list[tuple[list[nn.Parameter], Tensor, Any]] = []
        self.buckets: list[list[nn.Parameter]] = []
        self.waiting: list[set[nn.Parameter]] = []
        self.handles: list[Any] = []

    def balance(
        self, batches: Sequence[Batch], totals: Mapping[str, float], spare: Callable[[], Batch] | None
    ) -> list[Batch]:
        """The micro-batches to go through: a rank may have more of them than another."""
        return list(batches)

    def overlap(self) -> None:
        """Called before the last backward pass of a step: from now on each full bucket is sent."""
        if self.world.size == 1:
            return
        self.buckets = list(_buckets(self.model.parameters(), self.bucket))
        self.waiting = [set(bucket) for bucket in self.buckets]
        self.sent = []
        for i, bucket in enumerate(self.buckets):
            for parameter in bucket:
                self.handles.append(parameter.register_post_accumulate_grad_hook(self._ready(i)))

    def _ready(self, i: int) -> Callable[[Tensor], None]:
        def hook(parameter: Tensor) -> None:
            self.waiting[i].discard(parameter)  # type: ignore[arg-type]
            # In order: what is sent as third here must be what is sent as third there.
            while len(self.sent) < len(self.waiting) and not self.waiting[len(self.sent)]:
                self._send()

        return hook

    def _send(self) -> None:
        import torch.distributed as dist

        bucket = self.buckets[len(self.sent)]
        parts = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in bucket]
        flat = torch.cat(parts)
        self.sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))

    def flush(self) -> None:
        """Send what is left: of a rank without samples, of parameters that its samples do not reach."""
        if self.world.size == 1:
            return
        if not self.buckets:
            self.overlap()
        for handle in self.handles:
            handle.remove()
        self.handles = []
        while len(self.sent) < len(self.buckets):
            self._send()

    def finish(self, present: Mapping[nn.Parameter, bool]) -> None:
        """Wait for the sums. `present` says which parameters have a gradient on some rank; the others keep
        none, so that no optimizer moves them."""
        for bucket, flat, work in self.sent:
            work.wait()
            for parameter, part in zip(bucket, flat.split([p.numel() for p in bucket]), strict=True):
                parameter.grad = part.view_as(parameter).clone() if present[parameter] else None
        self.sent, self.buckets = [], []

    @contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """The model with all of its weights, to be looked at by the first rank."""
        yield self.model

    def close(self) -> None:
        """The caller's model gets the weights of the last step."""

    def undo(self) -> None:
        """The caller's model is as it was built."""


def _buckets(parameters: Iterable[nn.Parameter], size: int) -> Iterator[list[nn.Parameter]]:
    """Parameters of one type together, the last first: that is the order in which gradients come."""
    kinds: dict[torch.dtype, list[nn.Parameter]] = {}
    held: dict[torch.dtype, int] = {}
    for parameter in reversed([p for p in parameters if p.requires_grad]):
        kind = parameter.dtype
        kinds.setdefault(kind, []).append(parameter)
        held[kind] = held.get(kind, 0) + parameter.numel() * parameter.element_size()
        if held[kind] >= size:
            yield kinds.pop(kind)
            held[kind] = 0
    yield from kinds.values()
