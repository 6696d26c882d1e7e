"""A further command on the same project file, as a person may paste it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from liju.cli.story import split_words

__all__ = ["again"]


def again(verb: str, words: Sequence[str]) -> str:
    """The command line of another verb with the project file and the overrides of this one: without them it
    would mean another run.

    >>> again("vocab", ["first", "name=other", 'text.sources=["a b.txt"]'])
    'liju vocab first name=other \\'text.sources=["a b.txt"]\\''
    """
    path, overrides = split_words(words)
    return shlex.join(["liju", verb, str(path), *overrides])
