"""Gradual unfreezing (Howard & Ruder 2018, arXiv:1801.06146, ULMFiT): the head first, then block by block."""

from __future__ import annotations

import re
from collections.abc import Callable

from liju.errors import ModelError
from liju.finetune.trainable import freeze
from liju.model import Transformer

__all__ = ["gradually"]


def gradually(model: Transformer, trainable: str, steps: int) -> Callable[[int], None]:
    r"""What to do before each step so that the blocks are unfrozen from the top, one each $k$ steps.

    `gradual-50` names $k$; `gradual` spreads the $L$ blocks and the embeddings over the first half of the
    steps, $k = \lfloor \mathrm{steps} / (2 (L + 1)) \rfloor$. After $n$ steps the head and the top
    $\lfloor n / k \rfloor$ blocks are trained, with $L + 1$ everything. That depends on $n$ alone, so that a
    resumed run is the straight one (law 3).

    >>> from liju.model import TransformerConfig
    >>> model = Transformer(TransformerConfig(vocab_size=11, d_model=6, num_layers=2, num_heads=2))
    >>> before_step, trained = gradually(model, "gradual-5", steps=100), []
    >>> for step in (0, 5, 9, 10, 15):
    ...     before_step(step)
    ...     trained.append(sum(p.requires_grad for p in model.parameters()))
    >>> trained[0] < trained[1] == trained[2] < trained[3] < trained[4] == len(list(model.parameters()))
    True
    """
    match = re.fullmatch(r"gradual(?:-([1-9]\d*))?", trainable)
    if match is None:
        raise ModelError(f"finetune.trainable is {trainable!r}", hint="gradual, or gradual-50")
    layers = max(model.config.encoder_layers, model.config.decoder_layers)
    every = int(match[1]) if match[1] else max(1, steps // (2 * (layers + 1)))
    if freeze(model, "head") == 0:
        raise ModelError(
            f"finetune.trainable = {trainable!r} begins with the output layer, and this model's is its token "
            "embedding",
            hint="top-2, or all",
        )
    now = -1

    def before_step(step: int) -> None:
        nonlocal now
        top = min(step // every, layers + 1)
        if top != now:
            freeze(model, "head" if top == 0 else "all" if top > layers else f"top-{top}")
            now = top

    freeze(model, "all")  # what will be trained: the optimizer is made for all of it
    return before_step
