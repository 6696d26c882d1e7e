r"""Where a token stands: sinusoids, a learned table, rotations, or a bias by distance."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from liju.model.config import TransformerConfig

__all__ = [
    "LearnedPosition",
    "RelativeBias",
    "Rotary",
    "SinusoidalPosition",
    "make_position",
    "positional_encoding",
    "rotate",
]


def positional_encoding(
    length: int, d_model: int, *, halves: bool = False, dtype: torch.dtype | None = None
) -> Float[Tensor, "length d_model"]:
    r"""The sinusoids of the Transformer (Vaswani et al. 2017, section 3.5):

    $$PE_{(pos, 2i)} = \sin(pos / 10000^{2i / d_{model}}), \quad
      PE_{(pos, 2i+1)} = \cos(pos / 10000^{2i / d_{model}})$$

    `halves` puts all sines first, then all cosines (Marian), instead of interleaving them.

    >>> positional_encoding(2, 4)
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0100, 0.9999]])
    """
    pos = torch.arange(length, dtype=torch.float64)[:, None]
    two_i = torch.arange(0, d_model, 2, dtype=torch.float64)
    angle = pos / 10000 ** (two_i / d_model)
    if halves:
        PE = torch.cat([angle.sin(), angle.cos()], dim=-1)
    else:
        PE = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
    return PE.to(dtype or torch.get_default_dtype())


class SinusoidalPosition(nn.Module):
    """`positional_encoding` looked up by position. It has no parameter.

    >>> SinusoidalPosition(4, 16)(torch.tensor([[0, 1]]))[0, 0]
    tensor([0., 1., 0., 1.])
    """

    def __init__(self, d_model: int, max_length: int, *, halves: bool = False):
        super().__init__()
        self.d_model, self.max_length, self.halves = d_model, max_length, halves
        self._table: Tensor | None = None

    def forward(
        self, position: Int[Tensor, "row place"], dtype: torch.dtype | None = None
    ) -> Float[Tensor, "row place d_model"]:
        dtype = dtype or torch.get_default_dtype()
        table = self._table
        # Not a buffer: a buffer of a model cast to float64 would keep the error of float32.
        if table is None or table.dtype != dtype or table.device != position.device:
            table = positional_encoding(self.max_length, self.d_model, halves=self.halves, dtype=dtype)
            table = self._table = table.to(position.device)
        return table[position]


class LearnedPosition(nn.Embedding):
    """One learned vector a position; the first `offset` rows of the table are never used (OPT, BART).

    >>> LearnedPosition(4, 16, offset=2).weight.shape
    torch.Size([18, 4])
    """

    def __init__(self, d_model: int, max_length: int, *, offset: int = 0):
        super().__init__(max_length + offset, d_model)
        self.max_length, self.offset = max_length, offset

    def forward(  # type: ignore[override]
        self, position: Int[Tensor, "row place"], dtype: torch.dtype | None = None
    ) -> Float[Tensor, "row place d_model"]:
        return super().forward(position + self.offset)


def make_position(config: TransformerConfig) -> SinusoidalPosition | LearnedPosition | None:
    """What is added to the token embeddings; None where position enters inside attention, or not at all.

    >>> make_position(TransformerConfig(d_model=4, max_length=16, position="learned"))
    LearnedPosition(16, 4)
    """
    if config.position == "sinusoidal":
        return SinusoidalPosition(config.d_model, config.max_length, halves=config.sinusoid_halves)
    if config.position == "learned":
        return LearnedPosition(config.d_model, config.max_length, offset=config.position_offset)
    return None


class Rotary(nn.Module):
    r"""The angles of rotary positions (Su et al. 2021): pair $i$ of a head turns by
    $pos \cdot \theta^{-2i / d_k}$. It has no parameter.

    >>> cos, sin = Rotary(4)(torch.tensor([[0, 1]]))
    >>> cos.shape, sin[0, 1, 0]
    (torch.Size([1, 2, 1, 2]), tensor([0.8415, 0.0100]))
    """

    def __init__(
        self, d_k: int, theta: float = 10000.0, scaling: tuple[float, float, float, float] | None = None
    ):
        super().__init__()
        self.d_k, self.theta, self.scaling = d_k, theta, scaling

    def forward(
        self, position: Int[Tensor, "row place"], dtype: torch.dtype | None = None, heads: int = 1
    ) -> tuple[Float[Tensor, "row place head half"], Float[Tensor, "row place head half"]]:
        """heads: how often each table is repeated. On a CPU one for each head turns 3 times as fast."""
        # Computed anew in each forward pass, once for all blocks: 0.1 % of a step, and no table that
        # someone casts, moves or outgrows.
        angle = (position[..., None] * self.frequency(position.device)).unsqueeze(-2)
        dtype = dtype or torch.get_default_dtype()
        cos, sin = (table.to(dtype).expand(-1, -1, heads, -1) for table in (angle.cos(), angle.sin()))
        return cos.contiguous(), sin.contiguous()

    def frequency(self, device: torch.device | str | None = None) -> Float[Tensor, " half"]:
        """What each pair turns by from one place to the next, in radians."""
        two_i = torch.arange(0, self.d_k, 2, dtype=torch.float64, device=device)
        frequency = self.theta ** (-two_i / self.d_k)
        return frequency if self.scaling is None else _stretched(frequency, *self.scaling)


def _stretched(
    frequency: Float[Tensor, " half"], factor: float, low: float, high: float, original: float
) -> Float[Tensor, " half"]:
    """Llama 3.1 (arXiv:2407.21783): rotations of which fewer than `low` fit into the original length are
    slowed by `factor`, those of which more than `high` fit are not, and between them it is blended."""
    turns = original * frequency / (2 * math.pi)
    blend = ((turns - low) / (high - low)).clamp(0, 1)
    return frequency * (blend + (1 - blend) / factor)


def rotate(
    x: Float[Tensor, "row place head d_k"],
    rope: tuple[Float[Tensor, "row place _ half"], Float[Tensor, "row place _ half"]],
) -> Float[Tensor, "row place head d_k"]:
    """Turn each pair (x[i], x[i + d_k / 2]) by its angle: the half-rotation form of Hugging Face. The tables
    are for one head or for at least as many as x has; all heads have the same.

    >>> rotate(torch.tensor([[[[1.0, 0.0]]]]), Rotary(2)(torch.tensor([[1]])))
    tensor([[[[0.5403, 0.8415]]]])
    """
    cos, sin = (table[:, :, : x.shape[2]] for table in rope)
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        return _CpuTurn.apply(x, cos, sin) if torch.is_grad_enabled() else _turn(x, cos, sin)  # type: ignore[return-value]
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).to(x.dtype)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """As `rotate`, in four passes over memory instead of seven."""
    wide = x.to(cos.dtype)
    a, b = wide.chunk(2, dim=-1)
    out = torch.empty_like(wide, memory_format=torch.contiguous_format)
    first, second = out.chunk(2, dim=-1)
    torch.mul(a, cos, out=first).addcmul_(b, sin, value=-1)
    torch.mul(b, cos, out=second).addcmul_(a, sin)
    return out.to(x.dtype)


class _CpuTurn(torch.autograd.Function):
    """A turn's gradient is the turn back. Forward and backward took 1.9 ms for 98 rows of 21 places, 2 heads
    of 64; with the tables of each head it is 0.35."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        cos, sin = ctx.saved_tensors
        return _turn(gradient, cos, -sin), None, None


