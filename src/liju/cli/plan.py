"""liju plan: what a training costs, before it is paid for."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Literal

from liju.cli.again import again
from liju.cli.story import say_next
from liju.cli.strict_json import dumps
from liju.errors import RequestError

if TYPE_CHECKING:
    from liju.plan import Machine, Plan
    from liju.project.planning import Subject
    from liju.project.rehearsal import Rehearsal

__all__ = ["plan"]

UNITS = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}


def plan(
    what: str = "liju.toml",
    *overrides: str,
    on: str = "here",
    tokens: str = "",
    price: float | None = None,
    mfu: float | None = None,
    batch: str = "",
    length: int = 0,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    checkpointing: Literal["auto", "none", "selective", "full"] = "auto",
    shard: Literal["auto", "none", "optimizer", "gradients", "weights"] = "auto",
    tensor: int = 0,
    serve: int = 0,
    causal: bool = False,
    json: bool = False,
    seconds: float = 2.0,
) -> None:
    """Say what a training costs before it is paid: parameters, FLOPs, memory, time, money, expected loss.

    Of a preset, a project file, a run or a model folder; on machines known by their data sheets, or on this
    one, where a few training steps are measured and thrown away.

    examples:
      liju plan gpt3-175b --tokens 300e9 --on a100:1024
      liju plan first --on here
      liju plan runs/first --on h100:8 --price 2.5 --json

    Parameters
    ----------
    what
        A preset, a project file or its folder, a run directory, a model folder.
    overrides
        Of a project file: section.key=value.
    on
        A machine, with a number of devices: h100, h200, a100, v100, p100, tpu-v3, tpu-v4, here (a100:1024).
    tokens
        Tokens to train on: 300e9, 1.4T (the project's steps; 20 a parameter for a preset).
    price
        US dollars a device hour (the machine's, with its date and source).
    mfu
        The share of the peak that the model's FLOPs reach (the machine's, with its source).
    batch
        Tokens a step.
    length
        Tokens a sample (the model's longest).
    precision
        Of the matrix products: bfloat16 on accelerators, the faster one here.
    checkpointing
        What the backward pass computes again: nothing, the attention's core, everything.
    shard
        What each device holds only its share of: nothing, the optimizer, gradients too, weights too.
    tensor
        Devices that share every matrix.
    serve
        Also the memory to answer this many sequences at once.
    causal
        Count half of the attention, what a decoder's order lets it see; published figures count all.
    json
        Print the figures as one JSON object.
    seconds
        How long to measure here.
    """
    from liju.plan import parse_machine

    name, devices = parse_machine(on)
    asked = {
        "checkpointing": None if checkpointing == "auto" else checkpointing,
        "shard": None if shard == "auto" else shard,
        "tensor": tensor,
        "mfu": mfu,
        "price": price,
        "serve": serve,
        "causal": causal,
    }
    words = [what, *overrides]
    if "=" in what:
        words = ["liju.toml", *words]
    for flag, value in {"--length": length, "--tensor": tensor, "--serve": serve}.items():
        if value < 0:
            raise RequestError(f"{flag} must not be below 0, but is {value}")
    figures, subject, machine, tried = _figures(
        words, name, devices, number("--tokens", tokens), int(number("--batch", batch)), length, precision,
        seconds, asked,
    )  # fmt: skip
    if json:
        print(dumps({"name": subject.name, **figures.to_json()}, indent=2))
        return
    from liju.plan import table

    measured = ""
    if tried is not None:
        whole = tried.tried == subject.config
        measured = "steps of it" if whole else f"steps of a like one of width {tried.tried.d_model:,}"
        measured += ", measured here"
    elif machine.key == "here" and subject.recorded:
        measured = "as this run has recorded"
    steps = subject.settings.steps if subject.settings and figures.tokens == subject.tokens else 0
    width = shutil.get_terminal_size((110, 24)).columns
    print(table(figures, subject.config, machine, subject.name, measured=measured, steps=steps, width=width))
    other = "h100:64" if name != "h100" else "a100:64"
    follow = {"preset": f"liju plan {subject.name} --on {other}", "model": f"liju show model {words[0]}"}
    say_next(follow.get(subject.kind) or again("run", words))


def number(flag: str, text: str) -> float:
    """
    >>> number("--tokens", "1.4T"), number("--tokens", "")
    (1400000000000.0, 0.0)
    """
    unit = UNITS.get(text[-1:], 1.0)
    try:
        value = float(text[:-1] if text[-1:] in UNITS else text or 0) * unit
    except ValueError:
        value = float("nan")
    if not 0 <= value < 1e30 or (text and not value):
        raise RequestError(f"{flag}: {text!r} is not a number above 0", hint=f"{flag} 300e9, or {flag} 300B")
    return value


def _figures(
    words: list[str],
    name: str,
    devices: int,
    tokens: float,
    batch: int,
    length: int,
    precision: str,
    seconds: float,
    asked: dict,
) -> tuple[Plan, Subject, Machine, Rehearsal | None]:
    from dataclasses import replace

    from liju.plan import machine as machine_of
    from liju.plan import plan as planned
    from liju.project.planning import subject_of
    from liju.project.rehearsal import machine_here, rehearse

    here = name in ("here", "cpu")
    if here and devices > 1:
        raise RequestError(f"{name}:{devices}: this is one machine", hint=f"--on {name}")
    machine = None if here else machine_of(name)
    subject = subject_of(words[0], words[1:])
    if length:
        target = round(subject.target_length * length / subject.length)
        subject = replace(subject, length=length, target_length=target, recorded=0.0)
    tried = None
    if machine is None:
        machine = machine_here("cpu" if name == "cpu" else "auto")
        if subject.recorded and precision == "auto" and not asked["mfu"]:
            asked["tokens_per_second"] = subject.recorded
        elif not asked["mfu"]:
            tried = rehearse(subject, machine, precision=precision, seconds=seconds)
            asked["tokens_per_second"], precision = tried.tokens_per_second, tried.precision
    if precision == "auto":
        precision = "float32" if here or "bfloat16" not in machine.peak else "bfloat16"
    settings = subject.settings
    if settings is not None:
        asked["optimizer"], asked["micro_batch_tokens"] = settings.optimizer, settings.micro_batch_tokens
    parameters = planned(subject.config, 1, heads=subject.heads).parameters
    figures = planned(
        subject.config,
        int(tokens or subject.tokens or 20 * parameters),
        machine,
        devices,
        length=subject.length,
        target_length=subject.target_length,
        predicted=subject.predicted,
        batch=batch or subject.batch,
        precision=precision,  # type: ignore[arg-type]
        heads=subject.heads,
        **asked,
    )
    return figures, subject, machine, tried
