"""Labelled examples to score a model on: every one that cannot be used is named by file and line, and what
the model was trained on, and copies, are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from liju.config import Source, read
from liju.errors import DataError, LijuError, RequestError, did_you_mean
from liju.finetune import Example, Loaded
from liju.finetune.examples import check_of, example_of
from liju.finetune.reading import absent
from liju.finetune.repeats import unique
from liju.project.directory import Run
from liju.project.leaks import examples_of
from liju.text import Problem, fingerprint, rows
from liju.text.passages import stop

__all__ = ["Errors", "notes_on", "read_labelled"]

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
    columns: set[str] = set()
    check = check_of(task)
    from_row, may_be_empty = getattr(task, "from_row", None), getattr(task, "may_be_empty", ())
    for row in rows(source, errors="skip", problems=bad):
        if bad and errors == "stop":
            break
        columns.update(row.values)
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
    if bad and errors == "stop":
        raise stop(bad[0], "--errors skip leaves it out")
    for told, hint in absent(fields, task.optional, columns) if columns else ():
        raise RequestError(f"{source.path}: {told}", hint=hint)
    for problem in bad:
        problems.append(str(problem))
        left_out[problem.reason] += 1
    if not found:
        raise DataError(f"{source.path}: no usable example", hint="; ".join(problems[:3]) or "it is empty")
    return found, problems, left_out


def notes_on(models: Mapping[str, Path], examples: Sequence[Example]) -> list[str]:
    """What whoever reads scores on these examples should know: how many of them a model was trained on, where
    it is that of a run, and how many are copies of others or contradict them."""
    notes, inputs = [], [fingerprint(example.input) for example in examples]
    for name, path in models.items():
        run = path.parent.parent if path.name == "bundle" else path
        if not (run / "run.json").exists():
            continue  # a model folder does not say what it was trained on
        try:
            trained_on = {fingerprint(example.input) for example in _trained_on(run)}
        except LijuError as error:
            notes.append(f"which examples {name} was trained on cannot be told: {error.message}")
            continue
        count = sum(one in trained_on for one in inputs)
        if count:
            share = f"{count:,} of the {len(examples):,} examples"
            notes.append(f"{name} was trained on {share}: they say nothing of new ones")
    counts = unique(examples)[1]
    for what, count in counts.items():
        are = "copies of others" if what == "duplicate" else f"of the {what}"
        if count:
            notes.append(f"{count:,} of the {len(examples):,} examples are {are}, and are scored")
    return notes


def _trained_on(folder: Path) -> list[Example]:
    """The examples that the model of a run directory was fine-tuned on, read again."""
    project = read(folder / "liju.toml")
    out = (Path(project.out) / project.name).parts
    base = folder.resolve()
    base = base.parents[len(out) - 1] if base.parts[-len(out) :] == out else base.parent.parent
    return examples_of(Run(project, base, ())).train if project.finetune.task else []
