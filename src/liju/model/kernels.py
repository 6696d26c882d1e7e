"""Kernels for rows of many segments, on a GPU: nothing between two segments is computed, no mask is made.

None of them is taken on trust: before the first use on a device each computes two small rows, forward and
backward, beside a mask (`failure`). One that raises or says something else is not used there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Spans", "able", "failure", "kernel_for", "near"]

WIDEST = 256  # numbers of a head, at most: FlashAttention's limit
AGREES = {2: 0.05, 4: 0.01, 8: 1e-6}  # bytes of a number to the largest error of a kernel that is right


def near(query: Tensor, key: Tensor, *, causal: bool, window: int = 0) -> Bool[Tensor, "*query key"] | None:
    """Which keys lie in a query's window and, in causal order, not after it (None: all).

    >>> near(torch.arange(3), torch.arange(3), causal=True, window=1).int()
    tensor([[1, 0, 0],
            [1, 1, 0],
            [0, 1, 1]], dtype=torch.int32)
    """
    distance = key - query[..., None]
    if not window:
        return distance <= 0 if causal else None
    return (distance <= (0 if causal else window)) & (distance >= -window)


def kernel_for(
    device: torch.device, dtype: torch.dtype, d_k: int = 64, *, bias: bool, grouped: bool = False
) -> str:
    """The kernel for packed rows: "varlen" (FlashAttention by the ends of the segments: half precision, no
    bias), "flex" (FlexAttention, compiled) or "dense" (a mask, and scaled_dot_product_attention): the first
    that can do it here, and does (`failure`). grouped: heads of keys are shared (num_kv_heads).

    >>> kernel_for(torch.device("cpu"), torch.bfloat16, bias=False)  # neither has a backward pass on a CPU
    'dense'
    """
    for name in ("varlen", "flex"):
        unable = able(name, device, dtype, d_k, bias=bias)
        if not unable and not failure(name, device, dtype, d_k, bias, grouped):
            return name
    return "dense"


def able(name: str, device: torch.device, dtype: torch.dtype, d_k: int, *, bias: bool) -> str:
    """Why a kernel knows no such rows; "" where it does.

    >>> able("varlen", torch.device("cpu"), torch.float32, 64, bias=False)
    'a cpu has no such kernel'
    """
    if device.type != "cuda":
        return f"a {device.type} has no such kernel"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "the GPU is older than Ampere"
    if name == "varlen":
        if "window_size" not in _varlen_knows():
            return "this torch has no varlen_attn with windows"
        if bias:
            return "a bias on the scores (position = 'relative') is not known to FlashAttention"
        if dtype.itemsize != 2:
            return f"FlashAttention computes in half precision, not in {str(dtype).removeprefix('torch.')}"
        return "" if d_k % 8 == 0 and d_k <= WIDEST else f"d_k {d_k} is no multiple of 8 up to {WIDEST}"
    if not _has_triton():
        return "triton is not installed"
    if dtype.itemsize > 4:
        return "FlexAttention knows no float64"
    return "" if d_k >= 16 else f"d_k {d_k} is below 16"  # Triton's products have no narrower ones


@cache
def failure(name: str, device: torch.device, dtype: torch.dtype, d_k: int, bias: bool, grouped: bool) -> str:
    """What went wrong when a kernel computed two small rows beside a mask; "" where it agreed, forward and
    backward. Each is tried once a process."""
    generator = torch.Generator().manual_seed(0)  # the caller's draws stay

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device, dtype)

    query = torch.tensor([[1] * 70 + [2] * 90, [1] * 30 + [2] * 50 + [3] * 80], device=device)
    key = torch.tensor([[1] * 20 + [2] * 130, [1] * 90 + [2] * 5 + [3] * 55], device=device)
    heads = 2 if grouped else 1
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
            for spans in (Spans(query, query, causal=True), Spans(query, key, cross=True)):
                table = draw(heads, 2 * 40 + 1) if bias and not spans.cross else None
                places = spans.query.shape[1], spans.key.shape[1], spans.key.shape[1]
                given = [
                    draw(2, n, heads if i == 0 else 1, d_k).transpose(1, 2) for i, n in enumerate(places)
                ]
                given += [] if table is None else [table]
                weight = draw(2, heads, places[0], d_k)
                results = []
                for kernel, kind in (
                    ("dense", torch.float32 if dtype.itemsize < 4 else dtype),
                    (name, dtype),
                ):
                    own = [x.detach().to(kind).requires_grad_() for x in given]
                    q, k, v, *tables = own
                    scores = replace(spans, kernel=kernel)
                    out = scores.attend(q, k, v, d_k**-0.5, tables[0] if tables else None)
                    found = torch.autograd.grad((out * weight.to(kind)).sum(), own)
                    results.append([out.detach(), *found])
                for right, other in zip(*results, strict=True):
                    error = float((right - other).abs().max() / right.abs().max())
                    if not error <= AGREES[dtype.itemsize]:
                        return f"{name} is off by {error:.1e} of the largest number"
    except Exception as error:  # compilers and drivers have no common base class
        lines = str(error).strip().splitlines() or [""]
        return f"{name} raised {type(error).__name__}: {lines[0][:200]}"
    return ""


@cache
def _has_triton() -> bool:
    from importlib.util import find_spec

    return find_spec("triton") is not None


@cache
def _varlen_knows() -> frozenset[str]:
    """The parameters of torch's kernel for variable lengths: 2.11 has no `enable_gqa`, 2.10 no window."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return frozenset()
    return frozenset(inspect.signature(varlen_attn).parameters)


