"""The files of a run's folder, besides its checkpoints.

settings.json       what was asked, what the probe chose, fingerprints of data, model and settings
status.json         running (which process), done, stopped or failed
environment.json    versions, machine, threads: one entry each time the run was started
metrics.jsonl       one line a logged step, one an evaluation
samples.jsonl       text that evaluations gave
skipped.jsonl       steps that were left out: why, the samples, the first tensor that is not finite
failure.json        only after a NaN that ended the run: the tensor and the samples
profile.json        only where it was asked for: where the time of a step went
trace.json.gz       beside it: the steps that were looked at, operation by operation
tensorboard/        only where it was asked for: what metrics.jsonl has, for TensorBoard
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from liju.train.board import Board
from liju.train.settings import TrainSettings

__all__ = ["Run", "environment"]


class Run:
    """A run's folder. A line that cannot be written (a full disk) is told once and training goes on.

    >>> import tempfile
    >>> run = Run(Path(tempfile.mkdtemp()))
    >>> for step in (1, 2, 3):
    ...     run.log({"step": step, "loss": 1.5})
    >>> run.rewind(2)
    >>> [line["step"] for line in run.metrics()]
    [1, 2]
    """

    def __init__(self, folder: Path | str, notice: Callable[[str], None] = lambda text: None):
        self.folder = Path(folder)
        self.notice = notice
        self.board: Board | None = None  # is told what metrics.jsonl and samples.jsonl get
        self._told = False

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def used(self) -> bool:
        """There is a run in the folder already."""
        return (self.folder / "metrics.jsonl").exists() or any(self.checkpoints.glob("step-*"))

    def begin(
        self,
        settings: TrainSettings,
        chosen: Mapping[str, Any],
        prints: Mapping[str, str],
        network: Mapping[str, Any] | None = None,
    ) -> None:
        """Write settings.json and add an entry to environment.json. `network`: its family and size."""
        self.folder.mkdir(parents=True, exist_ok=True)
        asked = {"settings": asdict(settings), "chosen": dict(chosen), "fingerprints": dict(prints)}
        asked["model"] = dict(network or {})
        _write(self.folder / "settings.json", asked)
        entries = _read(self.folder / "environment.json") or []
        _write(self.folder / "environment.json", [*entries, environment(settings.seed, chosen)])

    @contextmanager
    def running(self) -> Iterator[None]:
        """While it is entered, status.json says that this process is at it; if that fails, why."""
        self.status("running", pid=os.getpid(), host=socket.gethostname())
        try:
            yield
        except BaseException as error:
            text = str(error).strip().split("\n")[0][:500]
            stopped = isinstance(error, KeyboardInterrupt | SystemExit)
            self.status("stopped" if stopped else "failed", error=text or type(error).__name__)
            raise

    def status(self, state: str, **more: Any) -> None:
        """Write status.json. A disk that is full is no reason to end."""
        with suppress(OSError):
            _write(self.folder / "status.json", {"state": state, **more})

    def chosen(self) -> dict[str, Any] | None:
        """What the probe chose when the run was started."""
        return (_read(self.folder / "settings.json") or {}).get("chosen")

    def log(self, line: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        self._append("metrics.jsonl", line)
        if self.board is not None:
            self.board.line(line)

    def sample(self, line: Mapping[str, Any]) -> None:
        """Add a line to samples.jsonl."""
        self._append("samples.jsonl", line)
        if self.board is not None:
            self.board.sample(line)

    def skip(self, line: Mapping[str, Any]) -> None:
        """Add a line to skipped.jsonl."""
        self._append("skipped.jsonl", line)

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return _lines(self.folder / "metrics.jsonl")

    def rewind(self, step: int) -> None:
        """Take away the lines after `step`, so that a resumed run's curve has no step twice."""
        for name in ("metrics.jsonl", "samples.jsonl", "skipped.jsonl"):
            path = self.folder / name
            if path.exists():
                kept = [json.dumps(line) + "\n" for line in _lines(path) if line.get("step", 0) <= step]
                _replace(path, "".join(kept))

    def _append(self, name: str, line: Mapping[str, Any]) -> None:
        path = self.folder / name
        size = path.stat().st_size if path.exists() else 0
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as error:
            if path.exists():
                os.truncate(path, size)  # not half a line
            if not self._told:
                self.notice(f"{path} cannot be written: {error}; training goes on without it")
            self._told = True


def environment(seed: int, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, machine, threads.

    >>> environment(0, {"device": "cpu"})["versions"]["torch"] == torch.__version__
    True
    """
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    for package in ("liju", "numpy", "safetensors", "tokenizers"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "unknown"
    device = str(chosen.get("device", "cpu"))
    return {
        "versions": versions,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "seed": seed,
        "command": sys.argv[:1],
    }


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines; one that a kill cut short is left out."""
    found = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            found.append(line)
    return found


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(path: Path, value: Any) -> None:
    _replace(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _replace(path: Path, text: str) -> None:
    """All or nothing."""
    temporary = path.with_name(f".writing-{path.name}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
