"""Samples as the model will see them, and what it writes while it learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from liju.model import Transformer
from liju.objective import Objective
from liju.samples import Goal, Sample, assemble
from liju.vocab import Tokenizer

__all__ = ["look", "written"]

# One token as seen: text, kind ("", "special", "mask", "changed"), what is to be told there, token type.
Seen = list[dict[str, Any]]


def look(objective: Objective, tokenizer: Tokenizer, count: int = 3) -> list[dict[str, Any]]:
    """The first samples, decoded: each a caption and its pieces, side by side where there are two."""
    found = []
    for number in range(min(count, objective.size)):
        sample = objective.sample(number)
        sides = [name for name in ("encoder", "decoder") if getattr(sample, name) is not None]
        for side in sides:
            predicts = side == sides[-1]
            caption = f"sample {number}" + (f", {side}" if len(sides) > 1 else "") + _judged(sample)
            found.append({"caption": caption, "pieces": _pieces(sample, side, tokenizer, predicts)})
    return found


def _judged(sample: Sample) -> str:
    goal = sample.goals.get("next_sentence")
    if goal is None:
        return ""
    return ": B follows A" if int(goal.values[0]) == 0 else ": B is from elsewhere"


def _pieces(sample: Sample, side: str, tokenizer: Tokenizer, predicts: bool) -> Seen:
    ids = getattr(sample, side)
    types = sample.types if side == "encoder" and sample.types is not None else np.zeros(len(ids), int)
    words: Mapping[int, int] = {}
    if predicts and (goal := sample.goals.get("words")) is not None:
        words = dict(zip(goal.places.tolist(), goal.values.tolist(), strict=True))
    texts = tokenizer.tokens(ids.tolist())
    special = {
        tokenizer.pad,
        tokenizer.cls,
        tokenizer.sep,
        tokenizer.bos,
        tokenizer.eos,
        *tokenizer.sentinels,
    }
    pieces = []
    for place, (token, text) in enumerate(zip(ids.tolist(), texts, strict=True)):
        target = words.get(place)
        kind = "mask" if token == tokenizer.mask else "special" if token in special else ""
        if side == "encoder" and target is not None and not kind and target != token:
            kind = "changed"
        told = "" if target is None else tokenizer.tokens([target])[0]
        pieces.append({"text": text, "kind": kind, "target": told, "type": int(types[place])})
    return pieces


@torch.inference_mode()
def written(model: Transformer, tokenizer: Tokenizer, against: Objective | None) -> list[str]:
    """What the model makes of the first held-out sample: a text that it writes on, or gaps that it fills."""
    if against is None:
        return []
    training = model.training
    model.eval()
    try:
        sample = against.sample(0)
        if model.config.family == "decoder":
            return [_written_on(model, tokenizer, sample)]
        return [_filled(model, tokenizer, sample)]
    finally:
        model.train(training)


def _written_on(model: Transformer, tokenizer: Tokenizer, sample: Sample) -> str:
    from liju.generate import generate

    assert sample.decoder is not None and tokenizer.eos is not None
    half = sample.decoder[: max(2, min(16, len(sample.decoder) // 2))].tolist()
    room = min(32, model.config.max_length - len(half) - 1)
    if room < 1:
        return tokenizer.decode(half[1:])
    ids = generate(
        model, [half], sources=None, eos=tokenizer.eos, max_new_tokens=room, temperature=0.8, top_p=0.95
    )[0]
    return f"{tokenizer.decode(half[1:])} ▸ {tokenizer.decode(ids)}"


def _filled(model: Transformer, tokenizer: Tokenizer, sample: Sample) -> str:
    """The true words and the model's, told apart: [true|model's] where they differ."""
    goal: Goal = sample.goals["words"]
    batch = assemble([sample]).to(next(model.parameters()).device)
    hidden = model(batch).flatten(0, 1).index_select(0, batch.targets["words"].index)
    guesses = model.predict("words", hidden).float().argmax(-1).cpu().tolist()
    side = sample.decoder if sample.decoder is not None else sample.encoder
    assert side is not None
    texts = tokenizer.tokens(side.tolist())
    truth, guess = tokenizer.tokens(goal.values.tolist()), tokenizer.tokens(guesses)
    for place, right, answer in zip(goal.places.tolist(), truth, guess, strict=True):
        texts[place] = f"[{right}]" if right == answer else f"[{right}|{answer}]"
    return " ".join(texts[:40])
