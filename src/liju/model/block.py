"""One block for encoder, decoder and both: attention, cross-attention, feed-forward, each with a residual."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from liju.model.attention import Memory, MultiHeadAttention, Visibility
from liju.model.config import TransformerConfig
from liju.model.dropout import Dropout
from liju.model.feedforward import FeedForward
from liju.model.norm import make_norm

__all__ = ["Block"]


class Block(nn.Module):
    r"""A block of a Transformer. With $f$ a sublayer (attention, cross-attention, feed-forward):

    - post (Vaswani et al. 2017): $x \leftarrow \mathrm{norm}(x + f(x))$
    - pre: $x \leftarrow x + f(\mathrm{norm}(x))$
    - parallel (PaLM): $h = \mathrm{norm}(x)$; $x \leftarrow x + \mathrm{attention}(h) + \mathrm{FFN}(h)$

    Dropout falls on the output of each sublayer, as in the article. With value_residual the values of
    self-attention are mixed with those of the first block, which gives them with its output.

    >>> import torch
    >>> block = Block(TransformerConfig(d_model=6, num_heads=2))
    >>> block(torch.zeros(1, 3, 6), Visibility()).shape
    torch.Size([1, 3, 6])
    """

    def __init__(self, config: TransformerConfig, *, cross: bool = False, first: bool = False):
        super().__init__()
        self.place = config.norm_place
        self.keeps_value = config.value_residual and first
        self.attention = _attention(config, value_residual=config.value_residual and not first)
        self.norm_attention = make_norm(config) if config.first_norm or not first else nn.Identity()
        self.cross_attention = _attention(config) if cross else None
        self.norm_cross = make_norm(config) if cross else None
        self.feedforward = FeedForward(
            config.d_model, config.d_ff, activation=config.activation, gated=config.gated, bias=config.bias
        )
        self.norm_feedforward = make_norm(config) if self.place != "parallel" else None
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "row place d_model"],
        visibility: Visibility,
        *,
        rope: tuple[Tensor, Tensor] | None = None,
        cache: Memory | None = None,
        memory: Float[Tensor, "row source d_model"] | None = None,
        memory_visibility: Visibility | None = None,
        memory_cache: Memory | None = None,
        first_value: Float[Tensor, "row kv_head place d_k"] | None = None,
    ) -> Any:
        """[row place d_model]; of the first block with value_residual a pair of it and its values.

        memory: the encoder's output, for cross-attention. cache, memory_cache: keys and values kept of
        this side and of the memory. first_value: the values that the first block gave.
        """
        kept: list[Tensor] = []

        def attention(h: Tensor) -> Tensor:
            if not self.keeps_value:
                return self.attention(h, h, h, visibility, rope=rope, memory=cache, first_value=first_value)
            out, value = self.attention(h, h, h, visibility, rope=rope, memory=cache, keep_value=True)
            kept.append(value)
            return out

        def cross_attention(h: Tensor) -> Tensor:
            assert self.cross_attention is not None
            source = h if memory is None else memory  # with a full cache no one looks at it
            return self.cross_attention(h, source, source, memory_visibility, memory=memory_cache)

        if self.place == "parallel":
            h = self.norm_attention(x)
            x = x + self.dropout(attention(h) + self.feedforward(h))
            return (x, *kept) if kept else x
        x = self._residual(x, attention, self.norm_attention)
        if self.cross_attention is not None:
            x = self._residual(x, cross_attention, self.norm_cross)
        x = self._residual(x, self.feedforward, self.norm_feedforward)
        return (x, *kept) if kept else x

    def _residual(self, x: Tensor, sublayer, norm) -> Tensor:
        if self.place == "post":
            return norm(x + self.dropout(sublayer(x)))
        return x + self.dropout(sublayer(norm(x)))


def _attention(config: TransformerConfig, value_residual: bool = False) -> MultiHeadAttention:
    return MultiHeadAttention(
        config.d_model,
        config.num_heads,
        num_kv_heads=config.num_kv_heads,
        d_k=config.d_k,
        bias=config.bias,
        qkv_bias=config.qkv_bias,
        qk_norm=config.qk_norm,
        norm_eps=config.norm_eps,
        scale=config.attention_scale,
        value_residual=value_residual,
    )
