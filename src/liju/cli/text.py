"""liju text: Collect and clean text (step 1)."""

from __future__ import annotations

from liju.cli.again import again
from liju.cli.story import say_next, step

__all__ = ["text"]


def text(*words: str, resume: bool = False, quiet: bool = False) -> None:
    """Collect and clean text (step 1).

    Steps before it that are not up to date are done first.

    examples:
      liju text first
      liju text first text.min_characters=20

    Parameters
    ----------
    words
        The project file or its folder (liju.toml here, when left out), and overrides section.key=value.
    resume
        Continue an unfinished training where it stopped.
    quiet
        Say nothing but errors.
    """
    step(words, "text", resume, quiet)
    say_next(again("vocab", words))
