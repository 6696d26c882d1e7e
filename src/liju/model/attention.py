r"""Multi-head attention, and who may look at whom."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from liju.errors import ModelError
from liju.model.kernels import Spans, near
from liju.model.norm import RMSNorm
from liju.model.position import rotate

__all__ = ["Cache", "Memory", "MultiHeadAttention", "Visibility"]

# Kinds of devices on which packed rows go to kernels of their own. On a CPU those have no backward pass.
SPANNED = {"cuda"}


@dataclass(frozen=True)
class Visibility:
    """Who may look at whom: built once a forward pass, shared by all blocks.

    It knows how segments become a mask or a kernel. `mask` is True where a query may look at a key (None:
    everywhere); `causal` forbids keys that come after the query, where there is no mask; `bias` is added to
    the scores. A query that may look nowhere gets zeros. On a GPU packed rows have `spans` in the place of a
    mask, and `by_distance` in the place of a bias: neither is as large as a table of all places.

    >>> Visibility.within(torch.tensor([[1, 1, 2]]), causal=True).mask.int()
    tensor([[[[1, 0, 0],
              [1, 1, 0],
              [0, 0, 1]]]], dtype=torch.int32)
    >>> Visibility.within(torch.tensor([[1, 1, 1], [1, 1, 0]]), causal=True)  # empty places come last
    Visibility(mask=None, causal=True, bias=None, spans=None, by_distance=None)
    """

    mask: Bool[Tensor, "#row #head #query key"] | None = None
    causal: bool = False
    bias: Float[Tensor, "#row head query key"] | None = None
    spans: Spans | None = None
    by_distance: Float[Tensor, "head distance"] | None = None

    @classmethod
    def within(
        cls, segment: Int[Tensor, "row place"], *, causal: bool = False, window: int = 0
    ) -> Visibility:
        """Self-attention: a place looks at its own segment, `window` places far (0: all of it)."""
        layout = _layout(segment)
        if not window and layout != "packed":
            if causal or layout == "full":
                # Empty places come after all others, so that causal order hides them already.
                return cls(causal=causal)
            return cls((segment > 0)[:, None, None, :])
        if layout == "packed" and segment.device.type in SPANNED:
            return cls(spans=Spans(segment, segment, causal=causal, window=window))
        mask = None
        if layout == "packed" or (layout == "padded" and not causal):
            # Empty places (segment 0) see each other: no row of scores is without a number.
            mask = (segment[:, :, None] == segment[:, None, :])[:, None]
        place = torch.arange(segment.shape[1], device=segment.device)
        allowed = near(place, place, causal=causal, window=window)
        if allowed is not None:
            mask = allowed[None, None] if mask is None else mask & allowed
        return cls(mask)

    @classmethod
    def across(cls, query: Int[Tensor, "row query"], key: Int[Tensor, "row key"]) -> Visibility:
        """Cross-attention: segment k of the decoder's row looks at segment k of the encoder's."""
        layouts = _layout(query), _layout(key)
        if "packed" not in layouts:
            return cls() if layouts[1] == "full" else cls((key > 0)[:, None, None, :])
        if query.device.type in SPANNED:
            return cls(spans=Spans(query, key, cross=True))
        return cls(((query[:, :, None] == key[:, None, :]) | (query == 0)[:, :, None])[:, None])

    @classmethod
    def onward(cls, place: Int[Tensor, "row query"], keys: int, *, window: int = 0) -> Visibility:
        """Self-attention of new tokens at `place` to a cache of `keys` places, in causal order."""
        allowed = near(place, torch.arange(keys, device=place.device), causal=True, window=window)
        return cls(None if allowed is None or bool(allowed.all()) else allowed[:, None])

    def with_bias(self, bias: Float[Tensor, "#row head query key"]) -> Visibility:
        """The same with a bias on the scores."""
        return replace(self, bias=bias)

    def attend(
        self,
        query: Float[Tensor, "row head query d_k"],
        key: Float[Tensor, "row kv_head key d_k"],
        value: Float[Tensor, "row kv_head key d_k"],
        scale: float,
    ) -> Float[Tensor, "row head query d_k"]:
        """softmax(Q K^T scale + bias) V, over the keys that each query may look at.

        Rows of many segments on a GPU go to a kernel for them (`liju.model.kernels`).
        """
        if self.spans is not None:
            return self.spans.attend(query, key, value, scale, self.by_distance)
        half = query.dtype.itemsize < 4
        if query.device.type == "cpu" and (self.bias is not None or (half and key.shape[-2] < 1024)):
            # Measured, forward and backward, on a CPU with bfloat16 units: in bfloat16 torch's kernel takes
            # 7 times as long at 16 places, twice at 512, as long at 1024. In float32 it is the faster one,
            # but it has nothing of its own for a bias that learns.
            context = self._by_hand(query, key, value, scale)
        else:
            mask = self.mask if self.bias is None else self._added(query)
            context = F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=mask,
                is_causal=self.causal and mask is None,
                scale=scale,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        return context if self._blind is None else context.masked_fill(self._blind, 0)

    def _by_hand(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        groups = query.shape[1] // key.shape[1]
        if groups > 1:
            key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
        scores = (query * scale) @ key.transpose(-1, -2)
        added = self._added(scores)
        if added is not None:
            scores = scores + added
        return scores.softmax(dim=-1) @ value

    def _added(self, scores: Tensor) -> Tensor | None:
        """Mask, causal order and bias as one tensor to add, made once for all blocks."""
        made = self._made
        if scores.dtype not in made:
            mask = self.mask
            if mask is None and self.causal:
                place = torch.arange(scores.shape[-2], device=scores.device)
                mask = near(place, place, causal=True)
            added = None if self.bias is None else self.bias.to(scores.dtype)
            if mask is not None:
                # The lowest number, not -inf: exp of the difference is 0 all the same, and a row that sees
                # nothing has no NaN.
                if added is None:
                    added = torch.zeros((), dtype=scores.dtype, device=scores.device)
                added = torch.where(mask, added, torch.finfo(scores.dtype).min)
            made[scores.dtype] = added
        return made[scores.dtype]

    @cached_property
    def _made(self) -> dict[torch.dtype, Tensor | None]:
        return {}

    @cached_property
    def _blind(self) -> Tensor | None:
        """The queries that may look nowhere, if there are any."""
        if self.mask is None:
            return None
        blind = ~self.mask.any(dim=-1, keepdim=True)
        return blind if bool(blind.any()) else None


def _layout(segment: Tensor) -> str:
    """How rows are laid: "full" (one segment each, no empty place), "padded" (one segment each, empty places
    at the end) or "packed" (anything else)."""
    if bool((segment == 1).all()):
        return "full"
    single = bool((segment <= 1).all()) and not bool((segment[:, 1:] > segment[:, :-1]).any())
    return "padded" if single and bool((segment[:, 0] == 1).all()) else "packed"


@runtime_checkable
class Memory(Protocol):
    """The keys and values that one attention keeps between calls (`liju.generate.KeyValueCache`)."""

    @property
    def complete(self) -> bool:
        """Nothing is to be added: keys and values of the encoder's output, computed once."""
        ...

    def read(self) -> tuple[Tensor, Tensor]:
        """Keys and values so far."""
        ...

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add new ones; keys and values so far."""
        ...


@runtime_checkable
class Cache(Protocol):
    """What a decoder keeps between calls."""

    lengths: list[int]  # tokens so far, for each row
    sources: Tensor | None  # segments of the encoder's rows

    def own(self, block: int) -> Memory: ...
    def cross(self, block: int) -> Memory: ...
    def advance(self, counts: list[int]) -> None: ...


class MultiHeadAttention(nn.Module):
    r"""Multi-head attention (Vaswani et al. 2017, section 3.2):

    $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{Q K^T}{\sqrt{d_k}}\right) V$$

    in `num_heads` heads of width $d_k = d_{model} / num\_heads$, each with its own slice of $W_q$, $W_k$ and
    $W_v$; $W_o$ mixes them.

    num_kv_heads: fewer heads of keys and values, each shared by a group of query heads (Ainslie et al. 2023).
    qkv_bias: whether W_q, W_k, W_v have a bias (None: as `bias`). qk_norm: an RMS norm over each head's query
    and key. scale: of the scores (None: $1 / \sqrt{d_k}$). value_residual: the values are
    $\lambda_1 V_1 + \lambda_2 V$, with $V_1$ those of the first block and both numbers learned, from 1/2 on
    (Zhou et al. 2024, arXiv:2410.17897).
    Raises ModelError when the heads do not divide d_model.

    >>> attention = MultiHeadAttention(d_model=6, num_heads=2)
    >>> x = torch.ones(1, 3, 6)
    >>> attention(x, x, x, mask=torch.ones(3, 3).tril()).shape
    torch.Size([1, 3, 6])
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        d_k: int | None = None,
        bias: bool = True,
        qkv_bias: bool | None = None,
        qk_norm: bool = False,
        norm_eps: float = 1e-6,
        scale: float | None = None,
        value_residual: bool = False,
    ):
        super().__init__()
        if d_k is None and d_model % num_heads:
            raise ModelError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads or num_heads
        if num_heads % self.num_kv_heads:
            raise ModelError(f"num_heads {num_heads} is not a multiple of num_kv_heads {num_kv_heads}")
        self.d_k = d_k or d_model // num_heads
        self.scale = self.d_k**-0.5 if scale is None else scale
        qkv_bias = bias if qkv_bias is None else qkv_bias
        self.W_q = nn.Linear(d_model, self.num_heads * self.d_k, bias=qkv_bias)
        self.W_k = nn.Linear(d_model, self.num_kv_heads * self.d_k, bias=qkv_bias)
        self.W_v = nn.Linear(d_model, self.num_kv_heads * self.d_k, bias=qkv_bias)
        self.W_o = nn.Linear(self.num_heads * self.d_k, d_model, bias=bias)
        self.norm_q = RMSNorm(self.d_k, norm_eps) if qk_norm else None
        self.norm_k = RMSNorm(self.d_k, norm_eps) if qk_norm else None
        self.value_mix = nn.Parameter(torch.full((2,), 0.5)) if value_residual else None

    def forward(
        self,
        query: Float[Tensor, "batch query d_model"],
        key: Float[Tensor, "batch key d_model"],
        value: Float[Tensor, "batch key d_model"],
        mask: Shaped[Tensor, ...] | Visibility | None = None,
        *,
        rope: tuple[Tensor, Tensor] | None = None,
        memory: Memory | None = None,
        first_value: Float[Tensor, "batch kv_head key d_k"] | None = None,
        keep_value: bool = False,
    ) -> Any:
        """[batch query d_model]; with `keep_value` a pair of it and the values [batch kv_head key d_k].

        mask: True or 1 where a query may look; broadcast to [batch head query key]. rope: cosines and
        sines (`Rotary`) that turn queries and keys. memory: keys and values kept from earlier calls.
        first_value: the first block's values of the same tokens, to be mixed in (value_residual).
        """
        if not isinstance(mask, Visibility):
            mask = Visibility(None if mask is None else mask.bool())
        q = self._split(self.W_q(query), self.norm_q, rope)
        if memory is not None and memory.complete:
            k, v = memory.read()
            own = v
        else:
            k = self._split(self.W_k(key), self.norm_k, rope)
            v = own = self._split(self.W_v(value))
            if self.value_mix is not None:
                if first_value is None:
                    raise ModelError("value_residual needs the values of the first block (first_value)")
                mix = self.value_mix.to(v.dtype)
                v = mix[0] * first_value + mix[1] * v
            if memory is not None:
                k, v = memory.extend(k, v)  # mixed: what attention looks at
        context = mask.attend(q, k, v, self.scale)
        out = self.W_o(context.transpose(1, 2).flatten(2))
        return (out, own) if keep_value else out

    def _split(
        self, x: Tensor, norm: RMSNorm | None = None, rope: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """[batch place head * d_k] to [batch head place d_k]."""
        x = x.unflatten(-1, (-1, self.d_k))
        if norm is not None:
            x = norm(x)
        if rope is not None:
            x = rotate(x, rope)
        return x.transpose(1, 2)

    def extra_repr(self) -> str:
        return f"num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}, d_k={self.d_k}"
