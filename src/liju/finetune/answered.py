"""Answers written after prompts: trained on alone, measured in nats, and written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float64

from liju.errors import RequestError
from liju.finetune.predicted import predicted
from liju.generate import generate
from liju.model import Transformer
from liju.objective import Objective
from liju.samples import Goal, Order, Sample, key_of
from liju.vocab import Tokenizer
from liju.vocab.chat import Conversation

__all__ = ["Answered", "cut_at", "nats_of", "windows", "write_texts"]


class Answered:
    r"""$L = -\sum_{t \in A} \log p(x_t \mid x_{<t})$, where $A$ are the tokens of answers: the prompt is read
    and not learned (Ouyang et al. 2022; the labels of all other tokens are -100 in transformers).

    A row is a sample, and no token sees another row. Rows longer than `max_length` + 1 must be dealt with by
    the reader, who knows their file and line.

    >>> row = Conversation([1, 5, 6, 7, 2], [False, False, False, True, True])
    >>> sample = Answered([row], pad=0).sample(0)
    >>> sample.decoder.tolist(), sample.goals["words"].places.tolist(), sample.goals["words"].values.tolist()
    ([1, 5, 6, 7], [2, 3], [7, 2])
    """

    name = "answered"

    def __init__(self, rows: Sequence[Conversation], pad: int, seed: int = 0, label_smoothing: float = 0.0):
        self.rows, self.pad, self.seed, self.label_smoothing = rows, pad, seed, label_smoothing
        self.fingerprint = f"answered-{key_of([(row.ids, row.answer) for row in rows]):016x}"
        self.size = len(rows)
        self.weights = {"words": 1.0}
        self._lengths = np.array([[0, len(row.ids) - 1] for row in rows]).reshape(-1, 2)
        self.order = Order(self.fingerprint, seed, max(1, self.size))

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        return self._lengths[self.order.take(numbers)]

    def sample(self, number: int) -> Sample:
        row = self.rows[self.order[number]]
        ids = np.asarray(row.ids, np.int64)
        places = np.flatnonzero(np.asarray(row.answer[1:], bool))
        return Sample(number, decoder=ids[:-1], goals={"words": Goal(places, ids[places + 1])})


def windows(row: Conversation, max_length: int) -> list[Conversation]:
    """A row that is too long for the model, in pieces that fit: each of its answers' tokens is predicted
    once, after at least half a piece of what stands before it.

    >>> row = Conversation([1, 2, 3, 4, 5, 6], [False, True, True, True, True, True])
    >>> [(piece.ids, sum(piece.answer)) for piece in windows(row, 3)]
    [([1, 2, 3, 4], 3), ([2, 3, 4, 5], 1), ([3, 4, 5, 6], 1)]
    """
    found, done, size = [], 0, max_length + 1
    step = max(1, max_length // 2)
    end = min(size, len(row.ids))
    while True:
        begin = max(0, end - size)
        answer = [mine and at >= done for at, mine in enumerate(row.answer[begin:end], begin)]
        if any(answer[1:]):
            found.append(Conversation(row.ids[begin:end], answer))
        if end == len(row.ids):
            return found
        done, end = end, min(end + step, len(row.ids))


@torch.inference_mode()
def nats_of(model: Transformer, objective: Objective, rows: int) -> Float64[np.ndarray, " row"]:
    """What each row's words cost, in nats: the sum over its targets. The objective has `order`."""
    nats = np.zeros(rows)
    order: Order = objective.order  # type: ignore[attr-defined]
    for group in np.array_split(np.arange(objective.size), max(1, objective.size // 1024)):
        samples = [objective.sample(int(number)) for number in group]
        for batch, logits in predicted(model, samples, "words", objective.pad):
            targets = batch.targets["words"]
            assert targets.sample is not None
            each = F.cross_entropy(logits.float(), targets.value, reduction="none")
            sums = torch.zeros(len(batch.samples), dtype=torch.float64)
            sums.index_add_(0, targets.sample.cpu(), each.double().cpu())
            for number, value in zip(batch.samples, sums.tolist(), strict=True):
                nats[order[number]] += value
    return nats


def write_texts(
    model: Transformer,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    *,
    start: int | None = None,
    ends: frozenset[int],
    max_new_tokens: int,
    stop: Sequence[str] = (),
    seed: int = 0,
    **how: Any,
) -> list[str]:
    """The answer to each prompt (the source, for an encoder-decoder), in groups of like length.

    Raises RequestError for an empty prompt, or one that does not fit.
    """
    sources = model.config.family == "encdec"
    results = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))

    def stopped(ids: Sequence[int]) -> bool:
        text = tokenizer.decode(ids)
        return any(one in text for one in stop)

    for first in range(0, len(order), 32):
        group = order[first : first + 32]
        rows = [prompts[i] for i in group]
        outputs = generate(
            model,
            None if sources else rows,
            sources=rows if sources else None,
            eos=ends,
            start=start,
            max_new_tokens=max_new_tokens,
            # The same for every text, so that it does not matter which stand beside it.
            seed=[seed] * len(group),
            stopped=stopped if stop else None,
            **how,
        )
        for i, ids in zip(group, outputs, strict=True):
            results[i] = cut_at(tokenizer.decode(ids), stop)
    return results


def cut_at(text: str, stop: Sequence[str]) -> str:
    """A text up to the first of the stop strings. Raises RequestError for an empty one.

    >>> cut_at("one. two! three", ["!", "."])
    'one'
    """
    if not all(stop):
        raise RequestError("stop: an empty text ends nothing", hint="leave it out")
    return text[: min([at for one in stop if (at := text.find(one)) >= 0], default=len(text))]
