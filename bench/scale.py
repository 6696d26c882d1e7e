"""Tokens a second of a decoder on 1 and on N ranks of this machine, one thread each: ratios in one run.

Every way trains the same steps of the same text (so many tokens a step, over all ranks): one process; N ranks
that each have the whole model; N ranks that share the weights; N ranks that share each sample. The ways take
turns, `rounds` times; a round's rate is that of its steps after the first three. `wall` is the clock, `cpu`
the first rank's time on its core: other work on the machine disturbs it less, and it leaves out what the rank
waits for another. Beside it stands the product of two matrices on one process and on N at once: what the
machine itself gives.

    python bench/scale.py [--ranks 2] [--steps 11] [--rounds 1] [--width 128] [--tokens 2048]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import liju  # noqa: F401 - before torch's first use, for the threads

WARM = 3
WAYS = {
    "1 process": (1, {}),
    "whole model each": (0, {"sharding": "replicate"}),
    "shared weights": (0, {"sharding": "shard"}),
    "shared samples": (0, {"tensor_parallel": 0}),
}


def train_here(told: dict) -> None:
    """As one of the ranks: train, and print the tokens a second of this run."""
    from liju.model import Transformer, TransformerConfig
    from liju.samples import Sample
    from liju.samples.batch import Goal
    from liju.train import Quiet, TrainSettings, joined, train

    import numpy as np  # isort: skip
    import torch  # isort: skip

    torch.set_num_threads(1)

    class Rows:
        """Rows of 256 random tokens: what they say is nothing to the clock."""

        name, fingerprint, size, pad, label_smoothing = "rows", "rows", 4096, 0, 0.0
        weights = {"words": 1.0}  # noqa: RUF012

        def lengths(self, numbers):
            return np.stack([numbers * 0, numbers * 0 + 256], axis=1)

        def sample(self, number):
            ids = np.random.default_rng(number).integers(1, 8000, 257)
            return Sample(number, decoder=ids[:-1], goals={"words": Goal(np.arange(256), ids[1:])})

    class Clock(Quiet):
        """Tokens and times of the steps after the first ones, of the first rank."""

        tokens, wall, cpu = 0, 0.0, 0.0

        def step(self, line):
            now = time.perf_counter(), time.process_time()
            if line["step"] == WARM:
                self.began = now
            elif line["step"] > WARM:
                self.tokens += line["tokens"]
                self.wall, self.cpu = (new - old for new, old in zip(now, self.began, strict=True))

    with joined() as world:
        torch.manual_seed(0)
        width = told.pop("width")
        shape = {"d_model": width, "num_heads": width // 64, "num_layers": 4, "max_length": 256}
        model = Transformer(TransformerConfig.default("decoder", vocab_size=8000, dropout=0.0, **shape))
        settings = TrainSettings(
            precision="float32", compile="off", layout="grouped", device="cpu", save_every=10**6, **told
        )
        with tempfile.TemporaryDirectory() as folder:
            clock = Clock()
            result = train(model, Rows(), settings, folder, live=clock)
            if world.first:
                rates = {"wall": clock.tokens / clock.wall, "cpu": clock.tokens / clock.cpu}
                print(json.dumps({**rates, "loss": result.loss}), flush=True)
            world.total([0.0])


def multiply_here(seconds: float) -> None:
    """Print the GFLOP/s of one thread's products of matrices."""
    import torch

    torch.set_num_threads(1)
    a, began, count = torch.randn(1024, 1024), time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        _ = a @ a
        count += 1
    print(json.dumps({"wall": 2 * 1024**3 * count / (time.perf_counter() - began) / 1e9}), flush=True)


def start(words: list[str], ranks: int) -> list[dict]:
    """Run this file on `ranks` processes of torchrun, or once; the lines of JSON that they print."""
    command = [sys.executable, __file__, *words]
    if ranks > 1:
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=env, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def median(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=11)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=2048, help="a step, over all ranks")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here == "products":
        return multiply_here(2.0)
    if asked.here:
        return train_here(json.loads(asked.here))
    found: dict[str, list[dict]] = {name: [] for name in WAYS}
    products: list[float] = []
    for _ in range(asked.rounds):
        for name, (ranks, more) in WAYS.items():
            ranks = ranks or asked.ranks
            told = {"steps": asked.steps, "batch_tokens": asked.tokens, "width": asked.width}
            told |= {"micro_batch_tokens": asked.tokens}
            told |= {key: value or ranks for key, value in more.items()}
            found[name] += start(["--here", json.dumps(told)], ranks)
        one, every = (start(["--here", "products"], ranks) for ranks in (1, asked.ranks))
        products.append(sum(line["wall"] for line in every) / one[0]["wall"])
    print(f"{asked.ranks} ranks, width {asked.width}, 4 layers, {asked.tokens} tokens a step, gloo")
    for name, lines in found.items():
        walls, cpus = ([line[kind] for line in lines] for kind in ("wall", "cpu"))
        ratios = [
            median([own[kind] / one[kind] for own, one in zip(lines, found["1 process"], strict=True)])
            for kind in ("wall", "cpu")
        ]
        print(
            f"  {name:18} {statistics.median(walls):7,.0f} tokens a second (wall), "
            f"{statistics.median(cpus):7,.0f} (cpu): {ratios[0]} and {ratios[1]} times one process; "
            f"loss {lines[-1]['loss']:.5f}"
        )
    print(f"  matrix products    {median(products)} times one process (wall)")


if __name__ == "__main__":
    main()
