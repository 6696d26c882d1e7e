"""A run directory: every step's output in a folder of its own, named by what it depends on.

    runs/first/
      liju.toml                 the resolved project file
      run.json                  which folder is each step's newest
      text-1a2b3c4d/            cleaned documents                    done.json: key, seconds, summary
      vocab-.../tokenizer/      tokenizer.json
      samples-.../              token shards of training and held-out text
      pretrain-.../             checkpoints, metrics.jsonl, bundle/  (a model folder)
      finetune-.../             checkpoints, metrics.jsonl, bundle/
      evaluate-.../             scores.json, answers.jsonl
      report.html               the story of the run

Nothing is ever overwritten: changed text, settings or code make another folder (made_of.json in each says of
what it was made). A step whose folder holds done.json is up to date.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liju.config import Project, documented
from liju.errors import CheckpointError, DataError, LijuError
from liju.finetune import steps_of
from liju.project.keys import code_version, key
from liju.project.resuming import RECORD, made_of, resumed, trained

__all__ = ["Done", "Run", "Step", "Stopped", "wanted", "write_json", "write_text"]

Tell = Callable[[str], None]


class Stopped(LijuError):
    """A step was asked to stop (Ctrl-C, SIGTERM); what it had is saved."""

    exit_code = 130  # as for any command that Ctrl-C ended


@dataclass(frozen=True)
class Done:
    """A finished step: its folder, its key, and what it has to tell."""

    folder: Path
    key: str
    summary: dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One step of the way: what it needs, what code matters to it, and the work."""

    name: str
    needs: tuple[str, ...]
    code: tuple[str, ...]
    section: Callable[[Run], Any]  # everything besides the inputs and the code that its output depends on
    work: Callable[[Run, Path], dict[str, Any]]
    tell: Callable[[dict[str, Any]], list[str]]  # its summary as lines of the story
    together: bool = False  # every rank of a run works at it; the other steps are the first rank's