class RelativeBias(nn.Module):
    r"""A learned bias on the attention scores by bucketed distance (T5; Raffel et al. 2019, section 2.1).

    Half the buckets (of each direction, when `bidirectional`) hold one distance each, the other half
    logarithmically growing ranges up to `max_distance`.

    >>> RelativeBias(3, buckets=8, max_distance=16).bucket(torch.tensor([-20, -2, -1, 0, 1, 2, 20]))
    tensor([3, 2, 1, 0, 5, 6, 7])
    """

    def __init__(
        self, num_heads: int, *, buckets: int = 32, max_distance: int = 128, bidirectional: bool = True
    ):
        super().__init__()
        self.bidirectional, self.max_distance = bidirectional, max_distance
        self.weight = nn.Parameter(torch.randn(buckets, num_heads))

    def bucket(self, distance: Int[Tensor, "*place"]) -> Int[Tensor, "*place"]:
        """The bucket of a distance (key's place minus query's)."""
        buckets = self.weight.shape[0]
        start = torch.zeros_like(distance)
        if self.bidirectional:
            buckets //= 2
            start = (distance > 0) * buckets
            distance = distance.abs()
        else:
            distance = (-distance).clamp(min=0)
        exact = buckets // 2
        # float32 as in T5, so that a distance on the edge of a range falls to the same side.
        ratio = (distance.clamp(min=1).float() / exact).log() / math.log(self.max_distance / exact)
        large = exact + (ratio * (buckets - exact)).long()
        return start + torch.where(distance < exact, distance, large.clamp(max=buckets - 1))

    def forward(
        self, query: Int[Tensor, "*row query"], key: Int[Tensor, " key"]
    ) -> Float[Tensor, "#row head query key"]:
        """The bias between places of queries and of keys."""
        bucket = self.bucket(key - query[..., None])
        bias = self.weight[bucket].movedim(-1, -3)
        return bias if bias.dim() == 4 else bias[None]

    def by_distance(self) -> Float[Tensor, "head distance"]:
        """The bias of each distance from -n to n, n being the one from which on all share a bucket. Of one
        size whatever the rows are, so that a compiled kernel serves them all.

        >>> RelativeBias(3, buckets=8, max_distance=11).by_distance().shape
        torch.Size([3, 23])
        """
        far = max(self.max_distance, len(self.weight))
        distance = torch.arange(-far, far + 1, device=self.weight.device)
        return self.weight[self.bucket(distance)].T
