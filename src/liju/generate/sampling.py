r"""Choosing the next token from its logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from liju.errors import RequestError

__all__ = ["Sampling"]


@dataclass(frozen=True)
class Sampling:
    r"""How to choose: the best token (temperature 0), or a draw from
    $p_i \propto \exp(z_i / \mathrm{temperature})$ among the `top_k` best (0: all) and, of those, the fewest
    whose probabilities reach `top_p` (Holtzman et al. 2019).

    Raises RequestError for values outside their range.

    >>> logits = torch.tensor([[0.0, 3.0, 1.0]])
    >>> Sampling().choose(logits, [np.random.default_rng(0)])
    [1]
    >>> Sampling(temperature=1.0, top_k=2).probabilities(logits)
    tensor([[0.0000, 0.8808, 0.1192]], dtype=torch.float64)
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise RequestError(f"temperature must be at least 0, not {self.temperature}")
        if self.top_k < 0:
            raise RequestError(f"top_k must be at least 0, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise RequestError(f"top_p must lie above 0 and be at most 1, not {self.top_p}")

    def probabilities(self, logits: Float[Tensor, "row vocab"]) -> Float[Tensor, "row vocab"]:
        """What is drawn from, in float64 (temperature above 0)."""
        p = torch.softmax(logits.double() / self.temperature, dim=-1)
        if not self.top_k and self.top_p == 1:
            return p
        ranked, order = p.sort(dim=-1, descending=True, stable=True)
        if self.top_k:
            ranked[:, self.top_k :] = 0
            ranked = ranked / ranked.sum(dim=-1, keepdim=True)
        # A token stays when those before it have not reached top_p: the first always does.
        ranked = ranked.masked_fill(ranked.cumsum(dim=-1) - ranked >= self.top_p, 0)
        ranked = ranked / ranked.sum(dim=-1, keepdim=True)
        return torch.zeros_like(p).scatter(-1, order, ranked)

    def choose(
        self, logits: Float[Tensor, "row vocab"], generators: Sequence[np.random.Generator]
    ) -> list[int]:
        """One token a row. Each row draws from its own generator, so that no row changes another's luck."""
        if self.temperature == 0:
            return logits.argmax(dim=-1).tolist()
        reached = self.probabilities(logits).cumsum(dim=-1).cpu()
        luck = torch.tensor([[generator.random()] for generator in generators], dtype=torch.float64)
        return torch.searchsorted(reached, luck * reached[:, -1:], right=True)[:, 0].tolist()
