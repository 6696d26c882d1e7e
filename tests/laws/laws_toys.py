"""Every real objective on a small text, and a small model in float64 for each."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import torch

from liju.finetune import Groups, Labelled, Questions, Tagged
from liju.finetune.answered import Answered
from liju.model import Transformer, TransformerConfig
from liju.objective import Causal, Denoising, Masked, Translation
from liju.objective.examples import TEXTS, shards, tokenizer
from liju.vocab.chat import Conversation

LENGTH = 24
FAMILY = {
    "masked": "encoder",
    "labelled pairs": "encoder",
    "tagged": "encoder",
    "numbers": "encoder",
    "flags": "encoder",
    "questions": "encoder",
    "groups": "encoder",
    "causal": "decoder",
    "labelled": "decoder",
    "answered": "decoder",
    "denoising": "encdec",
    "translation": "encdec",
}
OBJECTIVES = list(FAMILY)


@cache
def objective(name, seed=0):
    family = FAMILY[name]
    tokens = tokenizer(family)
    if name == "masked":
        return Masked(shards(family), tokens, LENGTH, seed)
    if name == "causal":
        return Causal(shards(family), tokens, LENGTH, seed)
    if name == "denoising":
        return Denoising(shards(family), tokens, LENGTH, seed)
    pieces = [piece for text in TEXTS for piece in text.replace("。", ".").split(".") if piece.strip()]
    if name == "translation":
        ids = tokens.encode_batch(pieces)
        fit = [(a[:20], b[:20]) for a, b in pairwise(ids)]
        return Translation([a for a, _ in fit], [b for _, b in fit], tokens, LENGTH, seed)
    if name == "answered":
        said = []
        for a, b in pairwise(tokens.encode_batch(pieces)):
            ids = [tokens.bos, *a[:11], tokens.bos, *b[:10], tokens.eos]
            said.append(Conversation(ids, [False] * (len(a[:11]) + 2) + [True] * (len(b[:10]) + 1)))
        return Answered(said, tokens.pad, seed)
    both = list(enumerate(pairwise(pieces)))
    if name == "tagged":
        # Of seven words and fewer: some are cut between words into several samples.
        words = [text.split() if " " in text else list(text) for text in pieces]
        return Tagged([(own, [i % 3 for i in range(len(own))]) for own in words], tokens, LENGTH, seed=seed)
    if name == "questions":
        # Some contexts take several windows, some questions have no answer.
        asked = [(a[:6], f"{b} {a}", (0, max(1, len(b) // 2)) if i % 3 else None) for i, (a, b) in both]
        return Questions(asked, tokens, LENGTH, seed=seed)
    if name == "groups":
        return Groups([(a, b, a[::-1] if i % 3 else "") for i, (a, b) in both], tokens, 9, group=2, seed=seed)
    if name in ("numbers", "flags"):
        values = [i / 3 - 1 if name == "numbers" else [float(i % 2), float(i % 3 > 0), 1.0] for i, _ in both]
        rows = [(a, b if i % 3 else "", values[i]) for i, (a, b) in both]
        loss = "number" if name == "numbers" else "flags"
        return Labelled(rows, tokens, LENGTH, seed=seed, loss=loss)
    rows = [(a, b if i % 3 else "", i % 3) for i, (a, b) in both]
    return Labelled(rows, tokens, LENGTH, decoder=family == "decoder", seed=seed)


def model(name, dtype=torch.float64, dropout=0.0):
    family = FAMILY[name]
    torch.manual_seed(5)
    made = Transformer(
        TransformerConfig.default(
            family,
            vocab_size=tokenizer(family).size,
            d_model=12,
            num_heads=3,
            num_layers=2,
            max_length=LENGTH,
            dropout=dropout,
        )
    )
    if name == "masked":
        made.add_head("next_sentence", 2)
    heads = {"tagged": ("tag", 3), "questions": ("span", 2), "numbers": ("label", 1), "flags": ("label", 3)}
    if name.startswith("labelled") or name in heads:
        made.add_head(*heads.get(name, ("label", 3)))
    return made.to(dtype).train()
