"""How fast a network trains on this machine: a few whole steps of made-up tokens, timed."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, replace

import numpy as np
import torch

from liju.model import Transformer, TransformerConfig
from liju.plan import Machine, flops_per_token, probe, scaled, training_memory
from liju.project.planning import Subject
from liju.samples import Batch, Goal, Sample, micro_batches
from liju.train import TrainSettings, accumulate, build_optimizer, choose
from liju.train.probe import device_of, peak
from liju.train.step import clip

__all__ = ["Rehearsal", "machine_here", "rehearse"]

BYTES, SECONDS = 2e9, 3.0  # a step that is tried takes about this much room and time at most
SHORT, NARROW = 256, 128  # samples and widths are not cut below these
SHARE = 0.3  # of the peak, to guess the time of a step before it is tried


@dataclass(frozen=True)
class Rehearsal:
    """What was measured. `tried` is the network that was: a narrower one where the whole is too dear."""

    tokens_per_second: float
    mfu: float
    precision: str
    tried: TransformerConfig


def machine_here(device: str = "auto") -> Machine:
    """This machine: its memory, and what a square matrix product reaches in each precision.

    >>> machine_here("cpu").peak_of("float32") > 1e8
    True
    """
    where = device_of(device)
    if where.type == "cuda":
        properties = torch.cuda.get_device_properties(where)
        name, memory = properties.name, float(properties.total_memory)
    else:
        threads = torch.get_num_threads()
        name = f"this machine: {platform.machine()} CPU, {threads} thread" + "s" * (threads != 1)
        memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    peaks = {kind: peak(kind, where) for kind in ("float32", "bfloat16")}
    return Machine("here", name, memory, peaks, SHARE, "a guess, until steps are tried")


def rehearse(subject: Subject, here: Machine, *, precision: str = "auto", seconds: float = 2.0) -> Rehearsal:
    """Time whole training steps for about `seconds`: forward, backward, clipping, optimizer.

    Where a step would take too long or too much room, fewer and shorter samples are tried, then a narrower
    network of the same shape; the share of the peak that it reaches is taken for the whole one's.
    """
    asked, sample = subject, subject.length + subject.target_length
    settings = subject.settings or TrainSettings(batch_tokens=sample, micro_batch_tokens=max(4096, sample))
    if precision != "auto":
        settings = replace(settings, precision=precision)
    subject, count = _affordable(subject, settings, here)
    config = subject.config
    batches = made_up(subject, count, settings.micro_batch_tokens)
    with torch.random.fork_rng():
        model = Transformer(config).train()
        for name, outputs in subject.heads.items():
            model.add_head(name, outputs)
        chosen = choose(model, settings, lambda: batches[0])
        model.to(chosen.device)
        optimizer = build_optimizer(model, settings, chosen.precision)

        def step() -> None:
            accumulate(model, batches, {"words": 1.0}, 0.0, chosen.precision)
            clip(model, settings.clip)
            optimizer.step(0.0)

        wait = torch.cuda.synchronize if chosen.device.startswith("cuda") else None
        tokens = sum(batch.tokens for batch in batches)
        speed = probe(step, tokens, seconds=seconds, synchronize=wait).tokens_per_second

    mfu = speed * _flops(subject) / here.peak_of(chosen.precision)
    return Rehearsal(speed * _flops(subject) / _flops(asked), mfu, chosen.precision, config)


def _flops(subject: Subject) -> float:
    """Of a token."""
    length, target = subject.length, subject.target_length
    return flops_per_token(subject.config, length, target, predicted=subject.predicted)


def _affordable(subject: Subject, settings: TrainSettings, here: Machine) -> tuple[Subject, int]:
    """The network and the samples to try, and how many."""
    room, rate = min(BYTES, here.memory / 4), here.peak_of("float32") * SHARE
    whole = subject.config

    def dear(one: Subject, count: int) -> bool:
        sample = one.length + one.target_length
        places = min(count * sample, max(settings.micro_batch_tokens, sample))
        need = training_memory(
            one.config, places, one.length, one.target_length, predicted=one.predicted
        ).total
        return need > room or _flops(one) * count * sample / rate > SECONDS

    count = max(1, settings.batch_tokens // (subject.length + subject.target_length))
    while count > 1 and dear(subject, count):
        count = -(-count // 2)
    while subject.length > SHORT and dear(subject, count):
        subject = replace(subject, length=subject.length // 2, target_length=-(-subject.target_length // 2))
    while subject.config.d_model > NARROW and dear(subject, count):
        subject = replace(subject, config=scaled(whole, subject.config.d_model // 2 // 64 * 64))
    return subject, count


def made_up(subject: Subject, count: int, limit: int) -> list[Batch]:
    """Micro-batches of `count` samples of random tokens, as long as the subject's."""
    config, draw = subject.config, np.random.default_rng(0)

    def side(length: int) -> np.ndarray | None:
        return draw.integers(5, config.vocab_size, length) if length else None

    samples = []
    for number in range(count):
        encoder = side(subject.length if config.has_encoder else 0)
        decoder = side((subject.target_length or subject.length) if config.has_decoder else 0)
        predicting = decoder if decoder is not None else encoder
        assert predicting is not None
        wanted = max(1, round(subject.predicted * len(predicting)))
        places = np.sort(draw.choice(len(predicting), wanted, replace=False))
        samples.append(Sample(number, encoder, decoder, None, {"words": Goal(places, predicting[places])}))
    return micro_batches(samples, limit, "grouped", 0)
