"""The ranks of a run: one process, or those of an initialised `torch.distributed`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["World"]


@dataclass(frozen=True)
class World:
    """Every rank takes a slice of each step's samples, and gradients are summed over the ranks.

    >>> World().total([1.5, 2.0])
    [1.5, 2.0]
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> World:
        """The process group that the caller has initialised; one process without it."""
        import torch.distributed as dist

        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def first(self) -> bool:
        """This rank writes the files and shows the progress."""
        return self.rank == 0

    def total(self, values: Sequence[float], device: torch.device | str = "cpu") -> list[float]:
        """The sums over all ranks."""
        if self.size == 1:
            return list(values)
        import torch.distributed as dist

        summed = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(summed)
        return summed.tolist()

    def agrees(self, value: float) -> bool:
        """Every rank has the same value."""
        mean = self.total([value])[0] / self.size
        return self.total([abs(value - mean)])[0] == 0

    def sum_gradients(self, parameters: Iterable[Tensor], present: Sequence[bool]) -> None:
        """Sum the gradients over the ranks, those of one type in one message. `present` says which
        parameters have a gradient on some rank; the others keep none, so that no optimizer moves them."""
        if self.size == 1:
            return
        import torch.distributed as dist

        kinds: dict[torch.dtype, list[Tensor]] = {}
        for parameter, has in zip(parameters, present, strict=True):
            if has:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                kinds.setdefault(parameter.dtype, []).append(parameter.grad)
        for gradients in kinds.values():
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(flat)
            for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def agree(self, model: nn.Module) -> None:
        """Give every rank the weights of the first."""
        if self.size > 1:
            import torch.distributed as dist

            for tensor in model.state_dict().values():
                dist.broadcast(tensor, src=0)
