"""What is put on top of a Transformer: the projection to the vocabulary, and the pooler of BERT."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from liju.model.config import TransformerConfig
from liju.model.feedforward import ACTIVATIONS
from liju.model.norm import RMSNorm

__all__ = ["POOLED", "Pooler", "WordsHead"]

# Heads that look at a whole segment through the pooler, where the model has one.
POOLED = ("next_sentence", "label")


class WordsHead(nn.Module):
    r"""Logits over the vocabulary, $h E^T + b$, with $E$ the token embedding when tied.

    `head = "mlm"` puts a dense layer, the activation and a norm before it (Devlin et al. 2018). Logits are
    float32 at least.

    >>> head = WordsHead(TransformerConfig(vocab_size=11, d_model=6, num_heads=2))
    >>> head(torch.zeros(5, 6), torch.zeros(11, 6)).shape
    torch.Size([5, 11])
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.scale, self.softcap = config.logit_scale, config.softcap
        self.activation = ACTIVATIONS[config.activation]
        width = config.d_embedding
        self.dense = self.norm = self.projection = self.bias = None
        if config.head == "mlm":
            self.dense = nn.Linear(config.d_model, width, bias=config.bias)
            self.norm = (
                RMSNorm(width, config.norm_eps)
                if config.norm == "rms"
                else nn.LayerNorm(width, config.norm_eps, bias=config.norm_bias)
            )
        if not config.tied:
            self.projection = nn.Linear(width, config.vocab_size, bias=False)
        if config.head_bias:
            self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(
        self, hidden: Float[Tensor, "*target d_model"], token: Float[Tensor, "vocab d_embedding"]
    ) -> Float[Tensor, "*target vocab"]:
        """token: the weight of the token embedding."""
        hidden, weight, bias = self.linear(hidden, token)
        logits = F.linear(hidden, weight, bias)
        if logits.dtype.itemsize < 4:
            logits = logits.float()
        if self.softcap:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return logits

    def linear(
        self, hidden: Float[Tensor, "*target d_model"], token: Float[Tensor, "vocab d_embedding"]
    ) -> tuple[Float[Tensor, "*target d_embedding"], Tensor, Tensor | None]:
        """What the logits (before the cap) are a linear map of, its weight and its bias: for a loss that
        never makes all of them at once."""
        if self.dense is not None and self.norm is not None:
            hidden = self.norm(self.activation(self.dense(hidden)))
        if self.scale is not None:
            hidden = hidden * self.scale
        return hidden, token if self.projection is None else self.projection.weight, self.bias


class Pooler(nn.Linear):
    r"""$\tanh(W h + b)$ of a segment's first place (Devlin et al. 2018).

    >>> Pooler(6, 6)(torch.zeros(2, 6)).shape
    torch.Size([2, 6])
    """

    def forward(self, input: Float[Tensor, "*target d_model"]) -> Float[Tensor, "*target d_model"]:
        return torch.tanh(super().forward(input))
