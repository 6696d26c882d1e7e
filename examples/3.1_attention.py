"""Attention by the article's formula, and MultiHeadAttention: the same numbers."""

import torch

from liju.model import MultiHeadAttention

torch.manual_seed(0)
batch, length, d_model, num_heads = 2, 5, 12, 3
d_k = d_model // num_heads


def attention(Q, K, V, mask):
    """softmax(Q K^T / sqrt(d_k)) V (Vaswani et al. 2017, equation 1)."""
    scores = Q @ K.transpose(-1, -2) / d_k**0.5
    return scores.masked_fill(mask == 0, float("-inf")).softmax(dim=-1) @ V


def split(x):
    """[batch place d_model] to [batch head place d_k]."""
    return x.view(batch, length, num_heads, d_k).transpose(1, 2)


layer = MultiHeadAttention(d_model, num_heads).double()
x = torch.randn(batch, length, d_model, dtype=torch.float64)
mask = torch.ones(length, length).tril()  # no place looks ahead

heads = attention(split(layer.W_q(x)), split(layer.W_k(x)), split(layer.W_v(x)), mask)
by_hand = layer.W_o(heads.transpose(1, 2).reshape(batch, length, d_model))
difference = (by_hand - layer(x, x, x, mask)).abs().max()
print(f"largest difference: {difference:.1e}")
assert difference < 1e-12

# What place 2 gives its weight to, in the first head: itself and what came before.
scores = split(layer.W_q(x)) @ split(layer.W_k(x)).transpose(-1, -2) / d_k**0.5
print(scores.masked_fill(mask == 0, float("-inf")).softmax(-1)[0, 0, 2])
