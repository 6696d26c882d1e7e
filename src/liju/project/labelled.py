"""Labelled examples to score a model on: every one that cannot be used is named by file and line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from liju.config import Source
from liju.errors import DataError, RequestError, did_you_mean
from liju.finetune import Example, Loaded
from liju.finetune.examples import check_of, example_of
from liju.text import Problem, rows

__all__ = ["Errors", "read_labelled"]

Errors = Literal["stop", "skip"]


def read_labelled(
    model: Loaded, data: str | Path | Source, fields: Mapping[str, str], errors: Errors
) -> tuple[list[Example], list[str], Counter[str]]:
    """The examples of a file that a model can be scored on, the problems by file and line, and their counts.

    Raises DataError at the first problem with errors="stop", and where no example is left.
    """
    task = model._task
    source = data if isinstance(data, Source) else Source(path=str(data))
    for name in fields:
        known = (*task.needed, *task.optional)
        if name not in known:
            hint = did_you_mean(name, known) or f"{model.task} takes {', '.join(known)}"
            raise RequestError(f"unknown field {name!r}", hint=hint)
    found: list[Example] = []
    problems: list[str] = []
    left_out: Counter[str] = Counter()
    bad: list[Problem] = []
    check = check_of(task)
    from_row, may_be_empty = getattr(task, "from_row", None), getattr(task, "may_be_empty", ())
    for row in rows(source, errors=errors, problems=bad):
        try:
            example, mended = example_of(row, task.needed, task.optional, fields, from_row, may_be_empty)
            check([example])
        except DataError as error:
            if errors == "stop":
                hint = f"{error.hint}; --errors skip leaves such examples out"
                raise DataError(error.message, hint=hint) from None
            problems.append(f"{error.message} ({error.hint})" if error.hint else error.message)
            left_out[getattr(error, "reason", "label not known to the models")] += 1
            continue
        problems += [f"{row.place}: {what}" for what in mended]
        found.append(example)
    for problem in bad:
        problems.append(str(problem))
        left_out[problem.reason] += 1
    if not found:
        raise DataError(f"{source.path}: no usable example", hint="; ".join(problems[:3]) or "it is empty")
    return found, problems, left_out
