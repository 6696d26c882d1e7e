"""Decoders trained for a given time: liju's recipe and nanoGPT's for CPUs, on text whose end is held out.

tinyshakespeare: the last tenth is held out; by characters or by a BPE learned from the rest. WikiText-2:
trained on its train part, the test part is held out; by bytes, by a BPE learned from the train part or by
GPT-2's. Losses are nats a byte of the held-out text: each of its tokens is predicted once, in blocks as long
as in training, so the first ones of a block see little. Read from LIJU_DATA.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from peers import load_module
from works import read

import liju  # noqa: F401 - before torch's first use, for the threads
from liju.config import Vocab
from liju.model import Transformer, TransformerConfig
from liju.samples.batch import Batch, Side, Targets
from liju.train import TrainSettings, build_optimizer
from liju.train.step import accumulate, clip
from liju.vocab import train

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
TEXTS = ("tinyshakespeare", "wikitext-2")
GPT2 = -1  # the vocabulary of GPT-2, which the text had no part in
TOGETHER = 2048  # places judged at once


@dataclass(frozen=True)
class Recipe:
    """How a decoder is trained. `switches` are the network's, `settings` the optimizer's."""

    name: str
    context: int = 128
    rows: int = 16
    vocab: int = 0  # 0: characters (tinyshakespeare) or bytes (WikiText-2)
    schedule: str = "linear"
    warmup: float = 0.05  # a share of the time; from 1: a number of steps
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
# train.py with config/train_shakespeare_char.py and the options that its README gives for a CPU, but for
# max_iters and lr_decay_iters: they are as many as the time allows.
NANOGPT = Recipe(
    "nanoGPT", context=64, rows=12, schedule="cosine-10%", warmup=100, settings={"learning_rate": 1e-3}
)


def factor(kind: str, done: float, step: int, warmup: float) -> float:
    """The share of the peak rate when `done` of the time has passed."""
    warm = min(1.0, (step + 1) / warmup if warmup >= 1 else max(done, 1e-3) / warmup)
    falls = {
        "linear": 1 - done,
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "cosine-10%": 0.1 + 0.45 * (1 + math.cos(math.pi * done)),
        "wsd": 1.0 if done < 0.8 else 1 - math.sqrt((done - 0.8) / 0.2),
    }
    return warm * falls[kind]


def gpt2_ids(text: str) -> list[int]:
    """The text in GPT-2's own tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    lines = read("gpt2-bpe/vocab.bpe.gz").splitlines()[1:]
    merges = [(a, b) for a, b in map(str.split, lines)]
    tokenizer = Tokenizer(models.BPE(json.loads(read("gpt2-bpe/encoder.json.gz")), merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids) == text
    return ids


@dataclass
class Text:
    """Token ids of the two parts of the text, and how many bytes the held-out one has."""

    train: torch.Tensor
    held_out: torch.Tensor
    size: int
    vocab: int

    @classmethod
    def of(cls, vocab: int, name: str = "tinyshakespeare") -> Text:
        if name == "tinyshakespeare":
            text = read("tinyshakespeare/input.txt.gz")
            cut = int(0.9 * len(text))
            texts = [text[:cut], text[cut:]]
        else:
            texts = [read(f"wikitext-2/wiki.{part}.tokens.gz") for part in ("train", "test")]
        size = len(texts[1].encode())
        if vocab == GPT2:
            parts, vocab = [gpt2_ids(part) for part in texts], 50257
        elif vocab:
            tokenizer = train(texts[:1], Vocab(size=vocab), "decoder")
            # Losses a byte can be compared only where the tokens give back every byte.
            parts = [tokenizer.encode_batch([part])[0] for part in texts]
            assert tokenizer.decode(parts[1]) == texts[1]
            vocab = len(tokenizer)
        elif name == "tinyshakespeare":
            number = {letter: i for i, letter in enumerate(sorted(set("".join(texts))))}
            parts, vocab = [[number[letter] for letter in part] for part in texts], len(number)
        else:
            parts, vocab = [np.frombuffer(part.encode(), np.uint8).astype(np.int64) for part in texts], 256
        learned, held_out = (torch.as_tensor(part) for part in parts)
        return cls(learned, held_out, size, vocab)

    def draw(self, rows: int, context: int) -> tuple[torch.Tensor, torch.Tensor]:
        start = torch.randint(len(self.train) - context, (rows,)).tolist()
        X = torch.stack([self.train[i : i + context] for i in start])
        return X, torch.stack([self.train[i + 1 : i + 1 + context] for i in start])

    def blocks(self, context: int, share: float = 1.0) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The held-out text (or its first `share`) as batches of full blocks, and the rest as a last one."""
        keep = round(share * (len(self.held_out) - 1))
        x, y = self.held_out[:keep], self.held_out[1 : keep + 1]
        whole = keep // context * context
        rows = max(1, TOGETHER // context)
        full = [part[:whole].view(-1, context).split(rows) for part in (x, y)]
        rest = [(x[whole:][None], y[whole:][None])] if whole < keep else []
        return [*zip(*full, strict=True), *rest]


def batch_of(X: torch.Tensor, Y: torch.Tensor) -> Batch:
    targets = Targets(torch.arange(Y.numel()), Y.flatten(), torch.ones(Y.numel()))
    return Batch(None, Side.of(X), {"words": targets})


def race_one(step: Callable[[float], Any], schedule: str, warmup: float, seconds: float, clock: str) -> int:
    """Take steps until the time is over; their number."""
    now, steps = CLOCKS[clock], 0
    start = now()
    while (done := (now() - start) / seconds) < 1:
        step(factor(schedule, done, steps, warmup))
        steps += 1
    return steps


def per_byte(nats: Callable[..., torch.Tensor], text: Text, context: int, share: float) -> float:
    """The held-out loss; `nats` gives the sum over a batch of blocks."""
    with torch.inference_mode():
        sums = [nats(X, Y) for X, Y in text.blocks(context, share)]
    return float(torch.stack(sums).double().sum()) / (text.size * share)


def ours(
    recipe: Recipe, text: Text, seconds: float, clock: str, seed: int, share: float = 1.0
) -> tuple[float, int]:
    """The held-out loss of liju's recipe after its time, and its steps."""
    torch.manual_seed(seed)
    shape: dict[str, Any] = {"vocab_size": text.vocab, "d_model": 128, "num_heads": 4, "num_layers": 4}
    config = TransformerConfig.default("decoder", max_length=recipe.context, **{**shape, **recipe.switches})
    model = Transformer(config)
    rates = {k: v * recipe.factor for k, v in recipe.settings.items() if k.endswith("learning_rate")}
    optimizer = build_optimizer(model, TrainSettings(**{**recipe.settings, **rates}))

    def step(rate: float) -> None:
        accumulate(model, [batch_of(*text.draw(recipe.rows, recipe.context))], {"words": 1.0})
        clip(model, 1.0)
        optimizer.step(rate)

    steps = race_one(step, recipe.schedule, recipe.warmup, seconds, clock)
    model.eval()

    def nats(X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        logits = model.logits(batch_of(X, Y))
        return F.cross_entropy(logits.flatten(0, 1), Y.flatten(), reduction="sum")

    return per_byte(nats, text, recipe.context, share), steps


def nanogpt(
    recipe: Recipe, text: Text, seconds: float, clock: str, seed: int, folder: Path | None, share: float = 1.0
) -> tuple[float, int]:
    """The same of nanoGPT's recipe: its own model.py, or transformers' GPT-2 where there is no folder."""
    torch.manual_seed(seed)
    shape: dict[str, Any] = {"n_layer": 4, "n_head": 4, "n_embd": 128, "vocab_size": text.vocab}
    rate, betas = recipe.settings["learning_rate"] * recipe.factor, (0.9, 0.99)
    if folder is not None:
        module = load_module(folder / "model.py")
        model = module.GPT(module.GPTConfig(block_size=recipe.context, dropout=0.0, bias=False, **shape))
        optimizer = model.configure_optimizers(0.1, rate, betas, "cpu")

        def nats(X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
            return model(X, Y)[1]
    else:
        from transformers import GPT2Config, GPT2LMHeadModel

        drop: dict[str, Any] = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        model = GPT2LMHeadModel(GPT2Config(n_positions=recipe.context, **drop, **shape))
        groups = [
            {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
            {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=rate, betas=betas)

        def nats(X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(model(X).logits.flatten(0, 1), Y.flatten())

    def step(rate_share: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate * rate_share
        nats(*text.draw(recipe.rows, recipe.context)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    steps = race_one(step, recipe.schedule, recipe.warmup, seconds, clock)
    model.eval()
    return per_byte(lambda X, Y: nats(X, Y) * Y.numel(), text, recipe.context, share), steps
