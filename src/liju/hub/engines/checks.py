"""What another engine answers beside what the model in memory does, as figures with their bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from liju.hub.bundle import Bundle
from liju.hub.check import probe_batch
from liju.hub.files import read_json
from liju.model import Transformer, TransformerConfig
from liju.samples.batch import Side

__all__ = [
    "TEXTS",
    "Check",
    "Made",
    "apart",
    "ends_alike",
    "greedy",
    "larger",
    "next_logp",
    "probe_ids",
    "same_tokens",
]
__all__ += ["start_of"]

# Ordinary text that the probes begin with.
TEXTS = [
    "Once upon a time, there was a little girl named Lily. She loved to play outside.",
    "床前明月光，疑是地上霜。举头望明月，低头思故乡。",
    "The price rose from 12 to 34 in 2024; they're surprised.",
]


@dataclass(frozen=True)
class Check:
    """One comparison: `figure` must not be above `bound`. `what` says in words what was compared."""

    name: str
    what: str
    figure: float
    bound: float
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """A figure that is not a number does not hold."""
        return bool(self.figure <= self.bound)

    def to_dict(self) -> dict[str, Any]:
        """
        >>> Check("logits", "one place", 0.25, 0.5).to_dict()["holds"]
        True
        """
        return {**asdict(self), "holds": self.holds}


@dataclass
class Made:
    """What a writer made of a model: its checks, the engine that was asked, our tensors that it has no place
    for, and what a reader should know."""

    engine: str
    checks: list[Check]
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


def apart(ours: Float[np.ndarray, ...], theirs: Float[np.ndarray, ...]) -> float:
    """The largest difference, as a share of our largest value; infinite for another shape.

    >>> apart(np.array([1.0, -4.0]), np.array([1.0, -4.5]))
    0.125
    """
    if ours.shape != theirs.shape:
        return float("inf")
    scale = max(float(np.abs(ours).max()), 1e-30)
    return float(np.abs(ours.astype(np.float64) - theirs).max()) / scale


def larger(a: float, b: float) -> float:
    """The larger of two figures; one that is not a number stays (Python's max may lose it).

    >>> larger(1.0, float("nan")), larger(1.0, 2.0)
    (nan, 2.0)
    """
    return float(np.maximum(a, b))


def probe_ids(bundle: Bundle, longest: int) -> list[list[int]]:
    """Rows of token ids to ask both with: of TEXTS where there is a tokenizer, and spread over the whole
    vocabulary. Two lengths at least, none above `longest`, nothing put before or after.

    >>> from pathlib import Path
    >>> model = Transformer(TransformerConfig.default("decoder", vocab_size=97, d_model=8, num_heads=2))
    >>> [len(row) for row in probe_ids(Bundle(model, None, {}, {}, Path()), 9)]
    [9, 5, 9, 3]
    """
    config: TransformerConfig = bundle.config
    batch = probe_batch(config, rows=2, length=max(2, longest))
    rows = batch.predicting.tokens.tolist()
    if bundle.tokenizer is None:
        return [*rows[:1], rows[1][: (longest + 1) // 2], rows[1], rows[0][:3]]
    texts = [ids[:longest] for ids in bundle.tokenizer.encode_batch(TEXTS)]
    return [*texts, texts[0][: max(1, longest // 3)], rows[0]]


def start_of(bundle: Bundle) -> list[int]:
    """The tokens that an answer begins with: <s> of a decoder that has one in its frame; what config.json
    names, else the padding, of an encoder-decoder."""
    tokenizer = bundle.tokenizer
    if bundle.config.family == "encdec":
        path = bundle.folder / "config.json"
        named = read_json(path).get("decoder_start_token_id") if path.exists() else None
        if isinstance(named, int):
            return [named]
        return [tokenizer.pad or 0 if tokenizer is not None else 0]
    return [] if tokenizer is None or tokenizer.bos is None else [tokenizer.bos]


@torch.no_grad()
def next_logp(
    model: Transformer, row: Sequence[int], source: Sequence[int] | None = None
) -> Float[Tensor, " vocab"]:
    """The log-probabilities of the token after `row`."""
    side = Side.of(torch.tensor([list(row)]))
    if source is None:
        hidden = model.decode(side)
    else:
        memory = Side.of(torch.tensor([list(source)]))
        hidden = model.decode(side, model.encode(memory), memory)
    return model.predict("words", hidden[:, -1])[0].double().log_softmax(dim=-1)


def greedy(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    tokens: int,
    eos: int | None,
    sources: Sequence[Sequence[int]] | None = None,
) -> list[list[int]]:
    """The best token each time, the whole row computed anew: `liju.generate` without its cache, which other
    engines are better compared without. The end token, where one is written, is the last."""
    answers = []
    for i, prompt in enumerate(prompts):
        written: list[int] = []
        while len(written) < tokens and eos not in written[-1:]:
            logp = next_logp(model, [*prompt, *written], None if sources is None else sources[i])
            written.append(int(logp.argmax()))
        answers.append(written)
    return answers


def ends_alike(answers: Sequence[Sequence[int]], tokens: int, eos: int | None) -> list[list[int]]:
    """Answers with their end token, whether or not the engine has given it.

    >>> ends_alike([[5, 6], [5, 2], [5, 6, 7]], 3, eos=2)
    [[5, 6, 2], [5, 2], [5, 6, 7]]
    """
    shown = []
    for answer in answers:
        ended = eos is not None and len(answer) < tokens and eos not in answer[-1:]
        shown.append([*answer, *([eos] if ended and eos is not None else [])])
    return shown


def same_tokens(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    ours: Sequence[Sequence[int]],
    theirs: Sequence[Sequence[int]],
    bound: float,
    sources: Sequence[Sequence[int]] | None = None,
    name: str = "greedy",
    what: str = "tokens of the greedy answers",
) -> Check:
    """Two engines' greedy answers, token for token. The figure is the largest gap in our log-probability, as
    a share of their spread, between our token and theirs where the answers part: 0 where all are equal, and
    within the bound of the logits where the two are as good as tied. What follows there is not compared."""
    worst, equal, compared, ties = 0.0, 0, 0, 0
    for i, (prompt, a, b) in enumerate(zip(prompts, ours, theirs, strict=True)):
        at = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        compared += at
        if list(a) == list(b):
            equal += 1
            continue
        if at == min(len(a), len(b)):
            worst = float("inf")  # one of them ended, and the other did not
            continue
        logp = next_logp(model, [*prompt, *a[:at]], None if sources is None else sources[i])
        worst = larger(worst, float((logp[a[at]] - logp[b[at]]).abs() / (logp.max() - logp.min())))
        ties += 1
    details = {"answers": len(ours), "equal": equal, "tokens": compared, "ties": ties}
    return Check(name, what, worst, bound, details)
