"""A run in memory: what a step is, what is saved, what is looked at. `loop.train` drives it."""

from __future__ import annotations

import copy
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
from liju.samples.layout import APART, FAR_APART, Layout, micro_batches
from liju.samples.steps import Steps
from liju.train import checkpoint as checkpoints
from liju.train.diagnosis import ELSEWHERE, Finding, failure, find
from liju.train.distributed_checkpoint import Saver, agreed_newest
from liju.train.gauges import Movement, Stragglers, give_back, peak_memory
from liju.train.live import Live
from liju.train.optimizer import build_optimizer
from liju.train.parallel import World, by_itself
from liju.train.probe import Chosen, choose
from liju.train.profile import OPTIMIZER, part
from liju.train.run import Run
from liju.train.same import check_same, fingerprints
from liju.train.schedule import schedule
from liju.train.settings import TrainSettings
from liju.train.sharding import parallelize
from liju.train.spikes import Spikes
from liju.train.step import Measured, accumulate, clip, seed_of, some
from liju.train.work import Work
from liju.train.worst import free_memory, largest_batches, memory_told, needed, try_batch
from liju.train.writer import Saves, Writer

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
        found = agreed_newest(self.run.checkpoints, world, live.notice) if resume else None
        if found is not None:
            check_same(found, self.prints, settings, world.size, live.notice)
        before = self.run.chosen() if resume else None
        world.total([0.0])  # every rank has looked before the first one writes
        self.steps, self.apart = Steps(objective, settings.batch_tokens, settings.seed), 0
        self.chosen = choose(model, settings, lambda: self.prepare(0, "grouped")[1][0], before=before)
        # Each rank has measured; all must do the same.
        self.chosen = Chosen(**{**world.told(self.chosen.to_json()), "device": self.chosen.device})
        self._tell_choice(before)
        self.device = torch.device(self.chosen.device)
        world.agree(model)
        self.work = Work.of(model)
        precision, compiled = self.chosen.precision, self.chosen.compile
        self.parallel = parallelize(model, settings, world, self.device, precision, compiled)
        self.model = self.parallel.model
        alone = self.device.type == "cpu" and not self.parallel.sharded
        self.apart = APART if alone else FAR_APART
        offload = settings.sharding == "offload" and not self.parallel.sharded
        self.optimizer = build_optimizer(self.model, settings, precision, offload)
        self.saver: Saves = (Saver if self.parallel.sharded else Writer)(self.run.checkpoints, world)
        self.movement = Movement(p for p in self.model.parameters() if p.requires_grad)
        self.stragglers = Stragglers()
        self.checkpoint = found.folder if found is not None else None
        self.state: dict[str, Any] = {"step": 0, "samples": 0, "tokens": 0, "best": {}, "scores": {}}
        self.state["skipped"] = []  # steps that were left out
        self.spikes = Spikes(settings.spike, found.state.get("spikes", ()) if found is not None else ())
        if found is not None:
            found.restore(self.model, self.optimizer)
            self.state |= {key: found.state[key] for key in self.state if key in found.state}
            live.notice(f"continues after step {found.step}")
        elif self.run.used:
            live.notice(f"no checkpoint is in {self.run.folder} yet: it begins at the first step")
        if world.first:
            size = sum(parameter.numel() for parameter in model.parameters())
            network = {"family": getattr(getattr(model, "config", None), "family", ""), "parameters": size}
            self.run.begin(settings, self.chosen.to_json(), self.prints, network)
            if resume:
                checkpoints.set_aside(self.run.checkpoints, self.step)
                self.run.rewind(self.step)

    def _tell_choice(self, before: Mapping[str, Any] | None) -> None:
        """What a user may not expect of the choice."""
        chosen = self.chosen
        if chosen.because:
            self.live.notice(f"rows are {chosen.layout}: {chosen.because}")
        if before is None:
            return
        kinds = [torch.device(device).type for device in (before["device"], chosen.device)]
        changed = [name for name in ("precision", "layout") if before[name] != getattr(chosen, name)]
        if kinds[0] != kinds[1] and changed:
            told = ", ".join(f"{name} is {getattr(chosen, name)} and was {before[name]}" for name in changed)
            self.live.notice(f"{told}: the run was on {kinds[0]} and is on {kinds[1]}")

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state["step"]

    @property
    def settled(self) -> bool:
        """Whether the last `patience` looks gave no better score than the one before them."""
        every, best = self.settings.evaluate_every, self.state["best"].get("step", 0)
        looks = self.step // every - -(-best // every)
        return bool(self.settings.patience and best) and looks >= self.settings.patience

    def prepare(self, step: int, layout: Layout | None = None) -> tuple[int, list[Batch]]:
        """How many samples a step has, and this rank's micro-batches of them."""
        numbers = self.steps.numbers(step)
        mine = numbers[self.world.data_rank :: self.world.data_size]
        samples = [self.objective.sample(int(number)) for number in mine]
        if not samples:
            return len(numbers), []
        limit, layout = self.settings.micro_batch_tokens, layout or self.chosen.layout
        return len(numbers), micro_batches(samples, limit, layout, self.objective.pad, apart=self.apart)

    def spare(self) -> Batch:
        """A batch for a rank of a sharded model that has no sample of a step: it computes along."""
        number = int(self.steps.numbers(self.step)[0])
        return micro_batches([self.objective.sample(number)], 1, "grouped", self.objective.pad)[0]

    def try_largest(self) -> None:
        """Forward and backward of the largest micro-batch, without a trace. Raises TrainingError that says
        what to lower where memory runs out."""
        settings, precision, model = self.settings, self.chosen.precision, self.model
        batches = largest_batches(
            self.objective, self.steps, settings, self.chosen.layout, self.world.data_size
        )
        for batch in batches:
            estimate = needed(model, batch, settings, precision, self.device)
            free = free_memory(self.device)
            if self.device.type == "cpu" and estimate is not None and free and estimate.total > free:
                # A system that runs out of memory ends processes without a word.
                self.live.notice(
                    f"about {estimate.total / 1e9:,.1f} GB are needed and {free / 1e9:,.1f} GB are free: "
                    "lower micro_batch_tokens if the run is killed"
                )
            where = "in the largest micro-batch of this run"
            with memory_told(model, [batch], settings, precision, where, self.device):
                try_batch(model, batch, self.objective, self.optimizer, settings, precision, self.device)

    def advance(self, count: int, batches: Sequence[Batch]) -> dict[str, Any]:
        """Take one step with its `count` samples; the line of metrics.jsonl that tells of it."""
        began, step, settings, objective = time.perf_counter(), self.step, self.settings, self.objective
        precision = self.chosen.precision

        def seeds(micro_batch: int) -> int:
            return seed_of(settings.seed, step, micro_batch, self.world.data_rank)

        self.model.train()
        told = self.model, batches, settings, precision
        with memory_told(*told, f"in step {step + 1}", self.device):
            measured = accumulate(
                self.model,
                batches,
                objective.weights,
                objective.label_smoothing,
                precision,
                seeds,
                self.world,
                self.parallel,
                self.spare,
            )
        optimizing = f"in the optimizer of step {step + 1}"
        with part(OPTIMIZER), memory_told(*told, optimizing, self.device):
            norm = clip(self.model, settings.clip)
        factor = schedule(settings.schedule, step, settings.steps, settings.warmup_steps)
        skipped = self.judge(measured, norm, batches, seeds)
        moved = None
        if not skipped:
            with part(OPTIMIZER), memory_told(*told, optimizing, self.device):
                self.movement.before(step)
                self.optimizer.step(factor)
                moved = self.movement.after()
        passed = time.perf_counter() - began
        self.state["step"] += 1
        self.state["samples"] += count
        self.state["tokens"] += measured.tokens
        if skipped:
            self.state["skipped"].append(self.step)
            self.model.zero_grad(set_to_none=True)
            sizes = {"tokens": measured.tokens, "places": measured.places, "seconds": round(passed, 5)}
            return {"step": self.step, **skipped, **sizes, "samples": self.state["samples"]}
        if (ranks := self.stragglers.add(measured.own_seconds, self.world)) is not None:
            self.tell_ranks(ranks)
        give_back(step)
        peak = self.chosen.peak_flops * self.world.tensor_parallel  # of those that share these batches
        return {
            "step": self.step,
            "loss": measured.loss,
            "heads": measured.heads,
            "learning_rate": settings.learning_rate * factor,
            "grad_norm": norm,
            **({"update_ratio": moved} if moved is not None else {}),
            "tokens": measured.tokens,
            "places": measured.places,
            "tokens_per_second": round(measured.tokens / passed, 1),
            "seconds": round(passed, 5),
            "mfu": round(self.work.flops(batches) / passed / peak, 4),
            "memory": peak_memory(self.device),
            "samples": self.state["samples"],
        }

    def judge(
        self, measured: Measured, norm: float, batches: Sequence[Batch], seeds: Callable[[int], int]
    ) -> dict[str, Any]:
        """Nothing where the step is to be taken; why not, where it is to be left out, on every rank alike.

        Raises TrainingError where `max_skips` steps were left out already, and for a weight that is not
        finite, which no other samples would mend.
        """
        world, step, skipped = self.world, self.step + 1, self.state["skipped"]
        bad = not (measured.finite and np.isfinite(norm))
        why = "not a finite number" if bad else self.spikes.found(measured.loss, norm)
        is_bad, is_spike = world.total([float(bad), float(bool(why) and not bad)])
        if not is_bad and not is_spike:
            return {}
        limit = self.settings.max_skips
        if not is_bad:
            numbers = self.steps.numbers(step - 1).tolist()
            if len(skipped) >= limit:
                before = f"; already left out: steps {some(skipped)}" if skipped else ""
                raise TrainingError(
                    f"step {step}: {why}; samples {some(numbers)}{before}",
                    hint="lower learning_rate, or raise max_skips and go on with --resume",
                )
            if world.first:
                self.run.skip({"step": step, "why": why, "samples": numbers})
                self.live.notice(f"step {step} left out: {why}; samples {some(numbers)}")
            return {"skipped": why}
        model, objective = self.model, self.objective
        finding = find(model, objective, batches, self.chosen.precision, seeds, world)
        hopeless, *found_by = world.total(
            [
                float(finding.hopeless),
                *(float(rank == world.rank and finding.tensor != ELSEWHERE) for rank in range(world.size)),
            ]
        )
        mine = world.rank == next((rank for rank, has in enumerate(found_by) if has), 0)  # who writes it down
        if hopeless or len(skipped) >= limit:
            self.saved(must=False)
            raise failure(finding, step, self.run.folder if mine else None, skipped, self.checkpoint)
        if mine:
            self.run.skip(_skipped(step, why, finding))
        self.live.notice(f"step {step} left out: {why}, first in {finding}")
        return {"skipped": why or "not a finite number", "tensor": finding.tensor}

    def tell_ranks(self, seconds: Sequence[float]) -> None:
        """Write down what each rank's own work took, and name one that keeps the others waiting."""
        late = self.stragglers.named(seconds)
        if self.world.first:
            self.run.log({"step": self.step, "rank_seconds": [round(own, 5) for own in seconds]})
            for rank, times in late:
                self.live.notice(f"rank {rank} takes {times:.1f} times the median: the others wait for it")

    def look(self, evaluate: Evaluate) -> bool:
        """Look at the held-out text; whether the model is the best so far."""
        settings, step, best = self.settings, self.step, self.state["best"]
        with self.parallel.whole() as model:
            if not self.world.first:
                return False
            with by_itself():
                answer = dict(evaluate(model, step))
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
        """Write a checkpoint while training goes on, or, if it `must` be there, before it does. Where that
        fails it raises if it must, else it tells and training goes on."""
        more = {"fingerprints": self.prints, "settings": asdict(self.settings), "ranks": self.world.size}
        more["spikes"] = self.spikes.seen
        root, keep, best = self.run.checkpoints, self.settings.keep, self.state["best"].get("step")
        state = copy.deepcopy({**self.state, **more})
        self.saved(must=False)  # the one before
        self.saver.begin(self.model, self.optimizer, state, after=lambda: checkpoints.prune(root, keep, best))
        if must:
            self.saved(must=True)

    def saved(self, must: bool) -> None:
        """Wait for the checkpoint that is being written, if there is one."""
        try:
            self.checkpoint = self.saver.finish() or self.checkpoint
        except CheckpointError as error:
            if must:
                raise
            self.live.notice(f"{error.message}; {error.hint}; training goes on")

    def hear(self) -> None:
        """Of a checkpoint that has been written meanwhile, or could not be."""
        if self.saver.running is not None and self.saver.running.done():
            self.saved(must=False)

    def finish(self) -> None:
        """The last checkpoint is written, and the caller's model has the weights."""
        self.saved(must=True)
        self.parallel.close()

    def leave(self) -> None:
        """Whatever happened, a checkpoint that was begun is whole, and the caller's model as it was built."""
        self.saver.leave()
        self.parallel.undo()


def _skipped(step: int, why: str, finding: Finding) -> dict[str, Any]:
    """A line of skipped.jsonl."""
    samples = {"samples": list(finding.samples), "alone": list(finding.alone)}
    return {"step": step, "why": why, "tensor": finding.tensor, **samples}
