"""liju examples: the worked examples, listed, printed, run."""

from __future__ import annotations

import runpy
from pathlib import Path

import liju
from liju.cli.story import say_next
from liju.errors import RequestError

__all__ = ["examples", "folder"]


def folder() -> Path:
    """Where the examples are: in the installed package, or beside the source."""
    inside = Path(liju.__file__).parent / "_share" / "examples"
    return inside if inside.exists() else Path(liju.__file__).parents[2] / "examples"


def examples(number: str = "", *, list: bool = False, code: bool = False) -> None:
    """List the worked examples, or print one and run it.

    examples:
      liju examples
      liju examples 2.1
      liju examples 2.1 --code

    Parameters
    ----------
    number
        The example's number, e.g. 2.1.
    list
        List them, whatever else is said.
    code
        Print it without running it.
    """
    found = {path.name.split("_")[0]: path for path in sorted(folder().glob("[0-9]*.py"))}
    if not number or list:
        for key, path in found.items():
            first = path.read_text(encoding="utf-8").splitlines()[0].strip('"')
            print(f"{key:<5}{first}")
        say_next("liju examples 1.1")
        return
    if number not in found:
        raise RequestError(f"no example {number!r}", hint=f"one of {', '.join(found)}")
    print(found[number].read_text(encoding="utf-8"))
    if not code:
        print("# --- what it prints ---")
        runpy.run_path(str(found[number]), run_name="__main__")
