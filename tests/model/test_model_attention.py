"""Multi-head attention is the article's formula, and torch's own with the same weights."""

import math

import pytest
import torch
from torch import nn

from liju.errors import ModelError
from liju.model import MultiHeadAttention, RelativeBias, Rotary, Visibility
from liju.model.position import rotate


def literal(attention, query, key, value, mask=None):
    """softmax(Q K^T / sqrt(d_k)) V, head by head, as the article writes it."""
    Q, K, V = attention.W_q(query), attention.W_k(key), attention.W_v(value)
    d_k, heads = attention.d_k, []
    for h in range(attention.num_heads):
        g = h // (attention.num_heads // attention.num_kv_heads)
        mine, shared = slice(h * d_k, (h + 1) * d_k), slice(g * d_k, (g + 1) * d_k)
        scores = Q[..., mine] @ K[..., shared].transpose(-1, -2) / math.sqrt(d_k)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -math.inf)
        weights = scores.exp() / scores.exp().sum(dim=-1, keepdim=True)
        heads.append(weights @ V[..., shared])
    return attention.W_o(torch.cat(heads, dim=-1))


@pytest.mark.parametrize(
    "switches", [{}, {"num_kv_heads": 1}, {"d_k": 5, "bias": False}, {"qkv_bias": False}]
)
@pytest.mark.parametrize("masked", [False, True])
def test_equals_the_formula(switches, masked):
    torch.manual_seed(0)
    attention = MultiHeadAttention(6, 3, **switches).double()
    query, key, value = torch.randn(2, 5, 6).double(), *torch.randn(2, 2, 7, 6).double()
    mask = torch.ones(5, 7).tril() if masked else None
    got, want = attention(query, key, value, mask), literal(attention, query, key, value, mask)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def test_equals_torch():
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(6, 3, batch_first=True).double()
    ours = MultiHeadAttention(6, 3).double()
    with torch.no_grad():
        for part, weight, bias in zip(
            (ours.W_q, ours.W_k, ours.W_v),
            theirs.in_proj_weight.chunk(3),
            theirs.in_proj_bias.chunk(3),
            strict=True,
        ):
            part.weight.copy_(weight)
            part.bias.copy_(bias.normal_())
        ours.W_o.load_state_dict(theirs.out_proj.state_dict())
    x, y = torch.randn(2, 5, 6).double(), torch.randn(2, 7, 6).double()
    mask = torch.rand(5, 7) < 0.7
    mask[:, 0] = True
    want = theirs(x, y, y, attn_mask=~mask, need_weights=False)[0]
    torch.testing.assert_close(ours(x, y, y, mask), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_a_query_that_sees_nothing_gets_zeros_and_no_nan(dtype, bias):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 5, 4, dtype=dtype, requires_grad=True) for _ in range(3))
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    mask[1, :, 3] = False
    sight = Visibility(mask)
    if bias:
        sight = sight.with_bias(torch.randn(1, 3, 5, 5, requires_grad=True))
    out = sight.attend(q, k, v, 0.5)
    assert (out[1, :, 3] == 0).all()
    assert out.isfinite().all()
    out.sum().backward()
    for x in (q, k, v):
        assert x.grad.isfinite().all()
    assert (q.grad[1, :, 3] == 0).all()


@pytest.mark.parametrize("kind", ["nothing", "causal", "mask", "mask and bias", "causal and bias"])
def test_by_hand_equals_the_kernel(kind):
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 6, 5, 4).double(), *torch.randn(2, 2, 3, 5, 4).double()
    mask = (torch.rand(2, 1, 5, 5) < 0.6) | torch.eye(5, dtype=torch.bool) if "mask" in kind else None
    sight = Visibility(mask, causal="causal" in kind)
    if "bias" in kind:
        sight = sight.with_bias(torch.randn(1, 6, 5, 5).double())
    scores = q @ k.repeat_interleave(2, 1).transpose(-1, -2) * 0.3
    if sight.bias is not None:
        scores = scores + sight.bias
    allowed = (
        mask if mask is not None else torch.ones(5, 5).tril() > 0 if sight.causal else torch.ones(5, 5) > 0
    )
    want = scores.masked_fill(~allowed, -math.inf).softmax(-1) @ v.repeat_interleave(2, 1)
    for got in (sight.attend(q, k, v, 0.3), sight._by_hand(q, k, v, 0.3)):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def test_visibility_of_segments():
    full, padded = torch.ones(2, 3).long(), torch.tensor([[1, 1, 1], [1, 0, 0]])
    packed = torch.tensor([[1, 1, 2], [1, 0, 0]])
    assert Visibility.within(full) == Visibility()
    assert Visibility.within(full, causal=True) == Visibility(causal=True)
    assert Visibility.within(padded, causal=True) == Visibility(causal=True)
    assert Visibility.within(padded).mask.squeeze().tolist() == [[True] * 3, [True, False, False]]
    dense = Visibility.within(packed).mask
    assert dense[0, 0].tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert dense.any(-1).all()  # empty places see something
    assert Visibility.within(full, window=1).mask[0, 0].int().tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    assert Visibility.within(full, window=1, causal=True).mask[0, 0].int().tolist() == [
        [1, 0, 0],
        [1, 1, 0],
        [0, 1, 1],
    ]
    assert Visibility.across(padded, full) == Visibility()
    assert Visibility.across(full, padded).mask.shape == (2, 1, 1, 3)
    assert Visibility.across(packed, packed).mask.any(-1).all()
    late = torch.tensor([[0, 1, 1]])  # an empty place that is not at the end
    assert Visibility.within(late, causal=True).mask is not None


def test_rope_keeps_lengths_and_sees_distances_only():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 6).double()
    rope = Rotary(6)

    def score(m, n):
        places = [rotate(x, rope(torch.tensor([[p]]), torch.float64)) for x, p in ((q, m), (k, n))]
        return (places[0] * places[1]).sum()

    torch.testing.assert_close(score(2, 5), score(9, 12), rtol=0, atol=1e-12)
    assert abs(score(2, 5) - score(2, 6)) > 1e-3
    torch.testing.assert_close(rotate(q, rope(torch.tensor([[7]]), torch.float64)).norm(), q.norm())


@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_buckets_are_those_of_t5(bidirectional):
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(-300, 300)
    ours = RelativeBias(3, buckets=32, max_distance=128, bidirectional=bidirectional).bucket(distance)
    theirs = T5Attention._relative_position_bucket(distance, bidirectional, 32, 128)
    assert torch.equal(ours, theirs)


def test_sizes_that_do_not_fit():
    with pytest.raises(ModelError, match="d_model 7"):
        MultiHeadAttention(7, 2)
    with pytest.raises(ModelError, match="num_kv_heads 2"):
        MultiHeadAttention(6, 3, num_kv_heads=2)
