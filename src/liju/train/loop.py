"""The one training loop: pre-training, fine-tuning and LoRA differ only in the objective and in which
parameters ask for gradients."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
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
from liju.train.live import Live, Quiet
from liju.train.optimizer import build_optimizer
from liju.train.parallel import World
from liju.train.probe import Work, blocks, choose
from liju.train.run import Run
from liju.train.same import check_same, fingerprints
from liju.train.schedule import schedule
from liju.train.settings import TrainSettings
from liju.train.signals import StopRequest
from liju.train.step import accumulate, clip, seed_of

__all__ = ["TrainResult", "train"]

# Scores by name; a text (or a list of texts) under "samples" goes to samples.jsonl.
Evaluate = Callable[[nn.Module, int], Mapping[str, Any]]


@dataclass
class TrainResult:
    """Where a run stands when the loop is left. The model holds the weights of `step`, the last."""

    folder: Path
    step: int = 0
    stopped: bool = False  # before the end: a signal, or stop_after
    loss: float = float("nan")  # of the last step
    scores: dict[str, float] = field(default_factory=dict)  # of the last evaluation
    best: dict[str, Any] = field(default_factory=dict)  # step and score
    samples: int = 0  # seen since the start of the run
    tokens: int = 0
    seconds: float = 0.0  # in this call
    checkpoint: Path | None = None


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
) -> TrainResult:
    """Train `model` on `objective` in the run directory `folder`.

    A step is a pure function of (weights, optimizer, settings, step), so a run that was killed and resumed
    ends with the same bits as one that was not. SIGTERM, Ctrl-C and `stop_after` (a step) finish the step,
    save and return with `stopped`. A checkpoint that cannot be written for want of room is told and tried
    again at the next one; only the last raises.

    Raises TrainingError for a loss or gradient that is not finite (it names the first such tensor and the
    samples), CheckpointError for a folder that has a run (without `resume`), or one that cannot be continued.
    """
    world = World.current()
    live = live if live is not None and world.first else Quiet()
    run = Run(folder, live.notice)
    prints = fingerprints(model, objective, settings)
    if run.used and not resume:
        raise CheckpointError(
            f"{run.folder} already holds a run", hint="go on with it by --resume, or name another"
        )
    found = checkpoints.newest(run.checkpoints, live.notice) if resume else None
    if found is not None:
        check_same(found, prints, settings, world.size, live.notice)
    world.total([0.0])  # every rank has looked before the first one writes
    steps = Steps(objective, settings.batch_tokens, settings.seed)

    def prepare(step: int, layout: Layout) -> tuple[int, list[Batch]]:
        numbers = steps.numbers(step)
        samples = [objective.sample(int(number)) for number in numbers[world.rank :: world.size]]
        limit = settings.micro_batch_tokens
        return len(numbers), micro_batches(samples, limit, layout, objective.pad) if samples else []

    before = run.chosen() if resume else None
    chosen = choose(model, settings, lambda layout: prepare(0, layout)[1][0], before=before)
    device = torch.device(chosen.device)
    model.to(device)
    optimizer = build_optimizer(model, settings, chosen.precision)
    state: dict[str, Any] = {"step": 0, "samples": 0, "tokens": 0, "best": {}, "scores": {}}
    if found is not None:
        found.restore(model, optimizer)
        state |= {key: found.state[key] for key in state}
        live.notice(f"continues after step {found.step}")
    world.agree(model)
    if world.first:
        run.begin(settings, chosen.to_json(), prints)
        if resume:
            checkpoints.set_aside(run.checkpoints, state["step"])
            run.rewind(state["step"])
    if chosen.compile:
        for block in blocks(model):
            block.compile(dynamic=True)
    work = Work.of(model)
    result = TrainResult(run.folder, checkpoint=found.folder if found else None)
    start = time.perf_counter()

    def save(must: bool) -> None:
        if not world.first:
            return
        whole = {**state, "fingerprints": prints, "settings": asdict(settings), "ranks": world.size}
        try:
            result.checkpoint = checkpoints.save(run.checkpoints, model, optimizer, whole)
            checkpoints.prune(run.checkpoints, settings.keep, state["best"].get("step"))
        except CheckpointError as error:
            if must:
                raise
            live.notice(f"{error.message}; {error.hint}; training goes on")

    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        stop = stack.enter_context(StopRequest())
        # The next step's samples are built while this one computes: they depend on its number alone.
        ahead = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="samples"))
        live.begin(state["step"], settings.steps)
        stack.callback(live.end)
        upcoming = (
            ahead.submit(prepare, state["step"], chosen.layout) if state["step"] < settings.steps else None
        )
        if upcoming is None and found is None:
            save(must=True)
        while upcoming is not None:
            step, began = state["step"], time.perf_counter()
            count, batches = upcoming.result()
            upcoming = ahead.submit(prepare, step + 1, chosen.layout) if step + 1 < settings.steps else None
            model.train()

            def seeds(i: int, step: int = step) -> int:
                return seed_of(settings.seed, step, i, world.rank)

            measured = accumulate(
                model, batches, objective.weights, objective.label_smoothing, chosen.precision, seeds, world
            )
            norm = clip(model, settings.clip)
            if not (measured.finite and np.isfinite(norm)):
                raise failure(model, objective, batches, chosen.precision, seeds, world, step + 1, run.folder)
            factor = schedule(settings.schedule, step, settings.steps, settings.warmup_steps)
            optimizer.step(factor)
            done = step + 1
            passed = time.perf_counter() - began
            state["step"] = done
            state["samples"] += count
            state["tokens"] += measured.tokens
            result.loss = measured.loss
            line = {
                "step": done,
                "loss": measured.loss,
                "heads": measured.heads,
                "learning_rate": settings.learning_rate * factor,
                "grad_norm": norm,
                "tokens": measured.tokens,
                "places": measured.places,
                "tokens_per_second": round(measured.tokens / passed, 1),
                "seconds": round(passed, 5),
                "mfu": round(work.flops(batches) / passed / chosen.peak_flops, 4),
                "samples": state["samples"],
            }
            if world.first and (done % settings.log_every == 0 or done == settings.steps):
                run.log(line)
            live.step(line)
            improved = False
            at_end = done == settings.steps
            if evaluate is not None and world.first and (done % settings.evaluate_every == 0 or at_end):
                improved = _evaluate(evaluate, model, settings, state, run, live)
            result.stopped = (
                bool(world.total([float(stop.asked or done >= (stop_after or settings.steps))])[0])
                and not at_end
            )
            if at_end or result.stopped or improved or done % settings.save_every == 0:
                save(must=at_end or result.stopped)
            if result.stopped:
                break
    for key in ("step", "scores", "best", "samples", "tokens"):
        setattr(result, key, state[key])
    result.seconds = time.perf_counter() - start
    return result


def _evaluate(
    evaluate: Evaluate, model: nn.Module, settings: TrainSettings, state: dict[str, Any], run: Run, live: Live
) -> bool:
    """Look at the held-out text; whether it is the best so far."""
    answer = dict(evaluate(model, state["step"]))
    texts = answer.pop("samples", None)
    texts = [texts] if isinstance(texts, str) else list(texts or ())
    scores = {name: float(value) for name, value in answer.items()}
    state["scores"] = scores
    run.log({"step": state["step"], "evaluation": scores})
    for text in texts:
        run.sample({"step": state["step"], "text": text})
    live.evaluation(state["step"], scores, texts[0] if texts else "")
    if not settings.best:
        return False
    if settings.best not in scores:
        raise TrainingError(
            f"best = {settings.best!r} is not among the scores {', '.join(scores)}",
            hint=did_you_mean(settings.best, scores),
        )
    score, before = scores[settings.best], state["best"].get("score")
    better = before is None or (score < before if settings.best_is == "lower" else score > before)
    if better:
        state["best"] = {"step": state["step"], "score": score}
    return better
