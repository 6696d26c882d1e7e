import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from train_toy import toy_model

from liju.errors import ConfigError, TrainingError
from liju.train import AdamW, Muon, TrainSettings, build_optimizer, noam_peak, orthogonalise, schedule
from liju.train import muon as muon_module
from liju.train.optimizer import hidden_matrices


def one_by_one(G, steps=5):
    """Newton-Schulz of one matrix as its authors print it."""
    a, b, c = 3.4445, -4.7750, 2.0315
    X = G / (G.norm() + 1e-7)
    if G.size(0) > G.size(1):
        X = X.T
    for _ in range(steps):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if G.size(0) > G.size(1) else X


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), count=st.integers(1, 4), seed=st.integers(0, 99))
def test_orthogonalise_equals_the_matrix_by_matrix_reference(rows, columns, count, seed):
    G = torch.randn(count, rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = orthogonalise(G, dtype=torch.float64)
    for matrix, expected in zip(found, G, strict=True):
        torch.testing.assert_close(matrix, one_by_one(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_orthogonalise_lifts_every_singular_value_to_about_one(dtype):
    G = torch.randn(2, 24, 60, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(G, dtype=dtype))
    assert values.min() > 0.6 and values.max() < 1.3
    assert torch.linalg.svdvals(G).max() / torch.linalg.svdvals(G).min() > 3


def test_muon_equals_a_plain_implementation():
    torch.manual_seed(0)
    shapes = {"a": (3, 5), "b": (5, 3), "c": (3, 5), "d": (7, 2)}
    ours = {name: nn.Parameter(torch.randn(shape, dtype=torch.float64)) for name, shape in shapes.items()}
    plain = {name: p.detach().clone() for name, p in ours.items()}
    buffers = {name: torch.zeros_like(p) for name, p in plain.items()}
    muon = Muon(ours, learning_rate=0.03, momentum=0.9, weight_decay=0.1)
    for factor in (0.5, 1.0, 0.25):
        for name, p in ours.items():
            p.grad = torch.randn(p.shape, dtype=torch.float64)
            g, rate = p.grad, 0.03 * factor
            buffers[name] = 0.9 * buffers[name] + 0.1 * g
            update = one_by_one(0.1 * g + 0.9 * buffers[name])
            plain[name] = plain[name] * (1 - rate * 0.1)
            plain[name] -= rate * max(1, g.shape[0] / g.shape[1]) ** 0.5 * update
        muon.step(factor)
    for name, p in ours.items():
        torch.testing.assert_close(p.detach(), plain[name], rtol=1e-9, atol=1e-12)


def test_adamw_equals_torch_with_decay_on_matrices_only():
    torch.manual_seed(0)
    ours = {"W": nn.Parameter(torch.randn(3, 5)), "b": nn.Parameter(torch.randn(7))}
    theirs = [nn.Parameter(p.detach().clone()) for p in ours.values()]
    adamw = AdamW(ours, 0.01, (0.8, 0.95), 1e-6, weight_decay=0.3)
    groups = [{"params": theirs[:1], "weight_decay": 0.3}, {"params": theirs[1:], "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.95), eps=1e-6)
    for factor in (1.0, 0.5, 0.1):
        for p, q in zip(ours.values(), theirs, strict=True):
            p.grad = torch.randn(p.shape)
            q.grad = p.grad.clone()
        for group in reference.param_groups:
            group["lr"] = 0.01 * factor
        adamw.step(factor)
        reference.step()
    for p, q in zip(ours.values(), theirs, strict=True):
        torch.testing.assert_close(p, q)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_state_that_was_saved_and_loaded_goes_on_bit_for_bit(optimizer):
    made = [toy_model("encoder") for _ in range(2)]
    optimizers = [build_optimizer(model, TrainSettings(optimizer=optimizer)) for model in made]

    def step(i, seed):
        torch.manual_seed(seed)
        for p in made[i].parameters():
            p.grad = torch.randn(p.shape)
        optimizers[i].step(0.7)

    step(0, 1)
    made[1].load_state_dict(made[0].state_dict())
    optimizers[1].load({name: t.clone() for name, t in optimizers[0].state().items()})
    step(0, 2)
    step(1, 2)
    for p, q in zip(made[0].parameters(), made[1].parameters(), strict=True):
        assert torch.equal(p, q)


def test_muon_has_the_blocks_matrices_and_adamw_the_rest():
    model = toy_model("encdec")
    matrices = hidden_matrices(model)
    assert "decoder.blocks.1.cross_attention.W_k.weight" in matrices
    assert not [name for name in matrices if "token" in name or "norm" in name or "relative" in name]
    optimizer = build_optimizer(model, TrainSettings(optimizer="muon"))
    owned = [name for part in optimizer.optimizers for name in part.parameters]
    assert sorted(owned) == sorted(name for name, _ in model.named_parameters())


def test_only_what_asks_for_gradients_is_trained():
    model = toy_model("decoder").requires_grad_(False)
    with pytest.raises(TrainingError, match="no parameter"):
        build_optimizer(model, TrainSettings())
    model.token.weight.requires_grad_()
    (adamw,) = build_optimizer(model, TrainSettings(optimizer="muon")).optimizers
    assert list(adamw.parameters) == ["token.weight"]


def test_the_rate_of_the_article():
    """Equation 3 of 2017, d^-0.5 min(t^-0.5, t w^-1.5), at any t."""
    d, w = 512, 4000
    assert noam_peak(d, w) == pytest.approx(6.99e-4, rel=1e-3)
    for t in (1, 17, 4000, 4001, 100_000):
        exact = d**-0.5 * min(t**-0.5, t * w**-1.5)
        assert noam_peak(d, w) * schedule("inverse-sqrt", t - 1, 100_000, w) == pytest.approx(exact)


@given(
    kind=st.sampled_from(["cosine", "inverse-sqrt", "wsd", "constant"]),
    steps=st.integers(1, 300),
    share=st.floats(0, 0.99),
)
def test_every_schedule_warms_up_to_at_most_the_peak_and_never_stops_learning(kind, steps, share):
    warmup = round(share * steps)
    factors = [schedule(kind, step, steps, warmup) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    assert all(math.isfinite(factor) for factor in factors)
    if warmup > 1:
        assert factors[0] == pytest.approx(1 / warmup)


def test_settings_refuse_what_cannot_be():
    for wrong in ({"warmup": 1.0}, {"schedule": "cosin"}, {"learning_rate": 0.0}, {"keep": 0}):
        with pytest.raises(ConfigError):
            TrainSettings(**wrong)


@pytest.mark.parametrize("most", [1, 15, 31, 10**6])
def test_muon_stacks_no_more_than_it_may(monkeypatch, most):
    torch.manual_seed(0)
    shapes = {"a": (3, 5), "b": (5, 3), "c": (3, 5), "d": (3, 5), "e": (3, 5)}
    start = {name: torch.randn(shape) for name, shape in shapes.items()}
    gradients = {name: torch.randn(shape) for name, shape in shapes.items()}
    stacked, real = [], muon_module.orthogonalise

    def watch(matrices, *rest, **more):
        stacked.append(matrices.numel())
        return real(matrices, *rest, **more)

    def stepped():
        parameters = {name: nn.Parameter(value.clone()) for name, value in start.items()}
        for name, parameter in parameters.items():
            parameter.grad = gradients[name].clone()
        Muon(parameters).step(1.0)
        return parameters

    expected = stepped()
    monkeypatch.setattr(muon_module, "STACKED", most)
    monkeypatch.setattr(muon_module, "orthogonalise", watch)
    found = stepped()
    assert max(stacked) <= max(15, most) and sum(stacked) == 75
    for name, parameter in found.items():
        torch.testing.assert_close(parameter, expected[name])
