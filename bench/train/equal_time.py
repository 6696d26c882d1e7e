"""Held-out loss after a given time: liju's recipes beside nanoGPT's for CPUs, and what each ingredient gives.

tinyshakespeare or WikiText-2 (decoders.py says what is held out); nats a byte. A run ends when its time is
over, and learning rates follow the share of time that has passed, so that every recipe ends its schedule. The
time is of the training steps: reading the text, learning a vocabulary and judging are not counted. No dropout
anywhere.

    python bench/train/equal_time.py race --seconds 120 [--seeds 3] [--nanogpt FOLDER] [--clock wall]
    python bench/train/equal_time.py reach --seconds 1200 [--seeds 3] [--text wikitext-2] [--nanogpt FOLDER]
    python bench/train/equal_time.py ablation --seconds 60 [--seeds 2] [--only NAME ...]
    python bench/train/equal_time.py masking --seconds 60 [--seeds 2]

`race` first searches the rate and the schedule of every recipe on the same grid (factors of its own rate;
cosine to a tenth, and linear to zero), one seed each, a quarter of the time; then runs the best.
`reach` gives nanoGPT's recipe, as it is documented, the whole time, and liju's a quarter of it, seed by seed.
FOLDER holds nanoGPT's model.py; without it transformers' GPT-2 takes its place. `--clock cpu` counts the
process's time, for a machine that has other work.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from decoders import CLOCKS, GPT2, NANOGPT, OURS, TEXTS, Recipe, Text, nanogpt, ours
from timed import timed
from works import paragraphs, shards

import liju  # noqa: F401 - before torch's first use, for the threads
from liju.config import Vocab
from liju.model import Transformer, TransformerConfig
from liju.objective import Masked, held_out
from liju.train import TrainSettings
from liju.vocab import Tokenizer, train

ADAMW = {"optimizer": "adamw", "learning_rate": 4e-3}
# The loss of each beside the first shows what an ingredient gives.
ABLATION = [
    OURS,
    OURS.but("without QK-norm", {"qk_norm": False}),
    OURS.but("GELU for ReLU²", {"activation": "gelu"}),
    OURS.but("SwiGLU for ReLU²", {"gated": True, "activation": "silu", "d_ff": 344}),
    OURS.but("learned positions for RoPE", {"position": "learned"}),
    OURS.but("layer norm for RMS norm", {"norm": "layer", "norm_bias": True}),
    OURS.but("AdamW for Muon", settings=ADAMW),
    OURS.but("WSD for linear", schedule="wsd"),
    OURS.but("cosine for linear", schedule="cosine"),
    OURS.but("context 64", context=64, rows=32),
    OURS.but("context 256", context=256, rows=8),
    OURS.but("half the batch", rows=8),
    OURS.but("half the batch, WSD", rows=8, schedule="wsd"),
    OURS.but("a quarter of the batch, WSD", rows=4, schedule="wsd"),
    OURS.but("BPE of 1,024", vocab=1024),
]


def tell(name: str, found: list[tuple[float, int]], beside: float | None = None) -> float:
    losses = [loss for loss, _ in found]
    mean, spread = statistics.mean(losses), statistics.stdev(losses) if len(losses) > 1 else math.nan
    more = "" if beside is None else f", {mean - beside:+.4f}"
    steps = round(statistics.mean(steps for _, steps in found))
    print(f"  {name:28} {mean:.4f} ± {spread:.4f} nats a byte{more} ({steps} steps)", flush=True)
    return mean


def run(recipe: Recipe, asked: argparse.Namespace, seconds: float, seed: int, share: float = 1.0):
    """The held-out loss and the steps of one training."""
    text = text_of(recipe.vocab, asked.text)
    if recipe.name.startswith("nanoGPT"):
        return nanogpt(recipe, text, seconds, asked.clock, seed, asked.nanogpt, share)
    return ours(recipe, text, seconds, asked.clock, seed, share)


text_of = lru_cache(Text.of)


def recipes(asked: argparse.Namespace) -> list[Recipe]:
    """Those that are compared on a text; a larger one carries a larger vocabulary."""
    size = {"tinyshakespeare": 1024, "wikitext-2": 4096}[asked.text]
    found = [NANOGPT, OURS, OURS.but(f"liju, BPE of {size:,}", vocab=size)]
    if asked.text == "wikitext-2":
        found.insert(1, NANOGPT.but("nanoGPT, BPE of GPT-2", vocab=GPT2))
    return [recipe for recipe in found if not asked.only or recipe.name in asked.only]


def seeds(asked: argparse.Namespace) -> range:
    return range(asked.first_seed, asked.first_seed + asked.seeds)


def race(asked: argparse.Namespace) -> None:
    if not asked.only:
        tell("nanoGPT as documented", [run(NANOGPT, asked, asked.seconds, seed) for seed in seeds(asked)])
    best: list[Recipe] = []
    for recipe in recipes(asked):
        grid = itertools.product(("cosine-10%", "linear"), asked.factors)
        tried = [recipe.but(recipe.name, schedule=kind, factor=times) for kind, times in grid]
        scores = []
        for trial in tried:
            scores.append(run(trial, asked, asked.seconds / 4, seed=97, share=asked.search_share)[0])
            print(
                f"    {trial.name}, {trial.schedule}, rate times {trial.factor}: {scores[-1]:.4f}", flush=True
            )
        best.append(tried[int(np.argmin(scores))])
    means: list[float] = []
    for recipe in best:
        found = [run(recipe, asked, asked.seconds, seed) for seed in seeds(asked)]
        name = f"{recipe.name}, {recipe.schedule}, times {recipe.factor}"
        means.append(tell(name, found, means[0] if means else None))


def reach(asked: argparse.Namespace) -> None:
    """What nanoGPT's recipe reaches in the whole time, and liju's in a share of it."""
    found: dict[str, list[tuple[float, int]]] = {}
    for seed in seeds(asked):
        for recipe in recipes(asked):
            time = asked.seconds * (1 if recipe.name.startswith("nanoGPT") else asked.share)
            loss, steps = run(recipe, asked, time, seed)
            name = f"{recipe.name}, {time:.0f} s"
            found.setdefault(name, []).append((loss, steps))
            print(f"    seed {seed}: {name}: {loss:.4f} ({steps} steps)", flush=True)
    first = None
    for name, results in found.items():
        mean = tell(name, results, first)
        first = mean if first is None else first


def ablation(asked: argparse.Namespace) -> None:
    first = None
    for recipe in ABLATION:
        if asked.only and recipe.name not in asked.only:
            continue
        found = [run(recipe, asked, asked.seconds, seed) for seed in seeds(asked)]
        mean = tell(recipe.name, found, first)
        first = mean if first is None else first


def masking(asked: argparse.Namespace) -> None:
    """Masked words at several rates, judged on the same held-out masks of 15 %."""
    text = paragraphs("valid") + paragraphs("test")
    tokenizer: Tokenizer = train(text, Vocab(size=4096, kind="wordpiece"), "encoder")
    cut = len(text) * 9 // 10
    parts = [shards(part, tokenizer) for part in (text[:cut], text[cut:])]
    judge = Masked(parts[1], tokenizer, 128, next_sentence=False)
    shape = {"vocab_size": 4096, "d_model": 128, "num_heads": 4, "num_layers": 3, "max_length": 128}
    settings = TrainSettings(
        optimizer="muon", learning_rate=4e-3, weight_decay=0.1, batch_tokens=2048, micro_batch_tokens=4096
    )
    for rate in (0.15, 0.3, 0.4):
        found = []
        for seed in seeds(asked):
            torch.manual_seed(seed)
            model = Transformer(TransformerConfig.default("encoder", **shape, position="rope"))
            work = Masked(parts[0], tokenizer, 128, seed, mask_rate=rate, next_sentence=False)
            taken = timed(model, work, settings, asked.seconds, asked.clock, OURS.schedule, seed)
            found.append((held_out(model, judge)["words"], taken.steps))
        losses = [loss for loss, _ in found]
        print(f"  masking {rate:.0%}: {statistics.mean(losses):.4f} nats a masked word, {found}", flush=True)


WORK = {"race": race, "reach": reach, "ablation": ablation, "masking": masking}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("what", choices=list(WORK))
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seeds", type=int, default=2, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--text", choices=TEXTS, default=TEXTS[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="of the recipes")
    parser.add_argument("--share", type=float, default=0.25, help="of the time that liju gets in `reach`")
    parser.add_argument("--search-share", type=float, default=1, help="of the held-out text, in a search")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--factors", type=float, nargs="+", default=[0.5, 1, 2, 4, 8])
    parser.add_argument("--nanogpt", type=Path, help="a folder with nanoGPT's model.py")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    told = f"{asked.seconds:.0f} s of {asked.clock} time a run, {asked.threads} threads"
    text = "WikiText-2" if asked.what == "masking" else asked.text
    print(f"{asked.what}, {text}: {told}", flush=True)
    WORK[asked.what](asked)


if __name__ == "__main__":
    main()
