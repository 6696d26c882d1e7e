"""A toy of every published system: the same switches, a width of some fifty, a paragraph to learn."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

from liju.config import Vocab
from liju.model import Transformer, TransformerConfig, preset
from liju.model.presets import PRESETS, Preset
from liju.objective import Causal, Denoising, Masked, Objective, Translation
from liju.samples import write_shards
from liju.train import TrainSettings, train
from liju.vocab import Tokenizer
from liju.vocab import train as train_vocab

PARAGRAPH = (
    "The river rises in the hills. The river runs to the sea. The boats go down the river in the morning. "
    "The boats come back in the evening. In the morning the sea is calm. In the evening the sea is dark. "
    "The people of the hills come down to the sea. The people of the sea go up to the hills. They meet on "
    "the boats. They trade bread for fish. In the hills there is bread. In the sea there is fish. The river "
    "gives them both a way."
)
SENTENCES = [f"{one.strip()}." for one in PARAGRAPH.split(".") if one.strip()]
PAIRS = list(zip(SENTENCES, [one.lower() for one in SENTENCES], strict=True))
LENGTH = 32
WIDTH = 48

# What a toy's loss must have fallen to, in nats a word. Untrained it is near log(vocabulary), 5 to 7; knowing
# how often each word occurs, and nothing else, gives 3.2 to 3.6.
BOUNDS = {"causal": 1.0, "masked": 2.5, "denoising": 2.2, "translation": 2.0}
STEPS = {"causal": 120, "masked": 400, "denoising": 250, "translation": 300}

# Switches that say how large a model is, not what it is.
SIZES = (
    "vocab_size",
    "d_model",
    "num_layers",
    "num_decoder_layers",
    "num_heads",
    "num_kv_heads",
    "d_k",
    "d_ff",
)
SIZES += ("max_length", "d_embedding", "logit_scale", "rope_scaling", "window", "dropout")


def structure(entry: Preset) -> tuple[Any, ...]:
    """What the presets of a system may differ in besides their sizes."""
    config = preset(entry.name)
    kept = tuple(getattr(config, name) for name in config.__dataclass_fields__ if name not in SIZES)
    inner = config.num_heads * config.d_k
    shape = (config.num_kv_heads < config.num_heads, (inner > config.d_model) - (inner < config.d_model))
    return (
        entry.system,
        kept,
        shape,
        config.d_embedding < config.d_model,
        config.logit_scale is None,
        config.rope_scaling is None,
    )


@cache
def representatives() -> dict[str, str]:
    """For every preset the one of the same structure whose toy stands for it: the first."""
    first: dict[tuple[Any, ...], str] = {}
    return {name: first.setdefault(structure(entry), name) for name, entry in PRESETS.items()}


def toy(name: str, vocab_size: int = 101, **switches: Any) -> TransformerConfig:
    """A preset some fifty wide."""
    entry = PRESETS[name]
    usual: dict[str, Any] = {"vocab_size": vocab_size, "max_length": LENGTH}
    if "window" in entry.switches:
        usual["window"] = 4
    narrowest = entry.switches.get("d_embedding", entry.switches["d_model"])
    config = preset(name, scale=WIDTH / narrowest, **{**usual, **switches})
    # Deep post-norm networks take longer than a test has.
    layers = min(config.num_layers, max(3, config.global_every + 1))
    decoder = min(config.num_decoder_layers, layers)
    return config.replace(num_layers=layers, num_decoder_layers=decoder)


@cache
def vocabulary(family: str, kind: str) -> Tokenizer:
    return train_vocab([PARAGRAPH] * 3, Vocab(kind=kind, size=400), family)  # type: ignore[arg-type]


def objective_of(entry: Preset, tokenizer: Tokenizer, folder: Path) -> Objective:
    """What the paper trains it on; spans for whatever denoises."""
    if entry.objective == "translation":
        sides = [[tokenizer.encode(side) for side in pair] for pair in PAIRS]
        return Translation([a for a, _ in sides], [b for _, b in sides], tokenizer, LENGTH)
    shards = write_shards([PARAGRAPH] * 4, tokenizer, folder)
    if entry.objective == "causal":
        return Causal(shards, tokenizer, LENGTH)
    if entry.objective == "denoising":
        return Denoising(shards, tokenizer, LENGTH, mask_rate=entry.mask_rate)
    return Masked(shards, tokenizer, LENGTH, mask_rate=entry.mask_rate, next_sentence=entry.next_sentence)


def build(config: TransformerConfig, entry: Preset, seed: int = 3) -> Transformer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Transformer(config)
        for head, outputs in entry.heads.items():
            model.add_head(head, outputs)
    return model


def train_toy(
    name: str, folder: Path, steps: int = 0, batch: int = 0
) -> tuple[Transformer, Tokenizer, list[float]]:
    """The toy trained by the spine's loop: the model, its vocabulary, and the mean loss of words at each
    step."""
    entry = PRESETS[name]
    family = entry.switches["family"]
    tokenizer = vocabulary(family, entry.vocab)
    config = toy(name, tokenizer.size, dropout=0.0)
    objective = objective_of(entry, tokenizer, folder / "tokens")
    model = build(config, entry)
    settings = TrainSettings(
        steps=steps or STEPS[entry.objective],
        batch_tokens=batch or (512 if entry.objective == "masked" else 256),
        learning_rate=3e-3 if entry.objective == "masked" else 5e-3,
        precision="float32",
        compile="off",
        layout="grouped",
        device="cpu",
        save_every=1000,
    )
    losses: list[float] = []

    class Heard:
        """Keeps the losses."""

        def begin(self, done: int, steps: int) -> None: ...

        def step(self, line: dict[str, Any]) -> None:
            losses.append(line.get("words", line["loss"]))

        def evaluation(self, step: int, scores: Any, text: str = "") -> None: ...

        def notice(self, text: str) -> None: ...

        def end(self) -> None: ...

    train(model, objective, settings, folder / "run", live=Heard())
    return model.eval(), tokenizer, losses
