"""Whether the labelled examples can be parted as the project file asks, told before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from liju.finetune import Example, hold_out
from liju.finetune.folds import fold_numbers
from liju.project.leaks import examples_of

if TYPE_CHECKING:
    from liju.project.directory import Run

__all__ = ["check_splits", "folded_examples"]


def folded_examples(run: Run) -> Sequence[Example]:
    """What `finetune.folds` parts: a test set of its own stays one; without, it is of the same files."""
    found = examples_of(run)
    return found.train if run.project.finetune.test else [*found.train, *found.test]


def check_splits(run: Run) -> None:
    """Raise DataError where `finetune.patience` or `finetune.folds` asks for more parts than the examples
    make, as the training or the evaluation would, which is hours later."""
    section = run.project.finetune
    if section.patience and not run.up_to_date("finetune"):
        hold_out(examples_of(run).train, section.validation)
    if not section.folds or run.up_to_date("evaluate"):
        return
    examples = folded_examples(run)
    numbers = fold_numbers(examples, section.folds)
    for part in range(section.folds if section.patience else 0):  # each training has a validation part
        rest = [example for example, number in zip(examples, numbers, strict=True) if number != part]
        hold_out(rest, section.validation)
