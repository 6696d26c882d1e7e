"""Cross-entropy a few rows at a time is the plain one: loss and gradients; and its memory is small."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from liju.model import Transformer, TransformerConfig
from liju.objective import loss as loss_module
from liju.objective import losses
from liju.objective.vocabulary import LARGE, chunk_rows, linear_cross_entropy
from liju.samples.batch import Batch, Side, Targets


def drawn(targets=11, width=5, vocab=13, dtype=torch.float64, bias=True):
    torch.manual_seed(0)
    leaves = [torch.randn(targets, width), torch.randn(vocab, width), torch.randn(vocab)]
    leaves = [x.to(dtype).requires_grad_() for x in leaves[: 3 if bias else 2]]
    return leaves, torch.randint(vocab, (targets,)), torch.rand(targets) + 0.5


def plain(leaves, value, share, smoothing, softcap):
    logits = F.linear(*leaves)
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    each = F.cross_entropy(logits, value, reduction="none", label_smoothing=smoothing)
    return (each * share.to(each.dtype)).sum()


def chunked(leaves, value, share, smoothing, softcap, rows):
    bias = leaves[2] if len(leaves) > 2 else None
    return linear_cross_entropy(
        leaves[0], leaves[1], value, share, bias=bias, smoothing=smoothing, softcap=softcap, rows=rows
    )


@pytest.mark.parametrize("rows", [1, 3, 11, 40])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("softcap", [0.0, 2.0])
@pytest.mark.parametrize("bias", [True, False])
def test_chunked_is_plain(rows, smoothing, softcap, bias):
    leaves, value, share = drawn(bias=bias)
    want = plain(leaves, value, share, smoothing, softcap)
    got = chunked(leaves, value, share, smoothing, softcap, rows)
    assert abs(float((got - want).detach())) <= 1e-12 * float(want.detach())
    gradients = torch.autograd.grad(3 * want, leaves), torch.autograd.grad(3 * got, leaves)
    for a, b in zip(*gradients, strict=True):
        assert float((a - b).abs().max()) <= 1e-12 * max(1.0, float(a.abs().max()))


def test_only_what_is_asked_for_gets_a_gradient():
    leaves, value, share = drawn()
    leaves[1].requires_grad_(False)
    chunked(leaves, value, share, 0.0, 0.0, 4).backward()
    assert leaves[0].grad is not None and leaves[1].grad is None
    with torch.no_grad():
        silent = chunked(leaves, value, share, 0.1, 0.0, 4)
    assert not silent.requires_grad
    torch.testing.assert_close(silent, plain(leaves, value, share, 0.1, 0.0).detach(), rtol=0, atol=1e-12)


def test_under_autocast_only_products_are_narrow():
    leaves, value, share = drawn(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        got = chunked(leaves, value, share, 0.1, 0.0, 3)
    assert got.dtype == torch.float32
    want = plain(leaves, value, share, 0.1, 0.0)
    assert abs(float(got.detach() - want.detach())) < 2e-2 * float(want.detach())
    for a, b in zip(torch.autograd.grad(want, leaves), torch.autograd.grad(got, leaves), strict=True):
        assert b.dtype == torch.float32
        assert float((a - b).abs().max()) < 3e-2 * float(a.abs().max())


def test_extreme_logits_are_finite():
    hidden = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    weight = torch.tensor([[1.0], [-1.0], [0.0]], requires_grad=True)
    got = linear_cross_entropy(hidden, weight, torch.tensor([0, 0]), torch.ones(2), rows=1)
    assert float(got.detach()) == pytest.approx(2e4)
    got.backward()
    assert hidden.grad.isfinite().all() and weight.grad.isfinite().all()


class Largest(TorchDispatchMode):
    """The elements of the largest tensor that is made."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        out = function(*arguments, **(keywords or {}))
        for made in out if isinstance(out, tuple | list) else [out]:
            if isinstance(made, torch.Tensor):
                self.elements = max(self.elements, made.numel())
        return out


FAMILIES = {
    "encoder": {},
    "decoder": {"softcap": 7.0},
    "encdec": {},
    "opt-350m": {"family": "decoder", "d_embedding": 6},
    "untied": {"family": "encdec", "tied": False},
}


@pytest.mark.parametrize("case", list(FAMILIES))
def test_a_long_batch_never_has_all_its_logits(case, monkeypatch):
    """The same loss and gradients as with all logits at once, and no tensor as large as they would be."""
    switches = dict(FAMILIES[case])
    family = switches.pop("family", case)
    vocab, row, place = 2**13 - 1, 3, 131
    shape = {"vocab_size": vocab, "d_model": 12, "num_heads": 3, "num_layers": 1, "max_length": 131}
    torch.manual_seed(0)
    model = Transformer(TransformerConfig.default(family, **shape, **switches)).double()
    sides = [Side.of(torch.randint(vocab, (row, place))) for _ in range(2)]
    count = row * place
    assert count * vocab > 2 * LARGE
    targets = Targets(torch.arange(count), torch.randint(vocab, (count,)), torch.rand(count))
    batch = Batch(
        sides[0] if family != "decoder" else None,
        sides[1] if family != "encoder" else None,
        {"words": targets},
    )
    parameters = list(model.parameters())

    def measured():
        with Largest() as largest:
            nats, weight = losses(model, batch, 0.1)["words"]
            gradients = torch.autograd.grad(nats, parameters, allow_unused=True)
        assert weight == pytest.approx(float(targets.weight.sum()))
        return nats.detach(), gradients, largest.elements

    monkeypatch.setattr(loss_module, "LARGE", 1 << 40)
    want, want_gradients, elements = measured()
    assert elements >= count * vocab  # the control: all logits at once
    monkeypatch.setattr(loss_module, "LARGE", LARGE)
    monkeypatch.setattr("liju.objective.vocabulary.CHUNK_CPU", 1 << 18)
    got, got_gradients, elements = measured()
    assert elements < count * vocab / 4
    assert abs(float(got - want)) <= 1e-12 * float(want)
    for a, b in zip(want_gradients, got_gradients, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert float((a - b).abs().max()) <= 1e-12 * max(1.0, float(a.abs().max()))


def test_rows_of_a_chunk():
    assert chunk_rows(8192, "cpu") == 512
    assert chunk_rows(2**40, "cpu") == 16
    assert chunk_rows(50257, "cuda") > 4096
