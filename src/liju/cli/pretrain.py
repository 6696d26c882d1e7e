"""liju pretrain: Initialise the network and train it without labels (steps 3 and 4)."""

from __future__ import annotations

from liju.cli.launch import launched
from liju.cli.story import say_next, split_words, work

__all__ = ["pretrain"]


def pretrain(*words: str, resume: bool = False, quiet: bool = False, on: str = "", output: str = "") -> None:
    """Initialise the network and train it without labels (steps 3 and 4).

    Steps before it that are not up to date are done first.

    examples:
      liju pretrain first
      liju pretrain first pretrain.steps=200 --resume
      liju pretrain first --on slurm:2x8 --output first.sbatch

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
    if launched("pretrain", words, on, resume=resume, quiet=quiet, output=output):
        return
    if work(words, "pretrain", resume, quiet) is None:
        return
    say_next(f"liju finetune {split_words(words)[0]}")
