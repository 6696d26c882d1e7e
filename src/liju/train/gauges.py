"""What is read off a running training: memory, how far a step moves the weights, which rank is slow."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from statistics import median

import torch
from torch import Tensor

from liju.train.parallel import World

__all__ = ["Movement", "Stragglers", "give_back", "peak_memory"]

EVERY = 10  # steps from one look at the size of an update to the next: it costs a copy of the weights
GATHER = 50  # steps that a rank's time is summed over
SLOW = 1.5  # times the median
PERSISTENT = 3  # looks in a row
TRIM = 20  # steps from one giving back of memory to the next


def peak_memory(device: torch.device) -> int:
    """Bytes at most so far: of tensors on a CUDA device, else of the whole process.

    >>> peak_memory(torch.device("cpu")) > 10 * 2**20
    True
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # macOS counts bytes, Linux kB


def give_back(step: int) -> None:
    """Give freed memory back to the system, every so many steps.

    Batches of ever new shapes leave holes in the heap of glibc: a run of 400 steps grew from 0.8 to 4 GB.
    With this it stayed flat over 60, at no measurable cost. Other systems do it by themselves.

    >>> give_back(0)
    """
    if step % TRIM == 0 and (trim := _trimmer()) is not None:
        trim(0)


@cache
def _trimmer() -> Callable[[int], int] | None:
    """glibc's malloc_trim, where there is one."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


class Movement:
    r"""$\lVert \Delta W \rVert / \lVert W \rVert$ of one step, over all that is trained: about 1e-3 is usual
    at the peak learning rate; far more is a learning rate too high, far less one too low.

    >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> movement = Movement([weight])
    >>> movement.before(step=0)
    >>> with torch.no_grad(): _ = weight.add_(torch.tensor([0.3, 0.4]))
    >>> round(movement.after(), 6)
    0.1
    """

    def __init__(self, parameters: Iterable[Tensor], every: int = EVERY):
        given = list(parameters)
        # Weights in shares would be looked at together with the other ranks: they are left alone.
        self.parameters = [] if any(hasattr(p, "placements") for p in given) else given
        self.every = every
        self._kept: list[Tensor] | None = None

    def before(self, step: int) -> None:
        """Keep the weights, at every tenth step."""
        if self.parameters and step % self.every == 0:
            self._kept = [parameter.detach().clone() for parameter in self.parameters]

    def after(self) -> float | None:
        """The ratio, if the weights before the step were kept."""
        if self._kept is None:
            return None
        kept, self._kept = self._kept, None
        size = _norm(kept)
        for before, parameter in zip(kept, self.parameters, strict=True):
            before.sub_(parameter.detach())
        return _norm(kept) / size if size else math.inf


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.nn.utils.get_total_norm(tensors))


class Stragglers:
    """Names the ranks that take longer than the others: over 1.5 times the median of 50 steps' own work,
    three times in a row. Own work is forward and backward, without waiting for the others.

    >>> slow = Stragglers()
    >>> [slow.named([1.0, 1.1, 2.0, 0.9]) for _ in range(4)]
    [[], [], [(2, 1.9047619047619047)], []]
    """

    def __init__(self) -> None:
        self.seconds, self.steps = 0.0, 0
        self._late: dict[int, int] = {}

    def add(self, seconds: float, world: World) -> list[float] | None:
        """Count a step's own seconds; each rank's mean, every 50 steps."""
        if world.size == 1:
            return None
        self.seconds += seconds
        self.steps += 1
        if self.steps < GATHER:
            return None
        mean, self.seconds, self.steps = self.seconds / self.steps, 0.0, 0
        return world.total([mean * (rank == world.rank) for rank in range(world.size)])

    def named(self, seconds: Sequence[float]) -> list[tuple[int, float]]:
        """Ranks that are late for the third time in a row, and how many times the median they take."""
        usual = median(seconds)
        found = []
        for rank, own in enumerate(seconds):
            late = own > SLOW * usual
            self._late[rank] = self._late.get(rank, 0) + 1 if late else 0
            if self._late[rank] == PERSISTENT:
                found.append((rank, own / usual))
        return found
