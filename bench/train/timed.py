"""Training any of liju's objectives for a given time: its loop, rates by the share of time passed."""

from __future__ import annotations

from dataclasses import dataclass

from decoders import race_one

from liju.model import Transformer
from liju.objective import Objective
from liju.samples import APART, Steps, micro_batches
from liju.train import TrainSettings, build_optimizer
from liju.train.step import accumulate, clip

__all__ = ["Taken", "timed"]


@dataclass
class Taken:
    """What was done in the time."""

    steps: int = 0
    tokens: int = 0


def timed(
    model: Transformer,
    work: Objective,
    settings: TrainSettings,
    seconds: float,
    clock: str,
    schedule: str = "wsd",
    seed: int = 0,
) -> Taken:
    """Train `model` on `work` until the time is over; of the settings optimizer, batch and warm-up."""
    optimizer, taken = build_optimizer(model, settings), Taken()
    steps = Steps(work, settings.batch_tokens, seed)

    def step(share: float) -> None:
        samples = [work.sample(int(number)) for number in steps.numbers(taken.steps)]
        batches = micro_batches(samples, settings.micro_batch_tokens, pad=work.pad, apart=APART)
        accumulate(model, batches, work.weights, work.label_smoothing)
        clip(model, settings.clip)
        optimizer.step(share)
        taken.steps += 1
        taken.tokens += sum(sum(sample.lengths) for sample in samples)

    race_one(step, schedule, settings.warmup, seconds, clock)
    return taken
