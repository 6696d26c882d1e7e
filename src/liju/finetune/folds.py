"""Cross-validation: with few examples, every one of them is held out once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from liju.config import Evaluate, Finetune
from liju.errors import DataError
from liju.finetune.duplicates import clusters
from liju.finetune.examples import Example
from liju.finetune.task import Answer, Task
from liju.samples import key_of

__all__ = ["cross_validate", "fold_numbers"]


def fold_numbers(examples: Sequence[Example], count: int) -> list[int]:
    """The part that each example is held out in, 0 to `count` - 1.

    Near duplicates are in one part, so that none is trained on while another is held out (law 8), and so are
    the questions on one context; labels are spread evenly. It depends on the examples, not on their order.
    Raises DataError where there are fewer distinct examples than parts.

    >>> texts = ["one cat", "a dog", "One cat!", "two birds"]
    >>> rows = [Example({"text": text, "label": "a"}, "x:1") for text in texts]
    >>> numbers = fold_numbers(rows, 2)
    >>> numbers[0] == numbers[2], sorted(set(numbers))
    (True, [0, 1])
    """
    of = clusters([example.group for example in examples])
    groups: dict[int, list[int]] = {}
    for at, first in enumerate(of):
        groups.setdefault(first, []).append(at)
    if len(groups) < count:
        raise DataError(
            f"finetune.folds: {len(groups)} distinct examples cannot be held out in {count} parts",
            hint="fewer folds, or more examples",
        )
    labels = [example.values.get("label", "") for example in examples]

    def rank(members: list[int]) -> tuple[int, str, int]:
        label = Counter(labels[at] for at in members).most_common(1)[0][0]
        return -len(members), label, min(key_of("fold", examples[at].input) for at in members)

    numbers, sizes = [0] * len(examples), [0] * count
    held = [Counter[str]() for _ in range(count)]
    for members in sorted(groups.values(), key=rank):  # the large ones first: what follows evens them out
        label = Counter(labels[at] for at in members).most_common(1)[0][0]
        part = min(range(count), key=lambda one: (held[one][label], sizes[one], one))
        for at in members:
            numbers[at] = part
            held[part][labels[at]] += 1
        sizes[part] += len(members)
    return numbers


def cross_validate(
    start: Callable[[], tuple[Any, Any]],
    task: Task,
    examples: Sequence[Example],
    settings: Finetune,
    folder: Path,
    evaluate: Evaluate,
    answered: Callable[[int, Callable[[], list[Answer]]], list[Answer]] | None = None,
    **how: Any,
) -> tuple[list[Answer], list[int]]:
    """Fine-tune `settings.folds` times, each time without one part, and answer that part. Gives the answer to
    every example, and the part that it was held out in.

    start: model and tokenizer, as they are before fine-tuning. answered: keeps the answers of a part, or has
    them from a run before. `how` goes to `finetune`.
    """
    from liju.finetune.finetuning import finetune

    numbers = fold_numbers(examples, settings.folds)
    answers: list[Answer] = [{} for _ in examples]
    for part in range(settings.folds):
        held = [at for at, number in enumerate(numbers) if number == part]
        rest = [example for example, number in zip(examples, numbers, strict=True) if number != part]

        def of_part(part: int = part, held: list[int] = held, rest: list[Example] = rest) -> list[Answer]:
            model, tokenizer = start()
            where = folder / f"fold-{part}"
            result = finetune(model, tokenizer, task, rest, settings, where, resume=where.exists(), **how)
            if result.stopped:
                return []
            return task.evaluate(model.eval(), tokenizer, [examples[at] for at in held], evaluate)

        found = of_part() if answered is None else answered(part, of_part)
        for at, answer in zip(held, found, strict=True):
            answers[at] = answer
    return answers, numbers
