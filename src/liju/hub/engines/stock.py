"""The weights of a model, handed out one by one to whoever writes them in another form."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from liju.errors import ExportError
from liju.model import Transformer

__all__ = ["Stock"]


class Stock:
    """Weights by our names, in float32; it knows which of them no one has taken.

    Raises ExportError for a name that the model does not have.

    >>> from liju.model import TransformerConfig
    >>> config = TransformerConfig.default("decoder", vocab_size=11, d_model=8, num_heads=2, num_layers=1)
    >>> stock = Stock(Transformer(config))
    >>> stock["token.weight"].shape, "decoder.position.weight" in stock, len(stock.left)
    ((11, 8), False, 10)
    """

    def __init__(self, model: Transformer):
        self._state = model.state_dict()
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._state

    def __getitem__(self, name: str) -> Float[np.ndarray, ...]:
        if name not in self._state:
            raise ExportError(f"{name}: the model has no such tensor")
        self._taken.add(name)
        # A copy: a writer may round in place.
        return self._state[name].detach().to("cpu", torch.float32, copy=True).contiguous().numpy()

    def get(self, name: str) -> Float[np.ndarray, ...] | None:
        """The tensor, or None where the model has none of this name."""
        return self[name] if name in self._state else None

    @property
    def left(self) -> list[str]:
        """The names that no one asked for."""
        return [name for name in self._state if name not in self._taken]
