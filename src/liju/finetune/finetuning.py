"""Fine-tuning: the one training loop, on a task, with some or all parameters asking for gradients."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from liju.config import Evaluate, Finetune
from liju.config.sections import BALANCES_OF
from liju.errors import BundleError, ModelError
from liju.finetune.adapters import save_adapter
from liju.finetune.examples import Example
from liju.finetune.lora import add_lora, merge_lora, remove_lora
from liju.finetune.task import Task
from liju.finetune.trainable import freeze, set_dropout
from liju.model import Transformer
from liju.samples import Steps, key_of
from liju.train import Live, TrainResult, TrainSettings, train
from liju.vocab import Tokenizer

__all__ = ["finetune"]


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
    resume: bool = False,
    live: Live | None = None,
) -> TrainResult:
    """Put the task's output layer on `model` and train it on `examples`, in place.

    With trainable = "lora-8" adapters of rank 8 are trained, saved beside the checkpoints in PEFT's form
    (where the shape has a class), and merged (law 6). The layer's first weights, the order of the examples
    and dropout depend on `seed` alone.
    """
    import torch

    torch.manual_seed(key_of("head", seed) % 2**63)
    task.prepare(model)
    set_dropout(model, settings.dropout)
    adapted = re.fullmatch(r"lora-(\d+)", settings.trainable)
    if adapted:
        add_lora(model, int(adapted[1]), dropout=settings.dropout)
    elif not freeze(model, settings.trainable):
    if settings.balance not in ("none", *BALANCES_OF.get(task.name, ())):
        known = " or ".join(BALANCES_OF.get(task.name, ())) or "none"
        raise ModelError(f"finetune.balance = {settings.balance!r} is nothing to {task.name}", hint=known)
        raise ModelError(
            f"finetune.trainable = {settings.trainable!r} leaves nothing to train: the output layer of this "
            "model is its token embedding",
            hint="top-2, or all",
        )
    objective = task.objective(examples, tokenizer, settings, seed)
    steps = Steps(objective, settings.batch_tokens, seed)
    count = max(1, math.ceil(settings.epochs * steps.per_pass))
    told = TrainSettings.of(
        settings,
        steps=count,
        # `batch_tokens` is the mean: half of the steps are larger, and should not be split for that.
        micro_batch_tokens=max(2 * settings.batch_tokens, task.max_length),
        save_every=max(100, count // 4),
        seed=seed,
        device=device,
        precision=precision,
        compile="off",
    )
    try:
        result = train(model, objective, told, folder, resume=resume, live=live)
        if adapted and not result.stopped:
            _keep_adapter(model, Path(folder))
            merge_lora(model)
        return result
    finally:
        remove_lora(model)
        model.requires_grad_(True)
        set_dropout(model, 0.0)


def _keep_adapter(model: Transformer, folder: Path) -> None:
    """The adapter beside the checkpoints, as PEFT loads it, or a file that says why there is none."""
    try:
        save_adapter(folder / "adapter", model)
    except BundleError as error:
        (folder / "no-adapter.txt").write_text(f"{error.message}\n", encoding="utf-8")
