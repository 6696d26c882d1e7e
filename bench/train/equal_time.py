"""Held-out loss after equal time: liju's recipes beside nanoGPT's for CPUs, and what each ingredient gives.

tinyshakespeare, the last tenth held out; nats a byte (of all its bytes; each is predicted once, in blocks as
long as in training). A run ends when its time is over, and learning rates follow the share of time that has
passed, so that every recipe ends its schedule. No dropout anywhere.

    python bench/train/equal_time.py race --seconds 120 [--seeds 3] [--nanogpt FOLDER] [--clock wall]
    python bench/train/equal_time.py ablation --seconds 60 [--seeds 2]
    python bench/train/equal_time.py masking --seconds 60 [--seeds 2]

`race` first searches the rate and the schedule of every recipe on the same grid (factors of its own rate;
cosine to a tenth, and linear to zero), one seed each, a quarter of the time; then runs the best.
FOLDER holds nanoGPT's model.py; without it transformers' GPT-2 takes its place. `--clock cpu` counts the
process's time, for a machine that has other work.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from peers import load_module
from works import paragraphs, read, shards

import liju  # noqa: F401 - before torch's first use, for the threads
from liju.config import Vocab
from liju.model import Transformer, TransformerConfig
from liju.objective import Masked, held_out
from liju.samples import Steps, micro_batches
from liju.samples.batch import Batch, Side, Targets
from liju.train import TrainSettings, build_optimizer
from liju.train.step import accumulate, clip
from liju.vocab import Tokenizer, train

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Recipe:
    """How a decoder is trained. `switches` are the network's, `settings` the optimizer's."""

    name: str
    context: int = 128
    rows: int = 16
    vocab: int = 0  # 0: characters
    schedule: str = "linear"
    factor: float = 1.0  # of all learning rates
    switches: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def but(self, name: str, switches: dict | None = None, **changes: Any) -> Recipe:
        """The same with some things changed."""
        settings = {**self.settings, **changes.pop("settings", {})}
        return replace(
            self, name=name, switches={**self.switches, **(switches or {})}, settings=settings, **changes
        )


OURS = Recipe(
    "liju",
    switches={"gated": False, "activation": "relu2", "d_ff": 512, "qk_norm": True},
    settings={"optimizer": "muon", "learning_rate": 4e-3, "muon_learning_rate": 0.02, "weight_decay": 0.1},
)
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
    OURS.but("BPE of 1,024", vocab=1024),
]


def factor(kind: str, done: float, step: int, warmup: int = 100) -> float:
    """The share of the peak rate when `done` of the time has passed."""
    warm = min(1.0, (step + 1) / warmup)
    falls = {
        "linear": 1 - done,
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "cosine-10%": 0.1 + 0.45 * (1 + math.cos(math.pi * done)),
        "wsd": 1.0 if done < 0.8 else 1 - math.sqrt((done - 0.8) / 0.2),
    }
    return warm * falls[kind]


@dataclass
class Text:
    """Token ids of the two parts of the text, and how many bytes the held-out one has."""

    train: torch.Tensor
    held_out: torch.Tensor
    size: int
    vocab: int

    @classmethod
    def of(cls, vocab: int) -> Text:
        text = read("tinyshakespeare/input.txt.gz")
        cut = int(0.9 * len(text))
        if vocab:
            tokenizer = train([text[:cut]], Vocab(size=vocab), "decoder")
            parts = [tokenizer.encode_batch([part])[0] for part in (text[:cut], text[cut:])]
        else:
            number = {letter: i for i, letter in enumerate(sorted(set(text)))}
            parts = [[number[letter] for letter in part] for part in (text[:cut], text[cut:])]
            vocab = len(number)
        return cls(*(torch.tensor(part) for part in parts), len(text[cut:].encode()), vocab)

    def draw(self, rows: int, context: int) -> tuple[torch.Tensor, torch.Tensor]:
        start = torch.randint(len(self.train) - context, (rows,)).tolist()
        X = torch.stack([self.train[i : i + context] for i in start])
        return X, torch.stack([self.train[i + 1 : i + 1 + context] for i in start])

    def blocks(self, context: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        x, y = self.held_out[:-1].split(context), self.held_out[1:].split(context)
        return [(a[None], b[None]) for a, b in zip(x, y, strict=True)]


def batch_of(X: torch.Tensor, Y: torch.Tensor) -> Batch:
    targets = Targets(torch.arange(Y.numel()), Y.flatten(), torch.ones(Y.numel()))
    return Batch(None, Side.of(X), {"words": targets})


def race_one(step: Callable[[float], Any], recipe: Recipe, seconds: float, clock: str) -> int:
    """Take steps until the time is over; their number."""
    now, steps = CLOCKS[clock], 0
    start = now()
    while (done := (now() - start) / seconds) < 1:
        step(factor(recipe.schedule, done, steps))
        steps += 1
    return steps


def ours(recipe: Recipe, text: Text, seconds: float, clock: str, seed: int) -> tuple[float, int]:
    torch.manual_seed(seed)
    shape = {"vocab_size": text.vocab, "d_model": 128, "num_heads": 4, "num_layers": 4}
    config = TransformerConfig.default("decoder", max_length=recipe.context, **{**shape, **recipe.switches})
    model = Transformer(config)
    rates = {k: v * recipe.factor for k, v in recipe.settings.items() if k.endswith("learning_rate")}
    optimizer = build_optimizer(model, TrainSettings(**{**recipe.settings, **rates}))

    def step(share: float) -> None:
        accumulate(model, [batch_of(*text.draw(recipe.rows, recipe.context))], {"words": 1.0})
        clip(model, 1.0)
        optimizer.step(share)

    steps = race_one(step, recipe, seconds, clock)
    model.eval()
    with torch.inference_mode():
        nats = [
            F.cross_entropy(model.logits(batch_of(X, Y))[0], Y[0], reduction="sum")
            for X, Y in text.blocks(recipe.context)
        ]
    return float(torch.stack(nats).double().sum()) / text.size, steps


NANOGPT = Recipe("nanoGPT", context=64, rows=12, schedule="cosine-10%", settings={"learning_rate": 1e-3})


def nanogpt(
    recipe: Recipe, text: Text, seconds: float, clock: str, seed: int, folder: Path | None
) -> tuple[float, int]:
    """train.py with config/train_shakespeare_char.py and the options that its README gives for a CPU."""
    torch.manual_seed(seed)
    shape = {"n_layer": 4, "n_head": 4, "n_embd": 128, "vocab_size": text.vocab}
    rate, betas = recipe.settings["learning_rate"] * recipe.factor, (0.9, 0.99)
    if folder is not None:
        module = load_module(folder / "model.py")
        model = module.GPT(module.GPTConfig(block_size=recipe.context, dropout=0.0, bias=False, **shape))
        optimizer = model.configure_optimizers(0.1, rate, betas, "cpu")

        def nats(X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
            return model(X, Y)[1]
    else:
        from transformers import GPT2Config, GPT2LMHeadModel

        drop = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        model = GPT2LMHeadModel(GPT2Config(n_positions=recipe.context, **drop, **shape))
        groups = [
            {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
            {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=rate, betas=betas)

        def nats(X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(model(X).logits.flatten(0, 1), Y.flatten())

    def step(share: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate * share
        nats(*text.draw(recipe.rows, recipe.context)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    steps = race_one(step, recipe, seconds, clock)
    model.eval()
    with torch.inference_mode():
        sums = [nats(X, Y) * Y.numel() for X, Y in text.blocks(recipe.context)]
    return float(torch.stack(sums).double().sum()) / text.size, steps


def tell(name: str, found: list[tuple[float, int]], beside: float | None = None) -> float:
    losses = [loss for loss, _ in found]
    mean, spread = statistics.mean(losses), statistics.stdev(losses) if len(losses) > 1 else math.nan
    more = "" if beside is None else f", {mean - beside:+.4f}"
    steps = round(statistics.mean(steps for _, steps in found))
    print(f"  {name:28} {mean:.4f} ± {spread:.4f} nats a byte{more} ({steps} steps)", flush=True)
    return mean


def race(asked: argparse.Namespace) -> None:
    characters, pieces = Text.of(0), Text.of(1024)

    def run(recipe: Recipe, seconds: float, seed: int) -> tuple[float, int]:
        text = pieces if recipe.vocab else characters
        if recipe.name == "nanoGPT":
            return nanogpt(recipe, text, seconds, asked.clock, seed, asked.nanogpt)
        return ours(recipe, text, seconds, asked.clock, seed)

    recipes = [NANOGPT, OURS, OURS.but("liju, BPE of 1,024", vocab=1024)]
    own = [run(NANOGPT, asked.seconds, seed) for seed in range(asked.seeds)]
    tell("nanoGPT as documented", own)
    best: list[Recipe] = []
    for recipe in recipes:
        grid = itertools.product(("cosine-10%", "linear"), asked.factors)
        tried = [recipe.but(recipe.name, schedule=kind, factor=times) for kind, times in grid]
        scores = [run(trial, asked.seconds / 4, seed=97)[0] for trial in tried]
        for trial, score in zip(tried, scores, strict=True):
            print(f"    {trial.name}, {trial.schedule}, rate times {trial.factor}: {score:.4f}", flush=True)
        best.append(tried[int(np.argmin(scores))])
    means = []
    for recipe in best:
        found = [run(recipe, asked.seconds, seed) for seed in range(asked.seeds)]
        name = f"{recipe.name}, {recipe.schedule}, times {recipe.factor}"
        means.append(tell(name, found, means[0] if means else None))


def ablation(asked: argparse.Namespace) -> None:
    texts = {vocab: Text.of(vocab) for vocab in {recipe.vocab for recipe in ABLATION}}
    first = None
    for recipe in ABLATION:
        found = [
            ours(recipe, texts[recipe.vocab], asked.seconds, asked.clock, seed) for seed in range(asked.seeds)
        ]
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
    for rate in (0.15, 0.3, 0.4):
        found = []
        for seed in range(asked.seeds):
            torch.manual_seed(seed)
            model = Transformer(TransformerConfig.default("encoder", **shape, position="rope"))
            optimizer = build_optimizer(
                model, TrainSettings(optimizer="muon", learning_rate=4e-3, weight_decay=0.1)
            )
            work = Masked(parts[0], tokenizer, 128, seed, mask_rate=rate, next_sentence=False)
            steps = Steps(work, 2048, seed)
            count = itertools.count()

            def step(share: float, work=work, steps=steps, count=count, model=model, optimizer=optimizer):
                samples = [work.sample(int(number)) for number in steps.numbers(next(count))]
                accumulate(model, micro_batches(samples, 4096, "grouped", work.pad), work.weights)
                clip(model, 1.0)
                optimizer.step(share)

            taken = race_one(step, OURS, asked.seconds, asked.clock)
            found.append((held_out(model, judge)["words"], taken))
        losses = [loss for loss, _ in found]
        print(f"  masking {rate:.0%}: {statistics.mean(losses):.4f} nats a masked word, {found}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("what", choices=["race", "ablation", "masking"])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--factors", type=float, nargs="+", default=[0.5, 1, 2, 4, 8])
    parser.add_argument("--nanogpt", type=Path, help="a folder with nanoGPT's model.py")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print(f"{asked.what}: {asked.seconds:.0f} s of {asked.clock} time a run, {asked.threads} threads")
    {"race": race, "ablation": ablation, "masking": masking}[asked.what](asked)


if __name__ == "__main__":
    main()
