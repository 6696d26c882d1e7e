"""`liju check`: what a project file will do, before it is done."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from liju.config import documented
from liju.finetune.inspection import told as inspected
from liju.model import Transformer
from liju.objective import Objective
from liju.plan import Plan, plan, probe
from liju.project.directory import Run, wanted
from liju.project.leaks import Kept, examples_of, inspection_of
from liju.project.parts import TASK_TYPES, initialise, model_config, objective_of, trained
from liju.project.splits import check_splits
from liju.project.steps import tokenizer_of
from liju.project.tell import left_out_tell
from liju.project.views import look
from liju.samples import (
    APART,
    FAR_APART,
    Batch,
    Layout,
    Sample,
    Steps,
    TokenShards,
    micro_batches,
    write_shards,
)
from liju.train import TrainSettings, accumulate, build_optimizer, choose
from liju.train.probe import device_of
from liju.vocab import Tokenizer

__all__ = ["Check", "check"]

ENOUGH = 2_000  # documents that are encoded for a look, when the samples are not made yet


@dataclass(frozen=True)
class Check:
    """What was found: the resolved file, the figures, three samples as the model will see them."""

    config: str
    documents: int
    vocabulary: int
    train_tokens: int
    plan: Plan
    tokens_per_second: float
    precision: str
    passes: float
    samples: list[dict[str, Any]] = field(default_factory=list)
    up_to_date: dict[str, bool] = field(default_factory=dict)
    labelled: list[str] = field(default_factory=list)  # what the labelled examples are like
    examples: dict[str, Any] = field(default_factory=dict)  # how many, what was left out and why

    def to_json(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "vocabulary": self.vocabulary,
            "train_tokens": self.train_tokens,
            "passes": round(self.passes, 2),
            "tokens_per_second": round(self.tokens_per_second),
            "precision": self.precision,
            **self.plan.to_json(),
            "up_to_date": self.up_to_date,
            "labelled": self.labelled,
            "examples": self.examples,
        }


def check(run: Run, seconds: float = 2.0) -> Check:
    """Clean the text and build the vocabulary where that is not done, then measure a few real steps.

    Nothing is trained and no training is touched.
    """
    project = run.project
    if project.finetune.task:
        check_splits(run)
    if project.model.path:
        return _started(run, seconds)
    tokenizer = tokenizer_of(run)
    with tempfile.TemporaryDirectory() as folder:
        if run.up_to_date("samples"):
            shards = TokenShards(run.ensure("samples").folder / "train")
            tokens = len(shards.tokens)
        else:
            kept = Kept(run)
            some = list(islice(kept, ENOUGH))
            shards = write_shards(some, tokenizer, Path(folder) / "tokens")
            read = len(some) + kept.left_out
            all_of_them = len(some) < ENOUGH
            share = 1.0 if all_of_them else read / max(1, run.ensure("text").summary["train"])
            tokens = round(len(shards.tokens) / share)
        objective = objective_of(project, shards, tokenizer)
        settings = TrainSettings.of(project.pretrain, seed=project.seed, device=project.device)
        model = initialise(project, tokenizer.size)
        steps = Steps(objective, settings.batch_tokens, settings.seed)
        samples = [objective.sample(int(number)) for number in steps.numbers(0)]
        precision, rate, batches = _measured(model, objective, samples, settings, seconds)
        # A sample has more tokens than the text it came from: special tokens, and the decoder's side.
        seen = settings.steps * settings.batch_tokens
        mean = objective.lengths(steps.numbers(0)).mean(0)
        predicted = sum(len(t.value) for b in batches for n, t in b.targets.items() if n == "words")
        places = sum(batch.predicting.tokens.numel() for batch in batches)
        figures = plan(
            model_config(project, tokenizer.size),
            seen,
            length=max(1, round(float(mean[0] or mean[1]))),
            target_length=round(float(mean[1])) if mean[0] else 0,
            predicted=predicted / max(1, places),
            batch=settings.batch_tokens,
            micro_batch_tokens=settings.micro_batch_tokens,
            optimizer=settings.optimizer,
            precision="bfloat16" if precision == "bfloat16" else "float32",
            tokens_per_second=rate,
        )
        # The plan knows the switches; further heads, next sentence's, are on the model.
        figures = replace(figures, parameters=sum(p.numel() for p in model.parameters()))
        scale = tokens / max(1, len(shards.tokens))
        return Check(
            documented(project),
            run.ensure("text").summary["kept"],
            tokenizer.size,
            tokens,
            figures,
            rate,
            precision,
            settings.steps / max(1, steps.per_pass * scale),
            look(objective, tokenizer),
            {step.name: run.up_to_date(step.name) for step in wanted(run)},
            *_labelled(run, tokenizer),
        )


def _measured(
    model: Transformer,
    objective: Objective,
    samples: list[Sample],
    settings: TrainSettings,
    seconds: float,
) -> tuple[str, float, list[Batch]]:
    """The arithmetic that the machine takes for a step of these samples, tokens a second in it, and its
    micro-batches as training would lay them."""

    def laid(layout: Layout) -> list[Batch]:
        apart = APART if device_of(settings.device).type == "cpu" else FAR_APART
        return micro_batches(samples, settings.micro_batch_tokens, layout, objective.pad, apart=apart)

    chosen = choose(model, settings, lambda: laid("grouped")[0])
    batches = laid(chosen.layout)
    model.to(chosen.device)
    optimizer = build_optimizer(model, settings, chosen.precision)

    def step() -> None:
        accumulate(model, batches, objective.weights, 0.0, chosen.precision)
        optimizer.step(0.0)

    speed = probe(step, sum(batch.tokens for batch in batches), seconds=seconds)
    return chosen.precision, speed.tokens_per_second, batches


def _labelled(run: Run, tokenizer: Tokenizer) -> tuple[list[str], dict[str, Any]]:
    """What the labelled examples are like, a line each; the counts and problems of reading them."""
    if not run.project.finetune.task:
        return [], {}
    examples = examples_of(run)
    report = examples.report()
    counts = f"{report['train']:,} to train on, {report['test']:,} held out"
    told = inspected(inspection_of(run, tokenizer))
    return [counts, *left_out_tell(report, where=""), *told], report


def _started(run: Run, seconds: float) -> Check:
    """Of a project that starts from a model folder: what fine-tuning comes to."""
    project, found = run.project, examples_of(run)
    start = trained(run.ensure("pretrain").folder)
    model, tokenizer, section = start.model, start.tokenizer, project.finetune
    task = TASK_TYPES[section.task].of(found.train, project.model.max_length)
    task.prepare(model)
    objective = task.objective(found.train, tokenizer, section, project.seed)
    steps = Steps(objective, section.batch_tokens, project.seed)
    count = max(1, math.ceil(section.epochs * steps.per_pass))
    limit = max(2 * section.batch_tokens, task.max_length)
    settings = TrainSettings.of(
        section,
        steps=count,
        micro_batch_tokens=limit,
        seed=project.seed,
        device=project.device,
        compile="off",
    )
    numbers = steps.numbers(0)
    samples = [objective.sample(int(number)) for number in numbers]
    precision, rate, _ = _measured(model, objective, samples, settings, seconds)
    mean = objective.lengths(numbers).mean(0)
    figures = plan(
        model.config,
        count * section.batch_tokens,
        length=max(1, round(float(mean[0] or mean[1]))),
        target_length=round(float(mean[1])) if mean[0] else 0,
        batch=section.batch_tokens,
        micro_batch_tokens=limit,
        precision="bfloat16" if precision == "bfloat16" else "float32",
        tokens_per_second=rate,
    )
    return Check(
        documented(project),
        len(found.train),
        tokenizer.size,
        count * section.batch_tokens,
        replace(figures, parameters=sum(p.numel() for p in model.parameters())),
        rate,
        precision,
        section.epochs,
        [],
        {step.name: run.up_to_date(step.name) for step in wanted(run)},
        *_labelled(run, tokenizer),
    )
