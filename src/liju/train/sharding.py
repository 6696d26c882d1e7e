"""Weights, gradients and optimizer split over the ranks, by FSDP2 (`torch.distributed.fsdp.fully_shard`).

Each rank keeps a slice of every tensor. A block is gathered when it is computed and let go after; its
gradient is summed and cut into slices while the backward pass goes on (Zhao et al. 2023, arXiv:2304.11277;
Rajbhandari et al. 2019, arXiv:1910.02054).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from liju.samples.batch import Batch, Targets
from liju.train.checkpoint import weights
from liju.train.parallel import Replicated, World
from liju.train.probe import blocks
from liju.train.recompute import recompute
from liju.train.settings import TrainSettings

__all__ = ["Parallel", "Sharded", "gradient_norm", "parallelize", "shards"]

BYTES = 16  # a parameter, its gradient and AdamW's two moments, in float32
ROOM = 0.5  # share of a GPU's memory that they may take before they are sharded

Parallel = Replicated  # what the loop asks of either


def shards(model: nn.Module, settings: TrainSettings, world: World, device: torch.device) -> bool:
    """Whether the weights are to be split. "auto" does it when they, their gradients and the optimizer's
    memory take more than half of a GPU.

    >>> shards(nn.Linear(2, 3), TrainSettings(), World(rank=0, size=4), torch.device("cpu"))
    False
    """
    if world.tensor_parallel > 1:
        return True
    if world.size == 1 or settings.sharding == "replicate":
        return False
    if settings.sharding == "auto":
        state = BYTES * sum(p.numel() for p in model.parameters())
        return device.type == "cuda" and state > ROOM * torch.cuda.get_device_properties(device).total_memory
    return True


def parallelize(
    model: nn.Module,
    settings: TrainSettings,
    world: World,
    device: torch.device,
    precision: str,
    compile: bool,
) -> Parallel:
    """The model as it is trained: over the ranks as `settings` say, recomputed and compiled where asked."""
    if shards(model, settings, world, device):
        return Sharded(model, settings, world, device, precision, compile)
    model.to(device)
    return Whole(model, settings, world, compile)


class Whole(Replicated):
    """Every rank has the caller's model itself."""

    def __init__(self, model: nn.Module, settings: TrainSettings, world: World, compile: bool):
        super().__init__(world, model)
        self.as_built = recompute(blocks(model), settings.recompute)
        if compile:
            for block in blocks(model):
                block.compile(dynamic=True)
        self.compiled = compile

    def undo(self) -> None:
        self.as_built()
        if self.compiled:
            for block in blocks(self.model):
                block._compiled_call_impl = None  # torch has no way back of its own


class Sharded(Replicated):
    """A copy of the caller's model whose tensors are split over the ranks; the caller's own, in the host's
    memory, gets the weights when they are to be looked at, and at the end."""

    sharded = True

    def __init__(
        self,
        model: nn.Module,
        settings: TrainSettings,
        world: World,
        device: torch.device,
        precision: str,
        compile: bool,
    ):
        from torch.distributed.device_mesh import init_device_mesh

        super().__init__(world, copy.deepcopy(model))
        self.caller, self.device = model, device
        shape = (world.data_size, world.tensor_parallel)
        self.mesh = init_device_mesh(device.type, shape, mesh_dim_names=("data", "tensor"))
        self.partial: list[nn.Parameter] = []
        if world.tensor_parallel > 1:
            from liju.train.tensor_parallel import split_decoder

            self.partial = split_decoder(self.model, self.mesh["tensor"])
        partial = {id(p) for p in self.partial}
        names = [name for name, p in self.model.named_parameters() if id(p) in partial]
        recompute(blocks(self.model), settings.recompute)
        if compile:
            for block in blocks(self.model):
                block.compile(dynamic=True)
        _shard(self.model, self.mesh["data"], precision, settings.sharding == "offload")
        own = dict(self.model.named_parameters())  # other objects than before
        self.partial = [own[name] for name in names]

    def balance(
        self, batches: Sequence[Batch], totals: Mapping[str, float], spare: Callable[[], Batch] | None
    ) -> list[Batch]:
        """As many micro-batches on every rank, each with every head: gathering needs all ranks. What is added
        has no weight in the loss."""
        missing = int(self.world.largest(len(batches))) - len(batches)
        if not batches:
            assert spare is not None
        more = [_blank(batches[-1] if batches else spare())] * missing if missing else []  # type: ignore[misc]
        heads = [name for name, total in totals.items() if total]
        return [_with_heads(batch, heads) for batch in (*batches, *more)]

    def overlap(self) -> None:
        """FSDP sends each block's gradients while the backward pass goes on."""

    def flush(self) -> None: ...

    def finish(self, present: Mapping[nn.Parameter, bool]) -> None:
        """Sum what the ranks of one sample have each a part of: norms see a part of the places."""
        import torch.distributed as dist

        with_gradient = [p for p in self.partial if p.grad is not None]
        if not with_gradient:
            return
        parts = [_local(p.grad) for p in with_gradient if p.grad is not None]
        flat = torch.cat([part.flatten() for part in parts])
        dist.all_reduce(flat, group=self.mesh["tensor"].get_group())
        for part, summed in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
            part.copy_(summed.view_as(part))

    @torch.no_grad()
    def gather(self, here: bool = True) -> None:
        """Give the caller's model the weights of all ranks (all must ask; `here`: this one keeps them)."""
        target = weights(self.caller)
        for name, tensor in weights(self.model).items():
            found = _full(tensor)
            if here:
                target[name].copy_(found)

    @contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """The caller's model with all weights, on the first rank's device while it looks."""
        self.gather(here=self.world.first)
        if not self.world.first:
            yield self.caller
            return
        home = next(self.caller.parameters()).device
        self.caller.to(self.device)
        try:
            yield self.caller
        finally:
            self.caller.to(home)

    def close(self) -> None:
        self.gather()