@cache
def _flex(device: str) -> Callable[..., Any]:
    """FlexAttention: compiled once where that is what makes it fast."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True) if device == "cuda" else flex_attention


def _varlen(
    query: Tensor, key: Tensor, value: Tensor, bounds: Bounds, window: tuple[int, int], scale: float
) -> Tensor:
    """torch's kernel for variable lengths; tensors are [place head d_k]."""
    from torch.nn.attention.varlen import varlen_attn

    more: dict[str, Any] = {}
    if query.shape[1] != key.shape[1]:
        if "enable_gqa" in _varlen_knows():
            more["enable_gqa"] = True
        else:
            groups = query.shape[1] // key.shape[1]
            key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    ends = bounds.query, bounds.key, bounds.longest_query, bounds.longest_key
    out = varlen_attn(query, key, value, *ends, scale=scale, window_size=window, **more)
    assert isinstance(out, Tensor)  # a pair only with return_aux
    return out


@dataclass(frozen=True)
class Bounds:
    """Where segments begin and end when all rows lie in one line: [0, ..., all places], in int32."""

    query: Int[Tensor, " segment"]
    key: Int[Tensor, " segment"]
    longest_query: int
    longest_key: int


@dataclass(frozen=True, eq=False)
class Spans:
    """Which segments see each other: a query's own (of the same number in the same row). It is made once a
    forward pass; what a kernel needs of it is made when it is first asked for.

    Empty places (number 0) see the empty places of their row, so that no row of scores is without a number.

    >>> spans = Spans(torch.tensor([[1, 1, 2, 0]]), torch.tensor([[1, 1, 2, 0]]), causal=True)
    >>> spans.mask[0, 0].int()
    tensor([[1, 0, 0, 0],
            [1, 1, 0, 0],
            [0, 0, 1, 0],
            [0, 0, 0, 1]], dtype=torch.int32)
    >>> spans.bounds.query
    tensor([0, 2, 3, 4], dtype=torch.int32)
    """

    query: Int[Tensor, "row query"]
    key: Int[Tensor, "row key"]
    causal: bool = False
    window: int = 0
    cross: bool = False  # cross-attention: no order, and an empty query may look everywhere in its row
    kernel: str = ""  # which one computes it; empty: `kernel_for` says

    def ready(self, dtype: torch.dtype, d_k: int, *, bias: bool, grouped: bool) -> Spans:
        """The same with its kernel chosen, and with all that this asks the device: not in the blocks, where a
        compiler would stumble over it."""
        made = replace(self, kernel=kernel_for(self.query.device, dtype, d_k, bias=bias, grouped=grouped))
        if made.kernel == "varlen" and made.tidy:
            _ = made.bounds
        elif made.kernel == "flex":
            _ = made.block_mask
        return made

    @cached_property
    def mask(self) -> Bool[Tensor, "row 1 query key"]:
        """Who sees whom, as a table."""
        mask = self.query[:, :, None] == self.key[:, None, :]
        if self.cross:
            return (mask | (self.query == 0)[:, :, None])[:, None]
        place = torch.arange(self.query.shape[1], device=self.query.device)
        allowed = near(place, place, causal=self.causal, window=self.window)
        return (mask if allowed is None else mask & allowed)[:, None]

    def sees(self, row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """`mask` as a function of places: FlexAttention's `mask_mod`."""
        allowed = self.query[row, query] == self.key[row, key]
        if self.cross:
            return allowed | (self.query[row, query] == 0)
        if self.causal:
            allowed = allowed & (key <= query)
        if self.window:
            allowed = allowed & (key >= query - self.window) & (key <= query + self.window)
        return allowed

    @cached_property
    def block_mask(self) -> Any:
        """The blocks of 128 by 128 places in which anything is seen."""
        from torch.nn.attention.flex_attention import create_block_mask

        def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return self.sees(row, head, query, key)  # it takes a function, not a method

        sizes = self.query.shape[0], None, self.query.shape[1], self.key.shape[1]
        device = self.query.device
        return create_block_mask(sees, *sizes, device=device, _compile=device.type == "cuda")

    @cached_property
    def bounds(self) -> Bounds:
        """The ends of the segments; a segment that has only queries or only keys has length 0 on the other
        side. (Lengths come to the host: the device is waited for once a forward pass.)"""
        width = int(max(self.query.max(), self.key.max())) + 1
        counts = [self._counts(side, width) for side in (self.query, self.key)]
        if self.cross:
            # An empty place looks nowhere here: it has a length among the queries, none among the keys.
            counts[1] = torch.where(self._empty(width, counts[1]), 0, counts[1])
        there = (counts[0] > 0) | (counts[1] > 0)
        query, key = (F.pad(count[there].cumsum(0), (1, 0)).to(torch.int32) for count in counts)
        return Bounds(query, key, int(counts[0].max()), int(counts[1].max()))

    def _counts(self, side: Tensor, width: int) -> Tensor:
        """How long the segments are, row by row, the empty places of a row last."""
        row = torch.arange(len(side), device=side.device)[:, None]
        place = torch.where(side > 0, side - 1, width - 1) + row * width
        return torch.bincount(place.flatten(), minlength=len(side) * width)

    def _empty(self, width: int, counts: Tensor) -> Tensor:
        return torch.arange(len(counts), device=counts.device) % width == width - 1

    @cached_property
    def tidy(self) -> bool:
        """Segments stand in order in every row, and the empty places after them: what `bounds` can say. With
        cross-attention there are no empty places among the keys either."""
        last = torch.iinfo(self.query.dtype).max
        sides = [torch.where(side > 0, side, last) for side in (self.query, self.key)]
        ordered = all(bool((side[:, 1:] >= side[:, :-1]).all()) for side in sides)
        return ordered and not (self.cross and bool((self.key == 0).any()))

    def attend(
        self,
        query: Float[Tensor, "row head query d_k"],
        key: Float[Tensor, "row kv_head key d_k"],
        value: Float[Tensor, "row kv_head key d_k"],
        scale: float,
        by_distance: Float[Tensor, "head distance"] | None = None,
    ) -> Float[Tensor, "row head query d_k"]:
        """softmax(Q K^T scale + bias) V within the segments. by_distance: a bias for each distance from
        -n to n; what is further away has the bias of n."""
        kind = query.device.type
        if torch.is_autocast_enabled(kind):  # these kernels are no operations that autocast knows
            narrow = torch.get_autocast_dtype(kind)
            query, key, value = query.to(narrow), key.to(narrow), value.to(narrow)
        gqa = query.shape[1] != key.shape[1]
        kernel = self.kernel or kernel_for(
            query.device, query.dtype, query.shape[-1], bias=by_distance is not None, grouped=gqa
        )
        if kernel == "varlen" and self.tidy:
            return self._by_ends(query, key, value, scale)
        far = 0 if by_distance is None else by_distance.shape[1] // 2
        if kernel == "flex":

            def biased(score: Tensor, row: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
                assert by_distance is not None
                return score + by_distance[head, (k - q).clamp(-far, far) + far]

            return _flex(kind)(
                query,
                key,
                value,
                score_mod=None if by_distance is None else biased,
                block_mask=self.block_mask,
                scale=scale,
                enable_gqa=gqa,
            )
        mask: Tensor = self.mask
        if by_distance is not None:
            q, k = (torch.arange(n, device=query.device) for n in (query.shape[2], key.shape[2]))
            bias = by_distance[:, (k - q[:, None]).clamp(-far, far) + far][None].to(query.dtype)
            mask = torch.where(mask, bias, torch.finfo(query.dtype).min)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=gqa)

    def _by_ends(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        rows, _, width, _ = query.shape
        query, key, value = (x.transpose(1, 2).flatten(0, 1) for x in (query, key, value))
        left = self.window or -1
        right = 0 if self.causal else left
        out = _varlen(query, key, value, self.bounds, (left, right), scale)
        return out.unflatten(0, (rows, width)).transpose(1, 2)
