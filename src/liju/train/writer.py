"""Checkpoints of a model that one process has whole, written while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from liju.train import checkpoint as checkpoints
from liju.train.checkpoint import weights
from liju.train.optimizer import Optimizer
from liju.train.parallel import World
from liju.train.worst import free_memory

__all__ = ["Saves", "Writer"]

SPARE = 1.5  # times the size of a checkpoint that must be free for a copy of it


class Saves(Protocol):
    """What the loop asks of whatever writes its checkpoints. All ranks call it at the same steps."""

    running: Future[Path] | None

    def begin(
        self, model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any], after: Callable[[], None]
    ) -> None:
        """Take what is to be written, and write it meanwhile; then call `after`."""
        ...

    def finish(self) -> Path | None:
        """Wait for the one that is being written. Raises CheckpointError where it failed."""
        ...

    def leave(self) -> None:
        """The run ends, maybe by an error: what can still be written is."""
        ...


class Writer:
    """The first rank copies its tensors and goes on; a thread writes them as `checkpoint.save` would, under a
    temporary name until all is on the disk. One at a time. Where there is no memory for a copy, it waits.

    >>> import tempfile
    >>> from liju.train.optimizer import AdamW
    >>> layer = nn.Linear(2, 3)
    >>> writer = Writer(Path(tempfile.mkdtemp()), World())
    >>> writer.begin(layer, AdamW(dict(layer.named_parameters()), 0.1), {"step": 7}, lambda: None)
    >>> writer.finish().name
    'step-000007'
    """

    def __init__(self, root: Path, world: World):
        self.root, self.world = root, world
        self.running: Future[Path] | None = None

    def begin(
        self, model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any], after: Callable[[], None]
    ) -> None:
        """Copy the tensors and write them meanwhile; `after` is called when the folder has its name."""
        if not self.world.first:
            return
        files = [weights(model), optimizer.state()]
        self.running = running = Future()
        size = sum(tensor.numel() * tensor.element_size() for file in files for tensor in file.values())
        free = free_memory(torch.device("cpu"))
        alone = bool(free) and free < SPARE * size
        if not alone:
            files = [{name: _copied(tensor) for name, tensor in file.items()} for file in files]

        def write() -> None:
            try:
                folder = checkpoints.write(self.root, files, state)
                after()
                running.set_result(folder)
            except BaseException as error:
                running.set_exception(error)

        if alone:
            write()
        else:
            Thread(target=write, name="checkpoint", daemon=True).start()

    def finish(self) -> Path | None:
        """Wait for the one that is being written. Raises CheckpointError where it failed."""
        running, self.running = self.running, None
        return None if running is None else running.result()

    def leave(self) -> None:
        """Wait for it, whatever has happened besides: a run that ends by an error has its last checkpoint."""
        if self.running is not None:
            self.running.exception()


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)
