"""`--on local:2`, `--on slurm:4x8`, `--on ray:4`: a verb on several ranks."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from liju.cli.story import say_profile, split_words, work
from liju.errors import ConfigError

if TYPE_CHECKING:
    from liju.project import Run

__all__ = ["launched", "train_where"]


def launched(
    verb: str, words: Sequence[str], on: str, *, resume: bool, quiet: bool, output: str = "", **more: bool
) -> bool:
    """Start the verb where `on` says; False when it says nothing, and the verb is to be done here. `more`:
    other flags that the ranks are to get.

    Raises ConfigError for a place that it does not know.
    """
    if not on:
        return False
    found = re.fullmatch(r"(local|ray):([1-9]\d*)|slurm(?::([1-9]\d*)(?:x([1-9]\d*))?)?", on)
    if found is None:
        raise ConfigError(f"--on {on} is not known", hint="local:2, ray:4, slurm or slurm:NODESxGPUS")
    split_words(words)
    flags = {"resume": resume, "quiet": quiet, **more}
    again = [verb, *words, *(f"--{name}" for name, is_set in flags.items() if is_set)]
    if found[1] == "ray":
        from liju.cli import main
        from liju.train.launch import on_ray

        on_ray(again, int(found[2]), main)
    elif found[1] == "local":
        from liju.train.launch import torchrun

        _run(torchrun(again, int(found[2])))
    else:
        from liju.train.launch import sbatch

        name = re.sub(r"[^\w.-]", "-", split_words(words)[0].stem) or "liju"
        script = sbatch(again, int(found[3] or 1), int(found[4] or 8), name)
        if output:
            Path(output).write_text(script, encoding="utf-8")
            print(f"wrote {output}\nnext: sbatch {output}")
        else:
            print(script, end="")
    return True


def train_where(
    words: Sequence[str],
    verb: str,
    on: str,
    resume: bool,
    quiet: bool,
    output: str,
    profile: bool,
    tensorboard: bool,
) -> Run | None:
    """Do a training verb where `on` says. The run, where it was done here and by the first rank."""
    flags = {"profile": profile, "tensorboard": tensorboard}
    if launched(verb, words, on, resume=resume, quiet=quiet, output=output, **flags):
        return None
    opened = work(words, verb, resume, quiet, **flags)
    if opened is not None and profile and not quiet:
        say_profile(opened, verb)
    return opened


def _run(command: Sequence[str]) -> None:
    """Run it; told to stop, hand that on and wait until all ranks have saved; told by a second Ctrl-C, end at
    once (the ranks do not outlive what started them).

    It has a session of its own: Ctrl-C comes to all of a terminal's processes, and torch's go at once.
    """
    asked: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def stop(number: int, _: object) -> None:
        if not asked and process is not None:
            print("stopping: the ranks finish their step and save (two minutes at most)", file=sys.stderr)
            process.terminate()
        elif asked and process is not None and number == signal.SIGINT:
            print("ending now: what came after the last checkpoint is lost", file=sys.stderr)
            process.kill()
        asked.append(number)

    old = {number: signal.signal(number, stop) for number in STOPS}
    try:
        process = subprocess.Popen(command, start_new_session=True)
        if asked:
            process.terminate()
        code = process.wait()
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
    if asked and code:
        raise SystemExit(130)  # the first rank has told how far it came
    if code:
        print(f"error: the ranks ended with {code}", file=sys.stderr)
        raise SystemExit(code if 0 < code < 256 else 1)


# Those that end a command: Ctrl-C, kill, a terminal that is closed.
STOPS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))
