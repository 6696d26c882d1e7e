"""liju run: every step that is not up to date."""

from __future__ import annotations

from liju.cli.launch import launched
from liju.cli.story import say_next, shown_path, work

__all__ = ["run"]


def run(*words: str, resume: bool = False, quiet: bool = False, on: str = "", output: str = "") -> None:
    """Do every step of a project file that is not up to date: text, vocab, pretrain, finetune, evaluate.

    A step is done again when its input, its section or the code that matters to it has changed. Nothing is
    overwritten.

    examples:
      liju run first
      liju run first --resume
      liju run first pretrain.steps=500 name=longer

    Parameters
    ----------
    words
        The project file or its folder (liju.toml here, when left out), and overrides section.key=value.
    resume
        Continue an unfinished training where it stopped.
    quiet
        Say nothing but errors.
    on
        Where: local:2 (two ranks on this machine), slurm:4x8 (a script for 4 machines with 8 GPUs each),
        ray:4. See the page on scale.
    output
        File for the Slurm script (shown, when left out).
    """
    if launched("run", words, on, resume=resume, quiet=quiet, output=output):
        return
    opened = work(words, "", resume, quiet)
    if opened is None:
        return
    where = shown_path(opened.folder)
    print(f"wrote {where}/report.html")
    say_next(f'liju predict {where} "..."', f"liju serve {where}")
