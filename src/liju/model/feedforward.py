r"""The position-wise feed-forward network, plain and gated."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from liju.errors import ModelError, did_you_mean

__all__ = ["ACTIVATIONS", "FeedForward"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


class FeedForward(nn.Module):
    r"""Two linear layers with an activation between (Vaswani et al. 2017, section 3.3):

    $$\mathrm{FFN}(x) = \max(0, x W_1 + b_1) W_2 + b_2$$

    `gated` multiplies by a second projection (Shazeer 2020; GEGLU, SwiGLU):
    $W_2(\mathrm{act}(W_{gate} x) \cdot W_1 x)$.
    Raises ModelError for an activation that it does not know.

    >>> import torch
    >>> FeedForward(4, 16)(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(
        self, d_model: int, d_ff: int, *, activation: str = "relu", gated: bool = False, bias: bool = True
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ModelError(f"unknown activation {activation!r}", did_you_mean(activation, ACTIVATIONS))
        self.activation = activation
        self.W_1 = nn.Linear(d_model, d_ff, bias=bias)
        self.W_gate = nn.Linear(d_model, d_ff, bias=bias) if gated else None
        self.W_2 = nn.Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Float[Tensor, "*place d_model"]) -> Float[Tensor, "*place d_model"]:
        act = ACTIVATIONS[self.activation]
        if self.W_gate is None:
            return self.W_2(act(self.W_1(x)))
        return self.W_2(act(self.W_gate(x)) * self.W_1(x))

    def extra_repr(self) -> str:
        return f"activation={self.activation}"
