"""Small models with loud weights, saved as bundles: their answers differ from prompt to prompt."""

from __future__ import annotations

from pathlib import Path

import torch

from liju.config import Vocab
from liju.finetune import Loaded, load
from liju.hub import save_bundle
from liju.model import Transformer, TransformerConfig
from liju.vocab import Tokenizer, train

__all__ = ["TEXTS", "make", "tokenizer"]

TEXTS = [
    "the room was clean and the staff were kind",
    "房间很干净，服务也很好。",
    "the soup was cold, the waiter was rude 🙂",
    "def f(x):\n    return x + 1",
]


def tokenizer(family: str, kind: str = "bpe") -> Tokenizer:
    size = 430 if family == "encdec" else 330
    return train([text for text in TEXTS for _ in range(5)], Vocab(size=size, kind=kind), family)


def make(
    folder: Path, family: str = "decoder", *, template: str = "", tokens: Tokenizer | None = None, **switches
) -> Loaded:
    """A bundle of a random model, loaded back; `template` is its chat template."""
    tokens = tokens or tokenizer(family)
    sizes = {"d_model": 12, "num_layers": 2, "num_heads": 3, "max_length": 64, **switches}
    model = Transformer(TransformerConfig.default(family, vocab_size=tokens.size, **sizes))
    generator = torch.Generator().manual_seed(7)
    for name, parameter in model.named_parameters():
        mean = 1.0 if "norm" in name else 0.0
        torch.nn.init.normal_(parameter, mean, 0.5, generator=generator)
    task = {"name": "translation", "max_length": 64} if family == "encdec" else None
    save_bundle(folder, model, tokens, task)
    if template:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return load(folder, "cpu")
