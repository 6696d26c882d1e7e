"""Feed-forward, norms and positions are their formulas."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from liju.errors import ModelError
from liju.model import FeedForward, RMSNorm, TransformerConfig, positional_encoding, preset
from liju.model.position import LearnedPosition, SinusoidalPosition


def test_feedforward_equals_the_formula():
    torch.manual_seed(0)
    ffn = FeedForward(3, 5).double()
    x = torch.randn(2, 7, 3).double()
    want = torch.maximum(torch.zeros(()).double(), x @ ffn.W_1.weight.T + ffn.W_1.bias) @ ffn.W_2.weight.T
    torch.testing.assert_close(ffn(x), want + ffn.W_2.bias, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "name, act",
    [
        ("relu2", lambda x: torch.relu(x) ** 2),
        ("gelu", lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))),
        ("gelu_tanh", lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
        ("silu", lambda x: x * torch.sigmoid(x)),
    ],
)
def test_gated_feedforward(name, act):
    torch.manual_seed(0)
    ffn = FeedForward(3, 5, activation=name, gated=True, bias=False).double()
    x = torch.randn(2, 3).double()
    want = (act(x @ ffn.W_gate.weight.T) * (x @ ffn.W_1.weight.T)) @ ffn.W_2.weight.T
    torch.testing.assert_close(ffn(x), want, rtol=0, atol=1e-12)


def test_unknown_activation():
    with pytest.raises(ModelError, match="geluu") as error:
        FeedForward(2, 3, activation="geluu")
    assert "gelu" in error.value.hint


def test_rms_norm_and_its_gradient():
    torch.manual_seed(0)
    norm = RMSNorm(5, eps=1e-3).double()
    with torch.no_grad():
        norm.weight.normal_()
    x = torch.randn(2, 3, 5).double().requires_grad_()
    want = F.rms_norm(x, (5,), norm.weight, 1e-3)
    torch.testing.assert_close(norm(x), want, rtol=0, atol=1e-12)
    g = torch.randn_like(want)
    ours = torch.autograd.grad((norm(x) * g).sum(), (x, norm.weight))
    theirs = torch.autograd.grad((want * g).sum(), (x, norm.weight))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    half = norm.to(torch.bfloat16)(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), want, rtol=0.02, atol=0.02)


def test_sinusoids_number_by_number():
    PE = positional_encoding(11, 6, dtype=torch.float64)
    halves = positional_encoding(11, 6, halves=True, dtype=torch.float64)
    for pos in range(11):
        for i in range(3):
            angle = pos / 10000 ** (2 * i / 6)
            assert PE[pos, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-15)
            assert PE[pos, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-15)
            assert halves[pos, i].item() == pytest.approx(math.sin(angle), abs=1e-15)
            assert halves[pos, 3 + i].item() == pytest.approx(math.cos(angle), abs=1e-15)


def test_a_sinusoid_follows_the_type_of_the_model():
    table = SinusoidalPosition(6, 11)
    place = torch.tensor([[7]])
    assert table(place, torch.float32).dtype == torch.float32
    assert torch.equal(table(place, torch.float64)[0, 0], positional_encoding(11, 6, dtype=torch.float64)[7])


def test_learned_positions_skip_the_offset():
    table = LearnedPosition(3, 5, offset=2)
    assert torch.equal(table(torch.tensor([[0, 4]]))[0], table.weight[[2, 6]])


def test_torch_layer_norm_is_used():
    from liju.model.norm import make_norm

    assert type(make_norm(TransformerConfig(d_model=4))) is nn.LayerNorm
    assert make_norm(TransformerConfig(d_model=4, norm_bias=False)).bias is None


def test_presets():
    assert preset("transformer-big").d_ff == 4096
    with pytest.raises(ModelError) as error:
        preset("transformer-bas")
    assert "transformer-base" in error.value.hint


def test_token_types_belong_to_an_encoder():
    with pytest.raises(ModelError, match="num_types"):
        TransformerConfig.default("decoder", num_types=2)
