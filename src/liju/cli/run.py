"""liju run: every step that is not up to date."""

from __future__ import annotations

from liju.cli.story import open_project, say_next, shown_path

__all__ = ["run"]


def run(*words: str, resume: bool = False, quiet: bool = False) -> None:
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
    """
    from liju.project import do

    opened = open_project(words, resume, quiet)
    do(opened)
    where = shown_path(opened.folder)
    print(f"wrote {where}/report.html")
    say_next(f'liju predict {where} "..."', f"liju serve {where}")
