"""torch's kernel for variable lengths, given an implementation for the CPU.

`torch.nn.attention.varlen.varlen_attn` is an operator that torch registers with a shape function and an
autograd formula, and implements for CUDA alone. With forward and backward registered for the CPU too, all
else is torch's own: the signature that is called, what is saved for the backward pass, what a compiler and a
checkpoint see of it. What FlashAttention asks of its arguments is asked here as well.
"""

from __future__ import annotations

import torch
from torch.nn.attention import varlen

CALLS = []


def probabilities(q, k, left, right, scale):
    """[head query key] of one segment; keys are aligned with the last queries, as FlashAttention has it."""
    distance = torch.arange(len(k)) - torch.arange(len(q))[:, None] - (len(k) - len(q))
    scores = torch.einsum("qhd,khd->hqk", q, k) * scale
    if left >= 0:
        scores = scores.masked_fill(distance < -left, -torch.inf)
    if right >= 0:
        scores = scores.masked_fill(distance > right, -torch.inf)
    return scores.softmax(-1).nan_to_num()  # a query without a key gets zeros


def one(q, k, v, left, right, scale):
    """[query head d] of one segment from [query head d] and [key head d]."""
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, dim=1) for x in (k, v))
    return torch.einsum("hqk,khd->qhd", probabilities(q, k, left, right, scale), v)


def gradients_of_one(q, k, v, left, right, scale, gradient):
    """By hand: below the dispatcher there is no autograd."""
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, dim=1) for x in (k, v))
    p = probabilities(q, k, left, right, scale)
    dp = torch.einsum("qhd,khd->hqk", gradient, v)
    ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * scale
    dq = torch.einsum("hqk,khd->qhd", ds, k)
    dk, dv = torch.einsum("hqk,qhd->khd", ds, q), torch.einsum("hqk,qhd->khd", p, gradient)
    return dq, *(x.unflatten(1, (-1, groups)).sum(2) for x in (dk, dv))


def all_of_them(query, key, value, ends_q, ends_k, window, scale):
    parts = []
    for i in range(len(ends_q) - 1):
        q = query[ends_q[i] : ends_q[i + 1]]
        k, v = (x[ends_k[i] : ends_k[i + 1]] for x in (key, value))
        parts.append(one(q, k, v, *window, scale))
    return torch.cat(parts)


def forward(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, scale=None,
            window_size=None, enable_gqa=False, *rest):  # fmt: skip
    assert query.dtype == key.dtype == value.dtype
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32 and len(cu_seq_q) == len(cu_seq_k)
    assert cu_seq_q.is_contiguous() and cu_seq_k.is_contiguous()
    assert int(cu_seq_q[0]) == int(cu_seq_k[0]) == 0
    assert int(cu_seq_q[-1]) == len(query) and int(cu_seq_k[-1]) == len(key) == len(value)
    assert max_q >= int(cu_seq_q.diff().max()) and max_k >= int(cu_seq_k.diff().max())
    assert query.shape[2] % 8 == 0 and query.shape[2] <= 256
    assert all(x.stride(-1) == 1 for x in (query, key, value))
    assert enable_gqa == (query.shape[1] != key.shape[1])
    assert is_causal == (list(window_size) == [-1, 0])
    assert all(x is None for x in rest)
    CALLS.append((tuple(query.shape), tuple(key.shape), tuple(window_size)))
    with torch.no_grad():
        out = all_of_them(query, key, value, cu_seq_q, cu_seq_k, window_size, scale)
    sums = torch.zeros(query.shape[1], len(query))
    return out.contiguous(), sums, torch.zeros(2, dtype=torch.uint64)


def backward(grad_out, query, key, value, out, lse, cu_seq_q, cu_seq_k, max_q, max_k, is_causal, rng_state,
             scale=None, window_size=None):  # fmt: skip
    parts = []
    for i in range(len(cu_seq_q) - 1):
        here, there = slice(cu_seq_q[i], cu_seq_q[i + 1]), slice(cu_seq_k[i], cu_seq_k[i + 1])
        given = query[here], key[there], value[there]
        parts.append(gradients_of_one(*given, *window_size, scale, grad_out[here]))
    return tuple(torch.cat(part).contiguous() for part in zip(*parts, strict=True))


varlen._varlen_attn.register_kernel("cpu")(forward)
varlen._varlen_attn_backward.register_kernel("cpu")(backward)
