"""A run in memory: what a step is, what is saved, what is looked at. `loop.train` drives it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from liju.errors import CheckpointError, TrainingError, did_you_mean
from liju.objective.base import Objective
from liju.samples.batch import Batch
from liju.samples.layout import Layout, micro_batches
from liju.samples.steps import Steps
from liju.train import checkpoint as checkpoints
from liju.train.diagnosis import failure
from liju.train.live import Live
from liju.train.optimizer import build_optimizer
from liju.train.parallel import World
from liju.train.probe import Work, blocks, choose
from liju.train.run import Run
from liju.train.same import check_same, fingerprints
from liju.train.schedule import schedule
from liju.train.settings import TrainSettings
from liju.train.step import accumulate, clip, seed_of

__all__ = ["Evaluate", "Training"]

# Scores by name; a text (or a list of texts) under "samples" goes to samples.jsonl.
Evaluate = Callable[[nn.Module, int], Mapping[str, Any]]


class Training:
    """The model, its optimizer and its folder, at a step. All that a step needs besides is its number."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        settings: TrainSettings,
        folder: Path | str,
        resume: bool,
        live: Live,
        world: World,
    ):
        self.model, self.objective, self.settings = model, objective, settings
        self.world, self.live, self.run = world, live, Run(folder, live.notice)
        self.prints = fingerprints(model, objective, settings)
        if self.run.used and not resume:
            raise CheckpointError(
                f"{self.run.folder} already holds a run", hint="go on with it by --resume, or name another"
            )
        found = checkpoints.newest(self.run.checkpoints, live.notice) if resume else None
        if found is not None:
            check_same(found, self.prints, settings, world.size, live.notice)
        before = self.run.chosen() if resume else None
        at = found.step if found is not None else 0
        if not world.agrees(at):  # and every rank has looked before the first one writes
            raise CheckpointError(
                f"rank {world.rank} finds step {at} in {self.run.folder}, other ranks another",
                hint="all ranks need the run's folder on one shared disk",
            )
        self.steps = Steps(objective, settings.batch_tokens, settings.seed)
        self.chosen = choose(model, settings, lambda: self.prepare(0, "grouped")[1][0], before=before)
        self.device = torch.device(self.chosen.device)
        model.to(self.device)
        self.optimizer = build_optimizer(model, settings, self.chosen.precision)
        self.work = Work.of(model)
        self.checkpoint = found.folder if found is not None else None
        self.state: dict[str, Any] = {"step": 0, "samples": 0, "tokens": 0, "best": {}, "scores": {}}
        if found is not None:
            found.restore(model, self.optimizer)
            self.state |= {key: found.state[key] for key in self.state}
            live.notice(f"continues after step {found.step}")
        world.agree(model)
        if world.first:
            self.run.begin(settings, self.chosen.to_json(), self.prints)
            if resume:
                checkpoints.set_aside(self.run.checkpoints, self.step)
                self.run.rewind(self.step)
        if self.chosen.compile:
            for block in blocks(model):
                block.compile(dynamic=True)

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state["step"]

    def prepare(self, step: int, layout: Layout | None = None) -> tuple[int, list[Batch]]:
        """How many samples a step has, and this rank's micro-batches of them."""
        numbers = self.steps.numbers(step)
        mine = numbers[self.world.rank :: self.world.size]
        samples = [self.objective.sample(int(number)) for number in mine]
        if not samples:
            return len(numbers), []
        limit, layout = self.settings.micro_batch_tokens, layout or self.chosen.layout
        return len(numbers), micro_batches(samples, limit, layout, self.objective.pad)

    def advance(self, count: int, batches: Sequence[Batch]) -> dict[str, Any]:
        """Take one step with its `count` samples; the line of metrics.jsonl that tells of it."""
        began, step, settings, objective = time.perf_counter(), self.step, self.settings, self.objective
        precision = self.chosen.precision

        def seeds(micro_batch: int) -> int:
            return seed_of(settings.seed, step, micro_batch, self.world.rank)

        self.model.train()
        measured = accumulate(
            self.model,
            batches,
            objective.weights,
            objective.label_smoothing,
            precision,
            seeds,
            self.world,
        )
        norm = clip(self.model, settings.clip)
        if not (measured.finite and np.isfinite(norm)):
            folder = self.run.folder
            raise failure(self.model, objective, batches, precision, seeds, self.world, step + 1, folder)
        factor = schedule(settings.schedule, step, settings.steps, settings.warmup_steps)
        self.optimizer.step(factor)
        passed = time.perf_counter() - began
        self.state["step"] += 1
        self.state["samples"] += count
        self.state["tokens"] += measured.tokens
        return {
            "step": self.step,
            "loss": measured.loss,
            "heads": measured.heads,
            "learning_rate": settings.learning_rate * factor,
            "grad_norm": norm,
            "tokens": measured.tokens,
            "places": measured.places,
            "tokens_per_second": round(measured.tokens / passed, 1),
            "seconds": round(passed, 5),
            "mfu": round(self.work.flops(batches) / passed / self.chosen.peak_flops, 4),
            "samples": self.state["samples"],
        }

    def look(self, evaluate: Evaluate) -> bool:
        """Look at the held-out text; whether the model is the best so far."""
        settings, step, best = self.settings, self.step, self.state["best"]
        answer = dict(evaluate(self.model, step))
        texts = answer.pop("samples", None)
        texts = [texts] if isinstance(texts, str) else list(texts or ())
        scores = {name: float(value) for name, value in answer.items()}
        self.state["scores"] = scores
        self.run.log({"step": step, "evaluation": scores})
        for text in texts:
            self.run.sample({"step": step, "text": text})
        self.live.evaluation(step, scores, texts[0] if texts else "")
        if not settings.best:
            return False
        if settings.best not in scores:
            raise TrainingError(
                f"best = {settings.best!r} is not among the scores {', '.join(scores)}",
                hint=did_you_mean(settings.best, scores),
            )
        score, before = scores[settings.best], best.get("score")
        better = before is None or (score < before if settings.best_is == "lower" else score > before)
        if better:
            self.state["best"] = {"step": step, "score": score}
        return better

    def save(self, must: bool) -> None:
        """Write a checkpoint. Where that fails it raises if it `must`, else it tells and training goes on."""
        if not self.world.first:
            return
        more = {"fingerprints": self.prints, "settings": asdict(self.settings), "ranks": self.world.size}
        root = self.run.checkpoints
        try:
            self.checkpoint = checkpoints.save(root, self.model, self.optimizer, {**self.state, **more})
            checkpoints.prune(root, self.settings.keep, self.state["best"].get("step"))
        except CheckpointError as error:
            if must:
                raise
            self.live.notice(f"{error.message}; {error.hint}; training goes on")
