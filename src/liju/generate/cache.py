"""What a decoder keeps between steps: the keys and values of every block."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from liju.model import TransformerConfig

__all__ = ["KeyValueCache"]


class KeyValueCache:
    """Keys and values of all blocks for rows of different lengths; each row writes at its own next place.

    The room for tokens doubles when it is full. A place after a row's length holds rubbish until the row
    writes there, and no query looks at it.

    >>> cache = KeyValueCache(blocks=2, rows=3)
    >>> key = torch.ones(3, 1, 4, 5)  # [row kv_head place d_k]
    >>> cache.own(0).extend(key, key)[0].shape
    torch.Size([3, 1, 4, 5])
    >>> cache.advance([4, 2, 3]); cache.lengths
    [4, 2, 3]
    >>> cache.select([0, 2]); cache.lengths
    [4, 3]
    """

    def __init__(self, blocks: int, rows: int, capacity: int = 32):
        self.lengths = [0] * rows
        self.capacity = capacity
        self.sources: Int[Tensor, "row source"] | None = None
        self._own = [_Own(self) for _ in range(blocks)]
        self._cross = [_Cross() for _ in range(blocks)]

    @classmethod
    def of(cls, config: TransformerConfig, rows: int, capacity: int = 32) -> KeyValueCache:
        """A cache for a model's decoder."""
        return cls(config.decoder_layers, rows, capacity)

    def own(self, block: int) -> _Own:
        """The memory of a block's self-attention."""
        return self._own[block]

    def cross(self, block: int) -> _Cross:
        """The memory of a block's cross-attention."""
        return self._cross[block]

    def advance(self, counts: list[int]) -> None:
        """After a step: how many tokens each row has got."""
        self.lengths = [length + count for length, count in zip(self.lengths, counts, strict=True)]

    def select(self, rows: list[int]) -> None:
        """Keep these rows, in this order; a row may be kept more than once."""
        self.lengths = [self.lengths[row] for row in rows]
        index: Tensor | None = None
        for memory in (*self._own, *self._cross):
            if memory.key is not None and memory.value is not None:
                index = torch.tensor(rows, device=memory.key.device) if index is None else index
                memory.key, memory.value = memory.key[index], memory.value[index]
        if self.sources is not None:
            self.sources = self.sources[torch.tensor(rows, device=self.sources.device)]


class _Own:
    """Grows by what each step adds."""

    complete = False

    def __init__(self, cache: KeyValueCache):
        self.cache = cache
        self.key: Tensor | None = None
        self.value: Tensor | None = None

    def read(self) -> tuple[Tensor, Tensor]:
        assert self.key is not None and self.value is not None
        end = max(self.cache.lengths)
        return self.key[:, :, :end], self.value[:, :, :end]

    def extend(
        self, key: Float[Tensor, "row kv_head new d_k"], value: Float[Tensor, "row kv_head new d_k"]
    ) -> tuple[Float[Tensor, "row kv_head place d_k"], Float[Tensor, "row kv_head place d_k"]]:
        lengths, new = self.cache.lengths, key.shape[2]
        end = max(lengths) + new
        self.key, self.value = self._room(self.key, key, end), self._room(self.value, value, end)
        if min(lengths) == max(lengths):
            self.key[:, :, lengths[0] : end] = key
            self.value[:, :, lengths[0] : end] = value
        else:
            row = torch.arange(len(lengths), device=key.device)[:, None]
            place = torch.tensor(lengths, device=key.device)[:, None] + torch.arange(new, device=key.device)
            self.key[row, :, place] = key.transpose(1, 2)
            self.value[row, :, place] = value.transpose(1, 2)
        return self.key[:, :, :end], self.value[:, :, :end]

    def _room(self, kept: Tensor | None, new: Tensor, end: int) -> Tensor:
        if kept is not None and kept.shape[2] >= end:
            return kept
        while self.cache.capacity < end:
            self.cache.capacity *= 2
        # Zeros: what no one looks at is multiplied by a weight of 0, and must be a number for that.
        room = new.new_zeros(new.shape[0], new.shape[1], self.cache.capacity, new.shape[3])
        if kept is not None:
            room[:, :, : kept.shape[2]] = kept
        return room


class _Cross:
    """Keys and values of the encoder's output: computed in the first step, then read."""

    def __init__(self) -> None:
        self.key: Tensor | None = None
        self.value: Tensor | None = None

    @property
    def complete(self) -> bool:
        return self.key is not None

    def read(self) -> tuple[Tensor, Tensor]:
        assert self.key is not None and self.value is not None
        return self.key, self.value

    def extend(
        self, key: Float[Tensor, "row kv_head source d_k"], value: Float[Tensor, "row kv_head source d_k"]
    ) -> tuple[Tensor, Tensor]:
        self.key, self.value = key, value
        return key, value
