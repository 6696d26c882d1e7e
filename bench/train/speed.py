"""Real tokens a second of liju's training loop beside transformers' Trainer: ratios in one run.

The same architecture (BERT with next sentence, GPT-2, T5; width 256, 8,192 tokens), data, precision (float32)
and threads. The trainings take turns of a few seconds (turns.py). Empty places count for nothing; the tokens
of both sides of a translation count.

    python bench/train/speed.py [encoder] [decoder] [encdec] [--seconds 4] [--rounds 5] [--threads 1]
                                [--nanogpt FOLDER]

FOLDER holds nanoGPT's model.py, fetched by hand. `wall` is the clock; `cpu` is the process's time, which
other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
from peers import flops_a_token, nanogpt, ours, products, trainer
from turns import Table, median_rate, ratio
from works import LENGTHS, objective

import liju  # noqa: F401 - before torch's first use, for the threads


def compare(family: str, seconds: float, rounds: int, folder: Path | None) -> None:
    work = objective(family)
    some = [work.sample(i) for i in range(min(work.size, 400))]
    tokens = sum(sum(sample.lengths) for sample in some)
    share = sum(len(sample.goals["words"].places) for sample in some) / tokens
    pairs = sum(sum(n**2 for n in sample.lengths) for sample in some)  # of a token and a token it sees
    seen = pairs / tokens / (2 if family == "decoder" else 1)
    flops = flops_a_token(family, share, seen)
    trainings = [
        ours(family, work, flops),
        trainer(family, work, flops, False),
        trainer(family, work, flops, True),
    ]
    if folder is not None and family == "decoder":
        trainings.append(nanogpt(folder / "model.py", work, flops))
    peak = products()
    Table([*trainings, peak], seconds, rounds).play()
    top = [turn.flops / turn.cpu for turn in peak.turns]
    print(
        f"{family}: at most {LENGTHS[family]} tokens a side, mean {tokens / len(some):.0f} a sample; "
        f"{flops / 1e6:.1f} MFLOPs a token; matrix products {statistics.median(top) / 1e9:.1f} GFLOP/s"
    )
    for training in trainings:
        shares = [turn.flops / turn.cpu / limit for turn, limit in zip(training.turns, top, strict=True)]
        print(
            f"  {training.name:18} {median_rate(training, 'wall'):7,.0f} tokens a second (wall), "
            f"{median_rate(training, 'cpu'):7,.0f} (cpu); {statistics.median(shares):.0%} of the peak"
        )
    for training in trainings[1:]:
        wall, cpu = ratio(trainings[0], training, "wall"), ratio(trainings[0], training, "cpu")
        print(f"  liju / {training.name}: {wall} by the wall, {cpu} by the cpu", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("families", nargs="*", default=["encoder", "encdec", "decoder"])
    parser.add_argument("--seconds", type=float, default=4, help="of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--nanogpt", type=Path, help="a folder with nanoGPT's model.py")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for family in asked.families:
        compare(family, asked.seconds, asked.rounds, asked.nanogpt)


if __name__ == "__main__":
    main()
