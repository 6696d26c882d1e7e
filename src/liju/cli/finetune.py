"""liju finetune: train for a task with labelled examples."""

from __future__ import annotations

from liju.cli.launch import launched
from liju.cli.story import say_next, shown_path, split_words, work

__all__ = ["finetune"]


def finetune(*words: str, resume: bool = False, quiet: bool = False, on: str = "", output: str = "") -> None:
    """Train for a task with labelled examples (step 5).

    Steps before it that are not up to date are done first.

    examples:
      liju finetune first
      liju finetune first finetune.trainable=head finetune.learning_rate=1e-3

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
    if launched("finetune", words, on, resume=resume, quiet=quiet, output=output):
        return
    opened = work(words, "finetune", resume, quiet)
    if opened is None:
        return
    say_next(f"liju evaluate {split_words(words)[0]}", f'liju predict {shown_path(opened.folder)} "..."')
