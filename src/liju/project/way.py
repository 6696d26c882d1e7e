"""A project file and its run directory: every step that is not up to date, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from liju import config
from liju.config import Problem, Project
from liju.errors import ConfigError
from liju.project.directory import Run, wanted
from liju.project.parts import check_model
from liju.project.preset import follow_preset
from liju.project.resuming import check_resumed
from liju.project.splits import check_splits
from liju.project.start import check_start, follow_start
from liju.project.steps import STEPS
from liju.project.story import write_story
from liju.train import World

__all__ = ["do", "open_run", "run"]


def check_sources(project: Project) -> list[Problem]:
    """A run needs text."""
    if project.text.sources or project.model.path:
        return []
    return [("text.sources", "is empty", "name a file, a folder or package:NAME/inside")]


def check_device(project: Project) -> list[Problem]:
    """A run needs the device that it names."""
    import torch

    if project.device == "cuda" and not torch.cuda.is_available():
        return [("device", "there is no CUDA device here", 'device = "auto" takes what there is')]
    return []


def open_run(
    path: str | Path = "liju.toml",
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    tell: Callable[[str], None] = lambda line: None,
    live: Callable[[str], Any] | None = None,
    profile: int = 0,
    tensorboard: bool = False,
) -> Run:
    """A project file, checked whole, and its run directory. Nothing is computed yet. `profile` and
    `tensorboard` are those of `liju.train.train`, for each training that is done.

    Raises ConfigError with every mistake in the file.
    """
    path = Path(path)
    path = path / "liju.toml" if path.is_dir() else path
    checks = [check_model, check_sources, check_device, check_start(path.parent)]

    def follow(tree: dict[str, Any]) -> dict[str, Any]:
        return follow_start(follow_preset(tree), path.parent)

    project = config.read(path, overrides, checks, follow=follow)
    return Run(project, path.parent, STEPS, resume, tell, live, profile, tensorboard)


def run(path: str | Path = "liju.toml", *overrides: str, resume: bool = False) -> Path:
    """Do every step of a project file that is not up to date; gives the run directory.

    >>> import tempfile
    >>> from liju.project import new
    >>> folder = tempfile.mkdtemp()
    >>> _ = new(folder, "decoder")
    >>> where = run(folder, "pretrain.steps=2", "finetune.epochs=1", "evaluate.baselines=[]")
    >>> sorted(path.name.split("-")[0] for path in where.iterdir() if path.is_dir())
    ['evaluate', 'finetune', 'pretrain', 'samples', 'text', 'vocab']
    """
    opened = open_run(path, overrides, resume=resume)
    do(opened)
    return opened.folder


def do(opened: Run, until: str = "") -> None:
    """The steps up to `until`, or all that the file asks for, and the report."""
    names = [step.name for step in wanted(opened)]
    if until and until not in names:
        raise ConfigError(
            "[finetune] task is empty", hint="classification, tagging, translation or generation"
        )
    if "finetune" in names and until in ("", "finetune", "evaluate"):
        check_splits(opened)
    names = names[: names.index(until) + 1] if until else names
    if opened.resume:
        World.current().first_only(lambda: check_resumed(opened, names))
    for name in names:
        opened.ensure(name)
    World.current().first_only(lambda: write_story(opened))
