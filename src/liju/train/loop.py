"""The one training loop: pre-training, fine-tuning and LoRA differ only in the objective and in which
parameters ask for gradients."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from liju.errors import TrainingError
from liju.objective.base import Objective
from liju.train.board import Board
from liju.train.live import Live, Quiet
from liju.train.parallel import World
from liju.train.profile import DATA, Profiler, part
from liju.train.settings import TrainSettings
from liju.train.signals import StopRequest
from liju.train.training import Evaluate, Training

__all__ = ["TrainResult", "train"]


@dataclass(frozen=True)
class TrainResult:
    """Where a run stands when the loop is left. The model holds the weights of `step`, the last."""

    folder: Path
    step: int
    stopped: bool  # before the end: a signal, or stop_after
    loss: float  # of the last step of this call; NaN when it took none
    scores: dict[str, float]  # of the last evaluation
    best: dict[str, Any]  # step and score, or nothing
    skipped: list[int]  # steps that were left out, since the start of the run
    samples: int  # seen since the start of the run
    tokens: int
    seconds: float  # in this call
    checkpoint: Path | None  # the last one written, or the one that it started from


def train(
    model: nn.Module,
    objective: Objective,
    settings: TrainSettings,
    folder: Path | str,
    *,
    evaluate: Evaluate | None = None,
    resume: bool = False,
    live: Live | None = None,
    stop_after: int | None = None,
    before_step: Callable[[int], None] | None = None,
    profile: int = 0,
    tensorboard: bool = False,
) -> TrainResult:
    """Train `model` on `objective` in the run directory `folder`.

    A step is a pure function of (weights, optimizer, settings, step), so a run that was killed and resumed
    ends with the same bits as one that was not. SIGTERM, Ctrl-C and `stop_after` (a step) finish the step,
    save and return with `stopped`. Checkpoints are written while training goes on, the last one before the
    return. One that cannot be written for want of room is told and tried again at the next one; only the last
    raises.

    A step whose loss or gradient is not finite, or (with `spike`) far above those before it, is left out: the
    weights stay, skipped.jsonl has its samples and the first tensor that is not finite.

    With `patience` the run ends, before its last step, at the look after which so many gave no better score.
    `before_step` is called with the number of steps done, before each: what it does to the model must depend
    on that number alone (gradual unfreezing).

    The largest micro-batch is tried first, without a trace, so that memory runs out at once or not at all.

    `profile`: steps, after the first few, of which trace.json.gz and profile.json tell where the time went.
    `tensorboard`: what metrics.jsonl gets is written for TensorBoard too (MissingExtra without its package).

    Raises TrainingError where it does, and for more than `max_skips` steps left out (it names tensor and
    samples), CheckpointError for a folder that has a run (without `resume`), or one that cannot be continued.
    """
    start, loss, stopped = time.perf_counter(), float("nan"), False
    world = World.current(settings.tensor_parallel)
    live = live if live is not None and world.first else Quiet()
    cuda = list(range(torch.cuda.device_count()))
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(cuda))  # dropout is seeded: the caller's draws stay
        training = Training(model, objective, settings, folder, resume, live, world)
        stack.callback(training.leave)
        if world.first:
            stack.enter_context(training.run.running())
            if tensorboard:
                training.run.board = stack.enter_context(Board(training.run.folder, training.step))
        stack.enter_context(world.heard(lambda: training.step))
        if before_step is not None and training.parallel.sharded:
            raise TrainingError("layers cannot be thawed on the way while sharded", hint="sharding=replicate")
        stop = stack.enter_context(StopRequest())
        # The next step's samples are built while this one computes: they depend on its number alone.
        ahead = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="samples"))
        looks = profile if world.first else 0
        profiler = stack.enter_context(Profiler(training.run.folder, looks, training.device))
        live.begin(training.step, settings.steps)
        stack.callback(live.end)
        if settings.steps == 0 and training.checkpoint is None:
            training.save(must=True)
        if training.step < settings.steps:
            training.try_largest()
        upcoming = ahead.submit(training.prepare, training.step)
        over = training.settled  # of a run that ended before its last step
        while training.step < settings.steps and not stopped and not over:
            if before_step is not None:
                before_step(training.step)
            with profiler.step(training.step):
                with part(DATA):
                    count, batches = upcoming.result()
                upcoming = ahead.submit(training.prepare, training.step + 1)
                line = training.advance(count, batches)
            training.hear()
            loss, done = line.get("loss", loss), training.step
            at_end = done == settings.steps
            if "skipped" not in line:
                live.step(line)
            if world.first and (at_end or done % settings.log_every == 0 or "skipped" in line):
                training.run.log(line)
            improved = False
            if evaluate is not None and (at_end or done % settings.evaluate_every == 0):
                improved = training.look(evaluate)
            if settings.patience and not at_end:
                at_end = over = world.total([float(training.settled)])[0] > 0
            asked = stop.asked or (stop_after is not None and done >= stop_after)
            asks, improves = world.total([float(asked), float(improved)])  # on every rank alike
            stopped = asks > 0 and not at_end
            if at_end or stopped or improves or done % settings.save_every == 0:
                training.save(must=at_end or stopped)
        training.finish()
        if world.first:
            training.run.status("stopped" if stopped else "done")
        world.total([0.0])  # no rank leaves before the files are there
    return TrainResult(
        folder=training.run.folder,
        stopped=stopped,
        loss=loss,
        seconds=time.perf_counter() - start,
        checkpoint=training.checkpoint,
        **training.state,
    )
