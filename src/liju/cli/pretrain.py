"""liju pretrain: Initialise the network and train it without labels (steps 3 and 4)."""

from __future__ import annotations

from liju.cli.story import say_next, split_words, step

__all__ = ["pretrain"]


def pretrain(*words: str, resume: bool = False, quiet: bool = False) -> None:
    """Initialise the network and train it without labels (steps 3 and 4).

    Steps before it that are not up to date are done first.

    examples:
      liju pretrain first
      liju pretrain first pretrain.steps=200 --resume

    Parameters
    ----------
    words
        The project file or its folder (liju.toml here, when left out), and overrides section.key=value.
    resume
        Continue an unfinished training where it stopped.
    quiet
        Say nothing but errors.
    """
    step(words, "pretrain", resume, quiet)
    say_next(f"liju finetune {split_words(words)[0]}")
