"""liju new: a commented project file that runs as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from liju.cli.story import say_next, shown_path

__all__ = ["new"]


def new(
    folder: Path,
    /,
    *,
    family: Literal["", "encoder", "decoder", "encdec"] = "",
    preset: str = "",
    scale: float = 1.0,
) -> None:
    """Write a commented liju.toml, and a little text to run it on, into a new folder.

    examples:
      liju new first
      liju new translator --family encdec
      liju new small-bert --preset bert-base --scale 0.1

    Parameters
    ----------
    folder
        Where to write; nothing there is overwritten.
    family
        encoder classifies (the usual), decoder writes, encdec translates.
    preset
        A published system, as liju show presets lists them; it has its family.
    scale
        Share of the preset's width; its depth, heads and lengths follow.
    """
    from liju.project.template import new as write

    for path in write(folder, family, preset=preset, scale=scale):
        print(f"wrote {shown_path(path)}")
    say_next(f"liju check {folder}", f"liju run {folder}")
