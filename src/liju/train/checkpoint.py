"""Checkpoints: a folder a step, whole or not there.

    checkpoints/step-000500/
        model.safetensors       weights and buffers, each tied tensor once
        optimizer.safetensors   what the optimizers remember
        state.json              step, samples seen, fingerprints, best score; size and SHA-256 of both files

(`liju.train.distributed_checkpoint` has a file a rank instead of the first two.)
A checkpoint is written under a temporary name, flushed to the disk and renamed; while training goes on, by
`liju.train.writer`. A torn one (a missing,
shorter or altered file) is never loaded: the newest whole one is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from liju.errors import CheckpointError
from liju.train.optimizer import Optimizer

__all__ = ["Checkpoint", "best", "newest", "prune", "save", "weights"]

FILES = ("model.safetensors", "optimizer.safetensors")
_NAME = re.compile(r"step-(\d{6,})")


def _tensors(model: nn.Module) -> Iterator[tuple[str, str, Tensor]]:
    """Each entry of the state dict, with the name under which its tensor came first (tied: another's)."""
    seen: dict[int, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        yield name, seen.setdefault(id(tensor), name), tensor


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A model's weights and buffers by name, each tied tensor once.

    >>> model = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    >>> model["b"].weight = model["a"].weight
    >>> list(weights(model))
    ['a.weight']
    """
    return {name: tensor.detach() for name, first, tensor in _tensors(model) if name == first}


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: its files were as long, and had the sums, that were written down."""

    folder: Path
    state: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.state["step"]

    @classmethod
    def open(cls, folder: Path, sums: bool = True) -> Checkpoint:
        """Check the folder's files (with `sums`, every byte). Raises CheckpointError that says what is wrong
        with which."""
        try:
            written = json.loads((folder / "state.json").read_text())
            state, sha256 = written["state"], written["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            raise CheckpointError(f"{folder / 'state.json'} cannot be read") from None
        if sha256 != _digest_of(state):
            raise CheckpointError(f"{folder / 'state.json'} was altered")
        for name, (size, sha256) in state["files"].items():
            path = folder / name
            if not path.is_file():
                raise CheckpointError(f"{path} is missing")
            if path.stat().st_size != size:
                raise CheckpointError(f"{path} has {path.stat().st_size} bytes of {size}")
            if sums and digest(path) != sha256:
                raise CheckpointError(f"{path} was altered")
        return cls(folder, state)

    @torch.no_grad()
    def restore(self, model: nn.Module, optimizer: Optimizer | None = None) -> None:
        """Put the weights into `model` and the memory into `optimizer`.

        Raises CheckpointError when the model has other tensors than the one that was saved.
        """
        own = weights(model)
        if FILES[0] not in self.state["files"] or any(hasattr(t, "placements") for t in own.values()):
            from liju.train.distributed_checkpoint import read

            return read(self.folder, model, optimizer)
        saved = load_file(self.folder / FILES[0])
        compare(self.folder, {name: list(tensor.shape) for name, tensor in saved.items()}, own)
        for name, tensor in own.items():
            tensor.copy_(saved[name])
        if optimizer is not None:
            optimizer.load(load_file(self.folder / FILES[1]))


def save(root: Path, model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]) -> Path:
    """Write `root`/step-NNNNNN (`state["step"]`) and return it.

    Raises CheckpointError when the disk is full or cannot be written; what was written so far is removed, the
    older checkpoints are as they were.
    """
    return write(root, (weights(model), optimizer.state()), state)


def write(root: Path, files: Sequence[Mapping[str, Tensor]], state: Mapping[str, Any]) -> Path:
    """`save` of the tensors themselves: those of the model, those of the optimizer."""
    folder = root / f"step-{state['step']:06d}"
    temporary = root / f".writing-{folder.name}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        written = {}
        for name, tensors in zip(FILES, files, strict=True):
            path = temporary / name
            save_file({key: value.detach().contiguous() for key, value in tensors.items()}, path)
            written[name] = (path.stat().st_size, digest(path))
        complete(temporary, folder, {**state, "files": written})
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"step {state['step']} could not be saved in {root}: {error}",
            hint=f"about {_megabytes(files)} MB are needed; free some, then go on with --resume",
        ) from error
    return folder


def complete(temporary: Path, folder: Path, state: Mapping[str, Any]) -> None:
    """Add state.json to the files in `temporary`, and give the folder its name when all is on the disk."""
    whole = json.loads(json.dumps(state))
    text = json.dumps({"state": whole, "sha256": _digest_of(whole)}, indent=2)
    (temporary / "state.json").write_text(text)
    for path in (*temporary.iterdir(), temporary):
        flush(path)
    if folder.exists():  # the same step, saved before
        os.rename(folder, aside := folder.with_name(f".old-{folder.name}"))
        shutil.rmtree(aside)
    os.rename(temporary, folder)
    flush(folder.parent)


def compare(folder: Path, saved: Mapping[str, list[int]], own: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError for a tensor that the model has otherwise than the checkpoint in `folder`."""
    for name in sorted(saved.keys() | own.keys()):
        there = saved.get(name, "missing")
        here = list(own[name].shape) if name in own else "missing"
        if there != here:
            raise CheckpointError(
                f"{name} is {there} in {folder} and {here} in the model", hint="it is another model's"
            )


def newest(root: Path, notice: Callable[[str], None] = lambda text: None) -> Checkpoint | None:
    """The newest whole checkpoint, or None where there is no checkpoint at all.

    Each torn one that is passed over is told to `notice`. Raises CheckpointError when all are torn.
    """
    torn = []
    for folder in _folders(root):
        try:
            return Checkpoint.open(folder)
        except CheckpointError as error:
            torn.append(error.message)
            notice(f"torn checkpoint left out: {error.message}")
    if torn:
        raise CheckpointError(
            f"no checkpoint in {root} is whole: {'; '.join(torn)}", hint="start again in a new run"
        )
    return None


def best(root: Path) -> Checkpoint | None:
    """The checkpoint with the best score so far; the newest where none was kept."""
    last = newest(root)
    if last is None or not last.state.get("best"):
        return last
    try:
        return Checkpoint.open(root / f"step-{last.state['best']['step']:06d}")
    except CheckpointError:
        return last


def prune(root: Path, keep: int, best_step: int | None = None) -> None:
    """Remove all but the newest `keep` checkpoints and the best one."""
    for folder in _folders(root)[keep:]:
        if folder.name != f"step-{best_step or -1:06d}":
            shutil.rmtree(folder, ignore_errors=True)


def set_aside(root: Path, after: int) -> None:
    """Rename the (torn) checkpoints of later steps, so that the run can write these steps again."""
    for folder in _folders(root):
        if int(folder.name.split("-")[1]) > after:
            torn = folder.with_name(f"{folder.name}.torn")
            shutil.rmtree(torn, ignore_errors=True)
            os.rename(folder, torn)


def _folders(root: Path) -> list[Path]:
    """Checkpoint folders, newest first."""
    found = [path for path in root.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]), reverse=True)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(state: Any) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def flush(path: Path) -> None:
    """Onto the disk, not only into the system's memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _megabytes(files: Sequence[Mapping[str, Tensor]]) -> int:
    tensors = [tensor for file in files for tensor in file.values()]
    return 1 + sum(tensor.numel() * tensor.element_size() for tensor in tensors) // 2**20
