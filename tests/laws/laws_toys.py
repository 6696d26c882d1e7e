"""Every real objective on a small text, and a small model in float64 for each."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import torch

from liju.finetune import Labelled
from liju.finetune.answered import Answered
from liju.model import Transformer, TransformerConfig
from liju.objective import Causal, Denoising, Masked, Translation
from liju.objective.examples import TEXTS, shards, tokenizer
from liju.vocab.chat import Conversation

LENGTH = 24
FAMILY = {
    "masked": "encoder",
    "labelled pairs": "encoder",
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
    rows = [(a, b if i % 3 else "", i % 3) for i, (a, b) in enumerate(pairwise(pieces))]
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
    if name.startswith("labelled"):
        made.add_head("label", 3)
    return made.to(dtype).train()
