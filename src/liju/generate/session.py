"""A batch of rows that a model is writing: each row at its own place, whatever its neighbours do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from liju.errors import RequestError
from liju.generate.cache import KeyValueCache
from liju.model import Transformer
from liju.samples.batch import Sample, Side, assemble

__all__ = ["Session"]

Ids = Sequence[int]


class Session:
    """Prompts, read once, and what is written after them, one token a row and step.

    Raises RequestError for an empty prompt, a prompt longer than the model's table of positions, or a model
    that cannot write.

    >>> from liju.model import TransformerConfig
    >>> model = Transformer(TransformerConfig.default("decoder", vocab_size=11, d_model=8, num_heads=2))
    >>> session = Session(model, [[1, 5, 6], [1]])
    >>> session.logits.shape
    torch.Size([2, 11])
    >>> session.step([7, 8]); session.cache.lengths
    [4, 2]
    """

    @torch.no_grad()
    def __init__(self, model: Transformer, prompts: Sequence[Ids], sources: Sequence[Ids] | None = None):
        if model.decoder is None or "words" not in model.heads:
            raise RequestError(
                f"this {model.config.family} does not write text", hint="use a decoder or an encdec"
            )
        if (sources is not None) != (model.encoder is not None):
            wants = "needs" if model.encoder is not None else "takes no"
            raise RequestError(f"a model of family {model.config.family} {wants} sources")
        self.model = model
        self.limit = model.config.max_length if model.decoder.position is not None else None
        self._check("prompt", prompts)
        self.cache = KeyValueCache.of(model.config, rows=len(prompts), capacity=max(map(len, prompts)) + 32)
        memory = memory_side = None
        if sources is not None:
            if len(sources) != len(prompts):
                raise RequestError(f"{len(prompts)} prompts but {len(sources)} sources")
            self._check("source", sources)
            memory_side = self._side(sources)
            memory = model.encode(memory_side)
        side = self._side(prompts)
        hidden = model.decode(side, memory, memory_side, self.cache)
        last = torch.tensor([len(prompt) - 1 for prompt in prompts], device=hidden.device)
        self.logits: Float[Tensor, "row vocab"] = self._predict(hidden[torch.arange(len(prompts)), last])

    @torch.no_grad()
    def step(self, tokens: Sequence[int]) -> None:
        """Write one token in each row; `logits` are then those of the token after it."""
        side = Side.of(torch.tensor(list(tokens), device=self.device)[:, None])
        self.logits = self._predict(self.model.decode(side, cache=self.cache)[:, 0])

    def select(self, rows: list[int]) -> None:
        """Keep these rows, in this order."""
        self.cache.select(rows)
        self.logits = self.logits[rows]

    def full(self, row: int) -> bool:
        """The row has no position left for another token."""
        return self.limit is not None and self.cache.lengths[row] >= self.limit

    @property
    def device(self) -> torch.device:
        return self.model.token.weight.device

    def _predict(self, hidden: Tensor) -> Tensor:
        return self.model.predict("words", hidden)

    def _side(self, rows: Sequence[Ids]) -> Side:
        samples = [Sample(i, decoder=np.asarray(row, np.int64)) for i, row in enumerate(rows)]
        side = assemble(samples).decoder
        assert side is not None
        return side.to(self.device)

    def _check(self, name: str, rows: Sequence[Ids]) -> None:
        vocab = self.model.config.vocab_size
        for i, row in enumerate(rows):
            if len(row) == 0:
                raise RequestError(f"{name} {i} is empty", hint="give it a start token")
            if self.limit is not None and len(row) > self.limit:
                raise RequestError(f"{name} {i} has {len(row)} tokens, the model has {self.limit} positions")
            if min(row) < 0 or max(row) >= vocab:
                raise RequestError(f"{name} {i} has a token outside the vocabulary of {vocab}")