@dataclass
class Run:
    """A project file and its run directory."""

    project: Project
    base: Path  # folder of the project file: relative paths start here
    steps: Sequence[Step]
    resume: bool = False
    tell: Tell = print
    live: Callable[[str], Any] | None = None  # a live view for a named training
    profile: int = 0  # steps of each training to look at: where the time goes
    tensorboard: bool = False  # trainings are told to TensorBoard too
    done: dict[str, Done] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    sections: dict[str, Any] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.base / self.project.out / self.project.name

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    def needs(self, step: Step) -> list[str]:
        """What a step needs, of what this project has."""
        names = [each.name for each in wanted(self)]
        return [needed for needed in step.needs if needed in names]

    def key(self, name: str) -> str:
        """What the step's output depends on; looked at once, so that a run is of one state of the files."""
        if name not in self.keys:
            step = self.step(name)
            inputs = [self.key(needed) for needed in self.needs(step)]
            self.sections[name] = step.section(self)
            self.keys[name] = key(name, code_version(*step.code), self.sections[name], *inputs)
        return self.keys[name]

    def up_to_date(self, name: str) -> bool:
        return (self.folder / f"{name}-{self.key(name)}" / "done.json").exists()

    def ensure(self, name: str) -> Done:
        """The step's output, made now if it is not up to date, after everything it needs."""
        if name in self.done:
            return self.done[name]
        step = self.step(name)
        for needed in self.needs(step):
            self.ensure(needed)
        found = self.key(name)
        folder = self.folder / f"{name}-{found}"
        record = folder / "done.json"
        world = _world()
        if not world.agrees(float(int(found[:12], 16))):
            raise DataError(
                f"{name}: the files of rank {world.rank} are not those of the other ranks",
                hint="all ranks need the project on one shared disk",
            )
        if world.of_first(float(record.exists())):
            self.tell(f"[bold]{name}[/]  up to date ({folder.name})")
        elif world.size > 1 and step.together:
            with ExitStack() as stack:
                world.first_only(lambda: self._begin(name, folder, stack))
                started = time.monotonic()
                made = self._work(step, folder)
                world.first_only(lambda: self._finish(step, folder, made, time.monotonic() - started))
        else:
            world.first_only(lambda: self._whole(step, folder))
        world.first_only(lambda: self._remember(name, folder.name))
        self.done[name] = Done(folder, found, _summary(record))
        return self.done[name]

    def _whole(self, step: Step, folder: Path) -> None:
        with ExitStack() as stack:
            self._begin(step.name, folder, stack)
            started = time.monotonic()
            made = self._work(step, folder)
            seconds = time.monotonic() - started
        self._finish(step, folder, made, seconds)

    def _begin(self, name: str, folder: Path, stack: ExitStack) -> None:
        stack.enter_context(alone(self.folder))
        self._make_room(name, folder)
        self.tell(f"[bold]{name}[/]")

    def _work(self, step: Step, folder: Path) -> dict[str, Any]:
        try:
            return step.work(self, folder)
        except OSError as error:
            error.filename = error.filename or str(folder)  # a full disk does not say where
            raise

    def _finish(self, step: Step, folder: Path, made: dict[str, Any], seconds: float) -> None:
        for line in step.tell(made):
            self.tell(f"  {line}")
        self.tell(f"  [dim]{seconds:.1f} s, in {folder.name}[/]")
        record = {"key": self.key(step.name), "seconds": round(seconds, 2), "summary": made}
        write_json(folder / "done.json", record)

    def _make_room(self, name: str, folder: Path) -> None:
        """An unfinished training is continued or refused, never overwritten; the rest starts afresh."""
        checkpoints = trained(folder)
        if checkpoints and not self.resume:
            raise CheckpointError(
                f"{folder}: an unfinished {name} is here, at {checkpoints[-1].name.replace('-', ' ')}",
                hint="add --resume to continue it, or name=another to start afresh beside it",
            )
        if not checkpoints:
            if self.resume and (folder / "metrics.jsonl").exists():
                self.tell(f"  {folder.name} has no checkpoint yet: {name} begins anew")
            if folder.exists():
                shutil.rmtree(folder)
            if self.resume and (before := resumed(self, name)) is not None:
                self.tell(f"  goes on with {before.name}: its settings differ in rounding alone")
                before.rename(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RECORD, made_of(self, name))

    def _remember(self, name: str, folder: str) -> None:
        known = steps_of(self.folder) if (self.folder / "run.json").exists() else {}
        if known.get(name) != folder:
            steps = {**known, name: folder}
            write_json(self.folder / "run.json", {"name": self.project.name, "steps": steps})
        write_text(self.folder / "liju.toml", documented(self.project) + "\n")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time works in a run directory. The system lets go of the lock of a process that dies.

    Raises DataError where another one is at work.
    """
    try:
        import fcntl
    except ImportError:  # Windows: two runs of one name are the user's care
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(
                f"{folder}: another process is at work here", hint="wait for it, or name=another"
            ) from None
        yield


def _world() -> Any:
    """The ranks of this run."""
    from liju.train import World

    return World.current()


def _summary(record: Path) -> dict[str, Any]:
    try:
        return json.loads(record.read_text(encoding="utf-8"))["summary"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{record}: cannot be read: {error}", hint=f"remove {record.parent} to do this step again"
        ) from None


def wanted(run: Run) -> list[Step]:
    """The steps that the project file asks for."""
    left_out = () if run.project.finetune.task else ("finetune", "evaluate")
    if run.project.model.path:  # a model that is there already
        left_out = (*left_out, "text", "vocab", "samples")
    return [step for step in run.steps if step.name not in left_out]


def write_json(path: Path, value: Any) -> None:
    """As `write_text`, as JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Written to a temporary name and renamed: a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say where
        temporary.unlink(missing_ok=True)
        raise
