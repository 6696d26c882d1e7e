"""liju new: a commented project file that runs as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from liju.cli.story import say_next, shown_path

__all__ = ["new"]


def new(folder: Path, /, *, family: Literal["encoder", "decoder", "encdec"] = "encoder") -> None:
    """Write a commented liju.toml, and a little text to run it on, into a new folder.

    examples:
      liju new first
      liju new translator --family encdec

    Parameters
    ----------
    folder
        Where to write; nothing there is overwritten.
    family
        encoder classifies, decoder writes, encdec translates.
    """
    from liju.project.template import new as write

    for path in write(folder, family):
        print(f"wrote {shown_path(path)}")
    say_next(f"liju check {folder}", f"liju run {folder}")