def _shard(model: nn.Module, mesh: Any, precision: str, offload: bool) -> None:
    """Each block a unit of its own; all else, used before and after them, one more.

    On a GPU blocks are gathered in bfloat16 where that is computed with, and their gradients summed in
    float32; the rest stays in float32, as under autocast alone, so that the residual stream keeps its
    precision. (On a CPU a norm takes no weight of another type than its input; there is no link to spare.)
    """
    from torch.distributed.fsdp import (
        CPUOffloadPolicy,
        FSDPModule,
        MixedPrecisionPolicy,
        OffloadPolicy,
        fully_shard,
    )

    policy = CPUOffloadPolicy(pin_memory=mesh.device_type == "cuda") if offload else OffloadPolicy()
    half = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    plain = MixedPrecisionPolicy(cast_forward_inputs=False)
    for block in blocks(model):
        mixed = half if precision == "bfloat16" and mesh.device_type == "cuda" else plain
        fully_shard(block, mesh=mesh, mp_policy=mixed, offload_policy=policy)
    # The heads come after the model's own forward pass: what they need must not be let go of before.
    fully_shard(model, mesh=mesh, mp_policy=plain, offload_policy=policy, reshard_after_forward=False)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # The losses are divided by the count of all ranks' targets already (law 2): sum, never average.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)  # gloo and NCCL alike


def _blank(batch: Batch) -> Batch:
    """The same places with nothing to predict."""
    targets = {name: replace(t, weight=torch.zeros_like(t.weight)) for name, t in batch.targets.items()}
    return replace(batch, targets=targets)


def _with_heads(batch: Batch, heads: Sequence[str]) -> Batch:
    """With a target of no weight for each head that it has none for: every rank's backward pass must reach
    the same tensors."""
    missing = [name for name in heads if name not in batch.targets]
    if not missing:
        return batch
    zero = torch.zeros(1, dtype=torch.int64)
    nothing = Targets(zero, zero, torch.zeros(1), zero)
    return replace(batch, targets={**batch.targets, **dict.fromkeys(missing, nothing)})


@torch.no_grad()
def gradient_norm(parameters: Sequence[Tensor]) -> float:
    r"""$\sqrt{\sum g^2}$ over gradients that are split over ranks; what several ranks have counts once.

    Every rank must ask.
    """
    import torch.distributed as dist

    size = dist.get_world_size()
    squares: list[Tensor] = []  # summed where they are: each number that is fetched is a wait for the device
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None:
            continue
        parts = 1
        for i, placement in enumerate(getattr(gradient, "placements", ())):
            if not placement.is_replicate():
                parts *= gradient.device_mesh.size(i)  # type: ignore[union-attr]
        local = _local(gradient)
        wide = local.float() if local.dtype.itemsize < 4 else local
        square = torch.linalg.vector_norm(wide).double().square()
        squares.append(square * (parts / size))
    devices = {square.device for square in squares}
    own = [float(torch.stack([s for s in squares if s.device == device]).sum()) for device in devices]
    return World.current().total([sum(own)])[0] ** 0.5


def _local(tensor: Tensor) -> Tensor:
    """This rank's part."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor  # type: ignore[operator]


def _full(tensor: Tensor) -> Tensor:
    """All ranks' parts as one."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # type: ignore[operator]
