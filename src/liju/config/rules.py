"""Values that are fine alone and impossible together."""

from __future__ import annotations

import re
from collections.abc import Iterator

from liju.config.sections import BALANCES_OF, OBJECTIVE_OF, SMOOTHED, TASKS_OF, Finetune, Pretrain, Project

__all__ = ["Problem", "combinations", "no_matrices", "without_effect"]

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


def _is_usual(section: Finetune | Pretrain, name: str) -> bool:
    """Whether a key has the value that it has where a file says nothing."""
    return getattr(section, name) == type(section).model_fields[name].default


def no_matrices(trainable: str) -> bool:
    """Whether no matrix of a block is trained as it is, so that Muon has nothing to train.

    >>> [no_matrices(what) for what in ("lora-8", "head", "top-2")]
    [True, True, False]
    """
    return re.match(r"head$|bias$|[ld]ora-", trainable) is not None


def without_effect(project: Project) -> Iterator[tuple[Problem, tuple[str, ...]]]:
    """Each key that was set and changes nothing beside the others, with the keys that make it so.

    >>> given = Finetune(task="classification", label_smoothing=0.1)
    >>> [problem[:2] for problem, _ in without_effect(Project(finetune=given))]
    [('finetune.label_smoothing', "has no effect on 'classification'")]
    """
    finetune, pretrain = project.finetune, project.pretrain
    for name, section in (("finetune", finetune), ("pretrain", pretrain)):
        if section.optimizer != "muon" and not _is_usual(section, "muon_learning_rate"):
            what = f"has no effect with optimizer {section.optimizer!r}"
            hint = "leave it out, or set optimizer = 'muon'"
            yield (f"{name}.muon_learning_rate", what, hint), (f"{name}.optimizer",)
    if pretrain.objective == "causal" and not _is_usual(pretrain, "mask_rate"):
        what = "has no effect with objective 'causal'"
        yield ("pretrain.mask_rate", what, "leave it out"), ("pretrain.objective", "model.family")
    if finetune.task not in ("", *SMOOTHED) and not _is_usual(finetune, "label_smoothing"):
        hint = f"leave it out; it is for {', '.join(SMOOTHED)}"
        what = f"has no effect on {finetune.task!r}"
        yield ("finetune.label_smoothing", what, hint), ("finetune.task",)
    trainable, about = finetune.trainable, ("finetune.trainable",)
    if finetune.optimizer == "muon" and no_matrices(trainable):
        what = f"'muon' has no effect with trainable {trainable!r}: it trains whole matrices of the blocks"
        yield ("finetune.optimizer", what, "leave it out"), about
    if trainable == "head" and not _is_usual(finetune, "layer_decay"):
        what = "has no effect with trainable 'head': no block is trained"
        yield ("finetune.layer_decay", what, "leave it out"), about
    top, most = re.fullmatch(r"top-(\d+)", trainable), _most_blocks(project)
    model = project.model
    known = "num_layers" in model.model_fields_set or not (model.path or model.preset)
    if top and known and int(top[1]) > most:
        what = f"{trainable!r} of a model with {most} block{'s' if most > 1 else ''}"
        yield ("finetune.trainable", what, f"'all', or at most 'top-{most}'"), ("model.num_layers",)


def _most_blocks(project: Project) -> int:
    """The blocks of the deepest stack."""
    other = project.model.switches.get("num_decoder_layers")
    return max(project.model.num_layers, other if isinstance(other, int) else 0)


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
    yield from without_effect(project)
