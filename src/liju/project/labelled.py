"""Labelled examples to score a model on: every one that cannot be used is named by file and line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from liju.config import Source
from liju.errors import DataError, RequestError, did_you_mean
from liju.finetune import Example, Loaded
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
    check: Callable[[Sequence[Example]], None] | None = getattr(task, "check", None)
    from_row = getattr(task, "from_row", None)
    may_be_empty = getattr(task, "may_be_empty", ())
    for row in rows(source, errors=errors, problems=bad):
        values = {
            name: value if from_row else value.strip()
            for name in (*task.needed, *task.optional)
            if (value := row.values.get(fields.get(name, name), "")).strip()
        }
        missing = [
            column
            for name, column in ((name, fields.get(name, name)) for name in task.needed)
            if name not in values and not (name in may_be_empty and column in row.values)
        ]
        example = Example(values, row.place)
        error, reason = None, ""
        if from_row is not None and not missing:
            try:
                made, mended = from_row(values)
                example = Example(made, row.place)
                problems += [f"{row.place}: {what}" for what in mended]
            except DataError as told:
                error, reason = DataError(f"{row.place}: {told.message}", hint=told.hint), "bad answer"
        if missing:
            hint = did_you_mean(missing[0], row.values) or f"this row has {', '.join(row.values)}"
            error, reason = DataError(f"{row.place}: no {missing[0]}", hint=hint), f"no {missing[0]}"
        elif check is not None and error is None:
            try:
                check([example])
            except DataError as told:
                error, reason = told, "label not known to the models"
        if error is None:
            found.append(example)
            continue
        if errors == "stop":
            raise DataError(error.message, hint=f"{error.hint}; --errors skip leaves such examples out")
        problems.append(f"{error.message} ({error.hint})" if error.hint else error.message)
        left_out[reason] += 1
    for problem in bad:
        problems.append(str(problem))
        left_out[problem.reason] += 1
    if not found:
        raise DataError(f"{source.path}: no usable example", hint="; ".join(problems[:3]) or "it is empty")
    return found, problems, left_out
