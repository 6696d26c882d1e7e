"""Values that are fine alone and impossible together."""

from __future__ import annotations

import re
from collections.abc import Iterator

from liju.config.sections import BALANCES_OF, OBJECTIVE_OF, TASKS_OF, Project

__all__ = ["Problem", "combinations"]

# A mistake: the dotted key, what is wrong, what to do.
Problem = tuple[str, str, str]


# What may be trained; an adapter may name its alpha.
TRAINABLE = r"all|head|bias|top-[1-9]\d*|gradual(-[1-9]\d*)?|[ld]ora-[1-9]\d*(-[1-9]\d*(\.\d+)?)?"


def _most_heads(d_model: int, most: int) -> int:
    """The largest number of heads up to `most` that are of equal and even width (rotary pairs).

    >>> _most_heads(128, 3), _most_heads(10, 4)
    (2, 1)
    """
    return next((heads for heads in range(most, 0, -1) if d_model % (2 * heads) == 0), 1)


def combinations(project: Project) -> Iterator[tuple[Problem, tuple[str, ...]]]:
    """Each problem, with the other keys that it is about.

    >>> from liju.config.sections import Model
    >>> [problem for problem, _ in combinations(Project(model=Model(d_model=10, num_heads=4)))]
    [('model.num_heads', 'd_model 10 is not a multiple of num_heads 4', 'num_heads = 1 would do')]
    """
    model, pretrain, finetune = project.model, project.pretrain, project.finetune
    family = ("model.family",)
    # A preset may have heads of a width of its own.
    if model.d_model % model.num_heads and "d_k" not in model.switches and not model.preset:
        yield (
            (
                "model.num_heads",
                f"d_model {model.d_model} is not a multiple of num_heads {model.num_heads}",
                f"num_heads = {_most_heads(model.d_model, model.num_heads)} would do",
            ),
            ("model.d_model", "model.switches"),
        )
    if pretrain.objective and pretrain.objective != OBJECTIVE_OF[model.family]:
        wanted = next(family for family, name in OBJECTIVE_OF.items() if name == pretrain.objective)
        yield (
            (
                "pretrain.objective",
                f"{pretrain.objective!r} does not train a family {model.family!r}",
                f"use {OBJECTIVE_OF[model.family]!r}, or [model] family = {wanted!r}",
            ),
            family,
        )
    if finetune.task and finetune.task not in TASKS_OF[model.family]:
        fits = [family for family, tasks in TASKS_OF.items() if finetune.task in tasks]
        yield (
            (
                "finetune.task",
                f"a family {model.family!r} is not fine-tuned for {finetune.task!r}",
                f"use {' or '.join(map(repr, TASKS_OF[model.family]))}, "
                f"or [model] family = {' or '.join(map(repr, fits))}",
            ),
            family,
        )
    if finetune.task and not finetune.train:
        yield (
            ("finetune.train", f"the task {finetune.task!r} needs examples", 'e.g. train = ["examples.tsv"]'),
            ("finetune.task",),
        )
    if not re.fullmatch(TRAINABLE, finetune.trainable):
        known = "all, head, top-2, bias, gradual, lora-8 or dora-8"
        yield ("finetune.trainable", f"unknown value {finetune.trainable!r}", known), ()
    if finetune.folds == 1:
        yield ("finetune.folds", "one part cannot be held out of itself", "at least 2; 5 is usual"), ()
    if model.path and model.preset:
        yield (
            ("model.path", "has an architecture of its own, and so has the preset", "leave one out"),
            ("model.preset",),
        )
    if finetune.balance not in ("none", *BALANCES_OF.get(finetune.task, ())):
        known = " or ".join(map(repr, ("none", *BALANCES_OF.get(finetune.task, ()))))
        what = f"{finetune.balance!r} is nothing to {finetune.task!r}"
        yield ("finetune.balance", what, f"use {known}"), ("finetune.task",)
    for baseline in ("retrieval", "statistical"):
        fits = ("", "translation") if baseline == "statistical" else ("", *TASKS_OF["encdec"])
        if baseline in project.evaluate.baselines and finetune.task not in fits:
            yield (
                ("evaluate.baselines", f"{baseline!r} is no baseline of {finetune.task!r}", "leave it out"),
                ("finetune.task",),
            )
    if pretrain.micro_batch_tokens < model.max_length:
        yield (
            (
                "pretrain.micro_batch_tokens",
                f"{pretrain.micro_batch_tokens} is less than one sample of max_length {model.max_length}",
                f"at least {model.max_length}",
            ),
            ("model.max_length",),
        )
