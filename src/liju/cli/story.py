"""How the verbs that make things talk: the story on standard output, the live view on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from liju.project import Run

__all__ = ["open_project", "say_next", "say_profile", "split_words", "step", "work"]


def split_words(words: Sequence[str]) -> tuple[Path, list[str]]:
    """The project file and the overrides, in whatever order they came.

    >>> split_words(["pretrain.steps=7", "first"])
    (PosixPath('first'), ['pretrain.steps=7'])
    """
    overrides = [word for word in words if "=" in word]
    paths = [word for word in words if "=" not in word]
    if len(paths) > 1:
        from liju.errors import ConfigError

        raise ConfigError(
            f"more than one project file: {', '.join(paths)}", hint="an override is section.key=value"
        )
    return Path(paths[0] if paths else "liju.toml"), overrides


def teller(quiet: bool) -> Callable[[str], None]:
    console = Console(highlight=False, soft_wrap=True)
    return (lambda line: None) if quiet else (lambda line: console.print(_safe(line)))


def _safe(line: str) -> str:
    """Only our own marks are marks: text from a corpus is printed as it is."""
    from rich.markup import escape

    for mark in ("bold", "dim", "green"):
        if f"[{mark}]" in line and "[/]" in line:
            before, _, rest = line.partition(f"[{mark}]")
            inner, _, after = rest.rpartition("[/]") if not rest.endswith("[/]") else (rest[:-3], "", "")
            return f"{escape(before)}[{mark}]{escape(inner)}[/]{escape(after)}"
    return escape(line)


def live_view(quiet: bool) -> Callable[[str], Any] | None:
    if quiet:
        return None

    def view(name: str) -> Any:
        from liju.train import live_for

        return live_for(Console(file=sys.stderr, highlight=False))

    return view


def open_project(
    words: Sequence[str],
    resume: bool = False,
    quiet: bool = False,
    profile: bool = False,
    tensorboard: bool = False,
) -> Run:
    """The run that the words name."""
    from liju.project import open_run

    path, overrides = split_words(words)
    steps = 0
    if profile:
        from liju.train.profile import STEPS as steps
    return open_run(
        path,
        overrides,
        resume=resume,
        tell=teller(quiet),
        live=live_view(quiet),
        profile=steps,
        tensorboard=tensorboard,
    )


def step(
    words: Sequence[str],
    name: str,
    resume: bool,
    quiet: bool,
    profile: bool = False,
    tensorboard: bool = False,
) -> Run:
    """Do one step, and those before it that are not up to date."""
    from liju.project import do

    opened = open_project(words, resume, quiet, profile, tensorboard)
    do(opened, until=name)
    return opened


def work(
    words: Sequence[str],
    name: str,
    resume: bool,
    quiet: bool,
    profile: bool = False,
    tensorboard: bool = False,
) -> Run | None:
    """Do the steps up to `name` (all of them: ""), with the other ranks where the process is one of several.

    Only the first rank speaks, and gets the run back.
    """
    from liju.project import Stopped
    from liju.train.launch import joined

    with joined() as world:
        try:
            opened = step(words, name, resume, quiet or not world.first, profile, tensorboard)
        except Stopped as stopped:
            if world.first:
                raise
            raise SystemExit(stopped.exit_code) from None
    return opened if world.first else None


def say_profile(opened: Run, name: str) -> None:
    """The table of where a training's time went, or why there is none."""
    import json

    from liju.train.profile import table

    folder = opened.ensure(name).folder
    path = folder / "profile.json"
    if path.exists():
        print(table(json.loads(path.read_text(encoding="utf-8"))))
        print(f"wrote {shown_path(path)} and trace.json.gz (for ui.perfetto.dev)")
    else:
        print(f"no profile: {name} was up to date, or had too few steps; name=another trains anew")


def say_next(*commands: str) -> None:
    """Every command ends with the next one to try."""
    for command in commands:
        print(f"next: {command}")


def shown_path(path: Path) -> str:
    """A path as a person would type it here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
