"""liju vocab: Build the vocabulary (step 2)."""

from __future__ import annotations

from liju.cli.again import again
from liju.cli.story import say_next, step

__all__ = ["vocab"]


def vocab(*words: str, resume: bool = False, quiet: bool = False) -> None:
    """Build the vocabulary (step 2).

    Steps before it that are not up to date are done first.

    examples:
      liju vocab first
      liju vocab first vocab.size=4000

    Parameters
    ----------
    words
        The project file or its folder (liju.toml here, when left out), and overrides section.key=value.
    resume
        Continue an unfinished training where it stopped.
    quiet
        Say nothing but errors.
    """
    step(words, "vocab", resume, quiet)
    say_next(again("pretrain", words))
