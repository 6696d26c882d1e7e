"""Small labelled tasks, a vocabulary of their words, and small models."""

from __future__ import annotations

import random

import torch

from liju.config import Finetune, Vocab
from liju.finetune import Example, finetune
from liju.model import Transformer, TransformerConfig
from liju.vocab import train

WORDS = ["red", "green", "blue", "one", "two", "three", "cat", "dog", "bird", "sees", "hears", "knows"]
NAMES = ["rot", "gruen", "blau", "eins", "zwei", "drei", "katze", "hund", "vogel", "sieht", "hoert", "kennt"]
LENGTH = 24


def sentences(count, seed=0, least=3, most=7):
    """Distinct runs of words."""
    draw, found = random.Random(seed), {}
    while len(found) < count:
        found[" ".join(draw.choices(WORDS, k=draw.randint(least, most)))] = None
    return list(found)


def examples(rows):
    return [Example(values, f"toy:{i}") for i, values in enumerate(rows, 1)]


def labelled(count, seed=0):
    """A text of two or more colours is colourful."""
    rows = [
        {"text": s, "label": "plain" if sum(map(s.split().count, WORDS[:3])) < 2 else "colourful"}
        for s in sentences(count, seed)
    ]
    return examples(rows)


def pairs(count, seed=0):
    """In which of two texts the cat is: only their token types and their order tell."""
    draw, rows = random.Random(seed), []
    for first, second in zip(sentences(count, seed, 2, 3), sentences(count, seed + 1, 2, 3), strict=True):
        texts = [first.replace("cat", "dog"), second.replace("cat", "dog")]
        where = draw.randrange(2)
        words = texts[where].split()
        words[draw.randrange(len(words))] = "cat"
        texts[where] = " ".join(words)
        rows.append({"text": texts[0], "pair": texts[1], "label": ["first", "second"][where]})
    return examples(rows)


def translated(count, seed=0, most=3):
    name = dict(zip(WORDS, NAMES, strict=True))
    return examples(
        [
            {"source": s, "target": " ".join(name[w] for w in s.split())}
            for s in sentences(count, seed, 1, most)
        ]
    )


def vocabulary(family):
    return train([" ".join(WORDS + NAMES)] * 20, Vocab(size=440), family)


def network(family, tokenizer, **switches):
    torch.manual_seed(3)
    sizes = {"d_model": 32, "num_layers": 2, "num_heads": 4, "max_length": LENGTH}
    return Transformer(TransformerConfig.default(family, vocab_size=tokenizer.size, **{**sizes, **switches}))


def settings(**values):
    given = {"epochs": 12, "batch_tokens": 400, "learning_rate": 3e-3, "dropout": 0.0}
    return Finetune(**{**given, **values})


def tuned(task, family, train_on, folder, *, tokenizer=None, model=None, **values):
    """A model trained for a task: model, tokenizer, result."""
    tokenizer = tokenizer or vocabulary(family)
    model = model or network(family, tokenizer)
    result = finetune(
        model, tokenizer, task, train_on, settings(**values), folder, device="cpu", precision="float32"
    )
    return model.eval(), tokenizer, result
