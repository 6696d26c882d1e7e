"""What is trained: everything, only the head, the head and the top blocks, or the biases."""

from __future__ import annotations

import re

from torch import nn

from liju.errors import ModelError
from liju.model import Transformer

__all__ = ["freeze", "set_dropout"]


def freeze(model: Transformer, trainable: str) -> int:
    """Let only some parameters ask for gradients; the training loop does the rest. Returns their count.

    `all`; `head` (the heads and the pooler); `top-2` (those and the last two blocks of each stack, with
    the norm after them); `bias` (those of the heads and pooler, and every bias: Ben Zaken et al. 2021).

    >>> from liju.model import TransformerConfig
    >>> model = Transformer(TransformerConfig(vocab_size=11, d_model=6, num_layers=3, num_heads=2))
    >>> freeze(model, "head") < freeze(model, "top-1") < freeze(model, "all")
    True
    """
    if trainable == "all":
        wanted = re.compile("")
    elif trainable == "head":
        wanted = re.compile(r"heads\.|pooler\.")
    elif trainable == "bias":
        wanted = re.compile(r"heads\.|pooler\.|.*\.bias$")
    elif match := re.fullmatch(r"top-(\d+)", trainable):
        top = int(match[1])
        patterns = [r"heads\.", r"pooler\."]
        for side, layers in (
            ("encoder", model.config.encoder_layers),
            ("decoder", model.config.decoder_layers),
        ):
            patterns.append(rf"{side}\.final_norm\.")
            patterns += [rf"{side}\.blocks\.{i}\." for i in range(max(0, layers - top), layers)]
        wanted = re.compile("|".join(patterns))
    else:
        raise ModelError(
            f"finetune.trainable is {trainable!r}", hint="all, head, top-2, bias, gradual, lora-8 or dora-8"
        )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(bool(wanted.match(name)))
    # A tied projection is the token embedding: frozen with it, unless everything is trained.
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def set_dropout(model: Transformer, rate: float) -> None:
    """Another dropout rate, everywhere in the model."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
