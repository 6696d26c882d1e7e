"""Fine-tuning: the one training loop, on a task, with some or all parameters asking for gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from liju.config import Evaluate, Finetune
from liju.config.rules import no_matrices
from liju.config.sections import BALANCES_OF
from liju.errors import BundleError, ModelError
from liju.finetune.adapters import save_adapter
from liju.finetune.examples import Example, hold_out
from liju.finetune.lora import adapter_of, add_lora, merge_lora, remove_lora
from liju.finetune.task import Task
from liju.finetune.trainable import freeze, set_dropout
from liju.finetune.unfreeze import gradually
from liju.model import Transformer
from liju.samples import Steps, key_of
from liju.train import Live, TrainResult, TrainSettings, World, best, train
from liju.vocab import Tokenizer

__all__ = ["PRETRAINED", "finetune"]


def finetune(
    model: Transformer,
    tokenizer: Tokenizer,
    task: Task,
    examples: Sequence[Example],
    settings: Finetune,
    folder: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    sharding: str = "auto",
    recompute: str = "off",
    resume: bool = False,
    live: Live | None = None,
    validation: Sequence[Example] = (),
    looks: int = 0,
    stop_after: int = 0,
    profile: int = 0,
    tensorboard: bool = False,
) -> TrainResult:
    """Put the task's output layer on `model` and train it on `examples`, in place.

    The output layers of a task that the model was fine-tuned for before are taken off, also those of the same
    task with the same labels: a second round keeps what the blocks have learned, and its layer starts anew.
    The heads of pre-training stay.

    With trainable = "lora-8" or "dora-8" adapters of rank 8 are trained, saved beside the checkpoints in
    PEFT's form (where the shape has a class), and merged (law 6). The layer's first weights, the order of the
    examples and dropout depend on `seed` alone.

    With `settings.patience` a part of the examples is held out (`hold_out`), the task's metric is taken on it
    twice a pass, and the model ends with the weights of the best look. `validation`: examples to look at
    instead; `looks`: how often, over the whole training; `stop_after`: the looks after which to stop for now.
    `sharding`, `recompute`: as in [pretrain]; each gives the same weights to rounding. `profile`,
    `tensorboard`: as for `liju.train.train`.
    """
    import torch

    if settings.balance not in ("none", *BALANCES_OF.get(task.name, ())):
        known = " or ".join(BALANCES_OF.get(task.name, ())) or "none"
        raise ModelError(f"finetune.balance = {settings.balance!r} is nothing to {task.name}", hint=known)
    if settings.optimizer == "muon" and no_matrices(settings.trainable):
        what = f"finetune.optimizer = 'muon' is nothing to trainable {settings.trainable!r}"
        raise ModelError(f"{what}: it trains whole matrices of the blocks", hint="leave it out")
    torch.manual_seed(key_of("head", seed) % 2**63)
    model.keep_heads(PRETRAINED)
    task.prepare(model)
    set_dropout(model, settings.dropout)
    adapted = adapter_of(settings.trainable)
    gradual = settings.trainable.startswith("gradual")
    if adapted:
        kind, rank, alpha = adapted
        add_lora(model, rank, alpha, settings.dropout, kind=kind)
    elif not gradual and not freeze(model, settings.trainable):
        raise ModelError(
            f"finetune.trainable = {settings.trainable!r} leaves nothing to train: the output layer of this "
            "model is its token embedding",
            hint="top-2, or all",
        )
    if settings.patience and not validation:
        examples, validation = hold_out(examples, settings.validation)
    objective = task.objective(examples, tokenizer, settings, seed)
    steps = Steps(objective, settings.batch_tokens, seed)
    count = max(1, math.ceil(settings.epochs * steps.per_pass))
    every = math.ceil(count / looks) if looks else max(1, round(steps.per_pass / 2))
    told = TrainSettings.of(
        settings,
        steps=count,
        # `batch_tokens` is the mean: half of the steps are larger, and should not be split for that.
        micro_batch_tokens=max(2 * settings.batch_tokens, task.max_length),
        save_every=max(100, count // 4),
        seed=seed,
        device=device,
        precision=precision,
        sharding=sharding,
        recompute=recompute,
        compile="off",
        evaluate_every=every,
        best=task.metric if validation else "",
        best_is="higher" if task.higher_is_better else "lower",
    )

    def look(network: Transformer, step: int) -> dict[str, float]:
        return task.score(task.evaluate(network, tokenizer, validation, GREEDY), validation)

    try:
        result = train(
            model,
            objective,
            told,
            folder,
            evaluate=look if validation else None,  # type: ignore[arg-type]
            resume=resume,
            live=live,
            stop_after=stop_after * every or None,
            before_step=gradually(model, settings.trainable, count) if gradual else None,
            profile=profile,
            tensorboard=tensorboard,
        )
        if settings.patience and not result.stopped:
            _take_best(model, result)
            World.current().agree(model)  # the first rank alone has looked
        if adapted and not result.stopped:
            if World.current().first:
                _keep_adapter(model, Path(folder))
            merge_lora(model)
        settle = getattr(task, "settle", None)  # what a task finds out with the trained network
        if settle is not None and not result.stopped:
            settle(model, tokenizer, examples, validation)
        return result
    finally:
        remove_lora(model)
        model.requires_grad_(True)
        set_dropout(model, 0.0)


# The heads of pre-training. Any other is a task's, and would be exported in the place of the new one (law 7).
PRETRAINED = ("words", "next_sentence")
# A look on the way is quick: the beam of the evaluation costs several times as much.
GREEDY = Evaluate(beam=1)


def _take_best(model: Transformer, result: TrainResult) -> None:
    """Put the weights of the best look into the model."""
    if result.checkpoint is not None and result.best and result.best["step"] != result.step:
        found = best(result.checkpoint.parent)
        if found is not None:
            found.restore(model)


def _keep_adapter(model: Transformer, folder: Path) -> None:
    """The adapter beside the checkpoints, as PEFT loads it, or a file that says why there is none."""
    try:
        save_adapter(folder / "adapter", model)
    except BundleError as error:
        (folder / "no-adapter.txt").write_text(f"{error.message}\n", encoding="utf-8")
