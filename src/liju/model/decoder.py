"""The decoder: a place sees its segment up to itself, and the encoder's output where there is one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from liju.errors import ModelError
from liju.model.attention import Cache, Visibility
from liju.model.config import TransformerConfig
from liju.model.stack import Stack
from liju.samples.batch import Side

__all__ = ["Decoder"]


class Decoder(Stack):
    """Tokens to vectors that know what came before.

    >>> config = TransformerConfig.default("decoder", vocab_size=11, d_model=8, num_heads=2)
    >>> Decoder(config)(Side.of(torch.tensor([[5, 6, 7]])), nn.Embedding(11, 8)).shape
    torch.Size([1, 3, 8])
    """

    def __init__(self, config: TransformerConfig):
        super().__init__(
            config,
            layers=config.decoder_layers,
            causal=True,
            cross=config.has_encoder,
            project_out=config.head == "lm",
        )

    def forward(
        self,
        side: Side,
        token: nn.Embedding,
        *,
        memory: Float[Tensor, "row source d_model"] | None = None,
        memory_side: Side | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "row place d_model"]:
        """memory, memory_side: the encoder's output and input; with a cache only the first call needs them.
        With a cache, `side` holds the new tokens of each row, empty places last."""
        position = side.position
        if cache is not None:
            width = side.tokens.shape[1]
            start = torch.tensor(cache.lengths, device=position.device)
            position = start[:, None] + torch.arange(width, device=position.device)
            sights = self.sights_onward(position, max(cache.lengths) + width) if any(cache.lengths) else None
        else:
            sights = None
        x = self.embed(token, side.tokens, position)
        sights, ropes = sights or self.sights(side, x.dtype), self.ropes(position, x.dtype)
        across = self._across(side, memory_side, cache, x.dtype)
        value = None
        for i, (block, window) in enumerate(zip(self.blocks, self.windows, strict=True)):
            found = block(
                x,
                sights[window],
                rope=ropes[window],
                cache=None if cache is None else cache.own(i),
                memory=memory,
                memory_visibility=across,
                memory_cache=None if cache is None or across is None else cache.cross(i),
                first_value=value,
            )
            x, value = found if isinstance(found, tuple) else (found, value)
        if cache is not None:
            cache.advance((side.segment > 0).sum(dim=1).tolist())
        return x if self.final_norm is None else self.final_norm(x)

    def _across(
        self, side: Side, memory_side: Side | None, cache: Cache | None, dtype: torch.dtype
    ) -> Visibility | None:
        if self.blocks[0].cross_attention is None:
            return None
        segment = None if memory_side is None else memory_side.segment
        if cache is not None:
            if segment is not None:
                cache.sources = segment
            segment = cache.sources
        if segment is None:
            raise ModelError("the decoder of an encoder-decoder needs memory and memory_side")
        return self._ready(Visibility.across(side.segment, segment), dtype, bias=False)
