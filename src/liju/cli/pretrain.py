"""liju pretrain: Initialise the network and train it without labels (steps 3 and 4)."""

from __future__ import annotations

from liju.cli.again import again
from liju.cli.launch import train_where
from liju.cli.story import say_next

__all__ = ["pretrain"]


def pretrain(
    *words: str,
    resume: bool = False,
    quiet: bool = False,
    on: str = "",
    output: str = "",
    profile: bool = False,
    tensorboard: bool = False,
) -> None:
    """Initialise the network and train it without labels (steps 3 and 4).

    Steps before it that are not up to date are done first.

    examples:
      liju pretrain first
      liju pretrain first pretrain.steps=200 --resume
      liju pretrain first name=looked-at --profile
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
    profile
        Look at a few steps: a table of where the time went, and a trace.
    tensorboard
        Write what metrics.jsonl has for TensorBoard too.
    """
    if train_where(words, "pretrain", on, resume, quiet, output, profile, tensorboard) is not None:
        say_next(again("finetune", words))
