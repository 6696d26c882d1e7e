"""A short training in a process of its own: its peak of memory and its seconds, as JSON.

Also run by bench/plan.py. The words: family, switches, and how it is trained.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import liju  # noqa: F401 - before torch, for the threads
from liju.model import Transformer, TransformerConfig
from liju.samples import Goal, Sample
from liju.train import TrainSettings, train


class MadeUp:
    """Samples of random tokens, all of one length."""

    name, fingerprint, size, pad, label_smoothing = "made up", "made up", 4000, 0, 0.0
    weights = {"words": 1.0}  # noqa: RUF012

    def __init__(self, config: TransformerConfig, length: int, target: int, predicted: float):
        self.config, self.predicted = config, predicted
        self.sides = length * config.has_encoder, (target or length) * config.has_decoder

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        return np.tile(np.array(self.sides), (len(numbers), 1))

    def sample(self, number: int) -> Sample:
        draw = np.random.default_rng(number)
        encoder, decoder = (
            draw.integers(5, self.config.vocab_size, size) if size else None for size in self.sides
        )
        predicting = decoder if decoder is not None else encoder
        assert predicting is not None
        count = max(1, round(self.predicted * len(predicting)))
        places = np.sort(draw.choice(len(predicting), count, replace=False))
        return Sample(number, encoder, decoder, None, {"words": Goal(places, predicting[places])})


def status(key: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))


def run(
    config: TransformerConfig,
    batch_tokens: int,
    length: int,
    target: int = 0,
    predicted: float = 1.0,
    **settings: Any,
) -> float:
    """Seconds of the steps."""
    settings = {"precision": "float32", "compile": "off", "save_every": 10**6} | settings
    asked = TrainSettings(batch_tokens=batch_tokens, micro_batch_tokens=batch_tokens, **settings)
    with tempfile.TemporaryDirectory() as folder:
        train(Transformer(config), MadeUp(config, length, target, predicted), asked, folder)
        lines = (Path(folder) / "metrics.jsonl").read_text().splitlines()
        return sum(json.loads(line)["seconds"] for line in lines)


def main() -> None:
    torch.set_num_threads(1)
    family, switches, how = json.loads(sys.argv[1])
    small = {"vocab_size": 31, "d_model": 24, "num_heads": 2, "num_layers": 1}
    run(TransformerConfig.default(family, **small), 16, 8, steps=1)  # what is loaded at first use
    before = status("VmRSS")
    seconds = run(TransformerConfig.default(family, **switches), **how)
    print(json.dumps({"bytes": status("VmHWM") - before, "seconds": seconds}))


if __name__ == "__main__":
    main()
