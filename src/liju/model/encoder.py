"""The encoder: every place sees its whole segment."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from liju.model.config import TransformerConfig
from liju.model.stack import Stack
from liju.samples.batch import Side

__all__ = ["Encoder"]


class Encoder(Stack):
    """Tokens to vectors that know their whole context.

    >>> import torch
    >>> config = TransformerConfig(vocab_size=11, d_model=6, num_heads=2)
    >>> Encoder(config)(Side.of(torch.tensor([[5, 6, 7]])), nn.Embedding(11, 6)).shape
    torch.Size([1, 3, 6])
    """

    def __init__(self, config: TransformerConfig):
        alone = not config.has_decoder
        super().__init__(
            config,
            layers=config.encoder_layers,
            causal=False,
            types=config.num_types,
            project_out=alone and config.head == "lm",
        )

    def forward(self, side: Side, token: nn.Embedding) -> Float[Tensor, "row place d_model"]:
        x = self.embed(token, side.tokens, side.position, side.types)
        sights, ropes = self.sights(side, x.dtype), self.ropes(side.position, x.dtype)
        value = None
        for block, window in zip(self.blocks, self.windows, strict=True):
            found = block(x, sights[window], rope=ropes[window], first_value=value)
            x, value = found if isinstance(found, tuple) else (found, value)
        return x if self.final_norm is None else self.final_norm(x)
