"""Checkpoints of sharded weights, by `torch.distributed.checkpoint` as safetensors: nothing is pickled.

    checkpoints/step-000500/
        shard-00001-model-00001-of-00001.safetensors   what rank 0 has of weights and optimizer, with offsets
        shard-00002-...                                rank 1, and so on
        state.json                                     as for one rank; size and SHA-256 of every shard

The tensors are copied to the host's memory; then training goes on while a thread of each rank writes. The
folder gets its name when every shard is on the disk. Any number of ranks reads it, each what it needs; so it
does a checkpoint of one rank.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any

from torch import Tensor, nn

from liju.errors import CheckpointError
from liju.train import checkpoint as checkpoints
from liju.train.checkpoint import Checkpoint, weights
from liju.train.optimizer import Optimizer
from liju.train.parallel import World

__all__ = ["Saver", "agreed_newest"]


def agreed_newest(root: Path, world: World, notice: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint, chosen by the first rank: it alone reads all files for their sums.

    Raises CheckpointError where another rank does not see it.
    """
    found = world.first_only(lambda: checkpoints.newest(root, notice))
    at = int(world.of_first(-1 if found is None else found.step))
    if world.first or at < 0:
        missing = False
    else:
        try:
            found, missing = Checkpoint.open(root / f"step-{at:06d}", sums=False), False
        except CheckpointError:
            missing = True
    if world.total([float(missing)])[0]:
        raise CheckpointError(
            f"the first rank goes on from step {at} in {root}, which other ranks do not see whole",
            hint="all ranks need the run's folder on one shared disk",
        )
    return found


class Saver:
    """Writes the checkpoints of a sharded model. All ranks call it at the same steps."""

    def __init__(self, root: Path, world: World):
        import torch.distributed as dist

        self.root, self.world = root, world
        self.group: Any = dist.new_group(backend="gloo")  # its messages come between no others
        self.running: Future[Path] | None = None

    def begin(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        state: Mapping[str, Any],
        after: Callable[[], None] = lambda: None,
    ) -> None:
        """Copy the tensors and write them meanwhile; `after` is called by the first rank when it is done."""
        tensors = {**weights(model), **optimizer.state()}
        staged = {name: _staged(tensor) for name, tensor in tensors.items()}
        self.running = running = Future()

        def write() -> None:
            try:
                running.set_result(self._write(staged, state, after))
            except BaseException as error:
                running.set_exception(error)

        # A daemon: a rank that waits for one that is gone must be able to end.
        Thread(target=write, name="checkpoint", daemon=True).start()

    def finish(self) -> Path | None:
        """Wait for the one that is being written. Raises CheckpointError, on all ranks, where it failed."""
        running, self.running = self.running, None
        return None if running is None else running.result()

    def leave(self) -> None:
        """Nothing: a rank that waits for one that is gone must be able to end."""

    def _write(
        self, tensors: Mapping[str, Tensor], state: Mapping[str, Any], after: Callable[[], None]
    ) -> Path:
        import torch.distributed as dist
        import torch.distributed.checkpoint as dcp

        folder = self.root / f"step-{state['step']:06d}"
        temporary = self.root / f".writing-{folder.name}"
        error, files = "", {}
        if self.world.first:
            try:
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir(parents=True)
            except OSError as raised:
                error = str(raised)
        error = self._shared(error)
        if not error:
            try:
                # Its log tells of every shard; what goes wrong is raised.
                writer = dcp.HuggingFaceStorageWriter(str(temporary), save_distributed=True)  # pyright: ignore[reportPrivateImportUsage]
                dcp.save(dict(tensors), storage_writer=writer, process_group=self.group)  # pyright: ignore[reportPrivateImportUsage]
                for path in temporary.glob(f"shard-{self.world.rank + 1:05d}-*.safetensors"):
                    checkpoints.flush(path)
                    files[path.name] = (path.stat().st_size, checkpoints.digest(path))
            except (dcp.CheckpointException, OSError) as raised:  # pyright: ignore[reportPrivateImportUsage]
                error = _reason(raised)
        every: list[Any] = [None] * self.world.size
        dist.all_gather_object(every, (files, error), group=self.group)
        error = next((why for _, why in every if why), "")
        if self.world.first and not error:
            try:
                found = {name: size for files, _ in every for name, size in files.items()}
                checkpoints.complete(temporary, folder, {**state, "files": found})
                after()
            except OSError as raised:
                error = str(raised)
        error = self._shared(error)
        if error:
            if self.world.first:
                shutil.rmtree(temporary, ignore_errors=True)
            size = sum(t.numel() * t.element_size() for t in tensors.values()) // 2**20 + 1
            raise CheckpointError(
                f"step {state['step']} could not be saved in {self.root}: {error}",
                hint=f"about {size} MB are needed; free some, then go on with --resume",
            )
        return folder

    def _shared(self, error: str) -> str:
        """What went wrong on the first rank."""
        import torch.distributed as dist

        told = [error]
        dist.broadcast_object_list(told, src=0, group=self.group)
        return told[0]


def read(folder: Path, model: nn.Module, optimizer: Optimizer | None) -> None:
    """Read a checkpoint, of whatever number of ranks, into a model, of whatever number of ranks.

    Raises CheckpointError when the model has other tensors than the one that was saved.
    """
    import torch.distributed.checkpoint as dcp

    reader = dcp.HuggingFaceStorageReader(str(folder))  # pyright: ignore[reportPrivateImportUsage]
    saved = {name: list(entry.size) for name, entry in reader.read_metadata().state_dict_metadata.items()}  # type: ignore[union-attr]
    own = weights(model)
    known = {name for name in saved if name in own or name.rpartition(".")[0] not in own}
    checkpoints.compare(folder, {name: saved[name] for name in known}, own)
    tensors = dict(own)
    if optimizer is not None:
        optimizer.allocate(saved.keys())
        tensors |= optimizer.state()
    alone = not any(hasattr(tensor, "placements") for tensor in own.values())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)  # so it is meant
        dcp.load(tensors, storage_reader=reader, no_dist=alone)  # pyright: ignore[reportPrivateImportUsage]


def _staged(tensor: Tensor) -> Tensor:
    """A copy in the host's memory; of a sharded tensor, of this rank's part."""
    from torch.distributed.tensor import DTensor

    if not isinstance(tensor, DTensor):
        return tensor.detach().to("cpu", copy=True)
    # Not from_local: that takes it back to the device of the mesh. FSDP makes what it offloads like this.
    return DTensor(tensor.to_local().detach().to("cpu", copy=True), tensor._spec, requires_grad=False)


def _reason(error: BaseException) -> str:
    """What was wrong on the rank where it was."""
    failures = getattr(error, "failures", None)
    if failures:
        rank, (cause, _) = next(iter(failures.items()))
        return f"rank {rank}: {cause}"
    return str(error)
