"""The plan for this machine beside real trainings: time and peak memory, as ratios of planned to measured.

Each training runs in a process of its own (tests/plan/plan_training.py), right after its plan was made, so
that a machine whose speed drifts is fair to both. A second plan follows: how far two plans part says how
far the machine itself drifts.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import torch

import liju  # noqa: F401 - before torch, for the threads
from liju.model import TransformerConfig
from liju.plan import plan
from liju.project.planning import Subject
from liju.project.rehearsal import machine_here, rehearse
from liju.train import TrainSettings

TRAINING = Path(__file__).parents[1] / "tests" / "plan" / "plan_training.py"
SHAPES = {
    "encoder": (
        {"vocab_size": 7000, "d_model": 160, "num_layers": 7, "num_heads": 5},
        {"batch_tokens": 3584, "length": 112, "predicted": 0.15},
    ),
    "decoder": (
        {"vocab_size": 3500, "d_model": 288, "num_layers": 5, "num_heads": 6},
        {"batch_tokens": 2400, "length": 80},
    ),
    "encdec": (
        {"vocab_size": 5500, "d_model": 240, "num_layers": 3, "num_heads": 4},
        {"batch_tokens": 3600, "length": 72, "target": 48},
    ),
}


def planned(family: str, steps: int) -> tuple[float, int]:
    """Seconds and bytes, before anything is trained."""
    switches, how = SHAPES[family]
    config = TransformerConfig.default(family, **switches)  # type: ignore[arg-type]
    size = how["batch_tokens"]
    settings = TrainSettings(
        steps=steps,
        batch_tokens=size,
        micro_batch_tokens=size,
        precision="float32",
        compile="off",
        device="cpu",
    )
    length, target = how["length"], how.get("target", 0)
    predicted = how.get("predicted", 1.0)
    subject = Subject(family, "project", config, length, target, predicted, steps * size, size, settings)
    here = machine_here("cpu")
    speed = rehearse(subject, here, precision="float32", seconds=6.0)
    figures = plan(
        config,
        steps * size,
        here,
        length=length,
        target_length=target,
        predicted=predicted,
        batch=size,
        micro_batch_tokens=size,
        tokens_per_second=speed.tokens_per_second,
    )
    assert figures.seconds is not None
    return figures.seconds, figures.memory_bytes


def main(steps: int = 20) -> None:
    torch.set_num_threads(1)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {steps} steps each")
    times, sizes = [], []
    for family, (switches, how) in SHAPES.items():
        before, memory = planned(family, steps)
        what = json.dumps([family, switches, {**how, "steps": steps}])
        done = subprocess.run([sys.executable, TRAINING, what], capture_output=True, text=True, check=True)
        real = json.loads(done.stdout)
        after, _ = planned(family, steps)
        seconds = (before + after) / 2
        times.append(seconds / real["seconds"])
        sizes.append(memory / real["bytes"])
        print(
            f"{family}: time {before:.1f} and {after:.1f} s planned, {real['seconds']:.1f} s taken, "
            f"ratio {times[-1]:.2f}; memory {memory / 1e6:.0f} MB planned, "
            f"{real['bytes'] / 1e6:.0f} MB taken, ratio {sizes[-1]:.2f}",
            flush=True,
        )
    print(f"median ratio: time {statistics.median(times):.2f}, memory {statistics.median(sizes):.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
