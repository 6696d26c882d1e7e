import pytest
import torch

from liju.model import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.37, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_it_drops_that_share_and_keeps_the_mean(rate, dtype):
    torch.manual_seed(0)
    x = torch.ones(7, 1000, 30, dtype=dtype)
    y = Dropout(rate)(x)
    assert y.dtype == dtype
    assert float((y == 0).double().mean()) == pytest.approx(rate, abs=0.005)
    assert float(y.max()) == pytest.approx(1 / (1 - rate), rel=1e-2 if dtype == torch.bfloat16 else 1e-3)
    assert len(y.unique()) == 2


def test_places_are_dropped_apart_from_each_other():
    """Four places share a draw of 64 bits: no two of them go together more often than by chance."""
    torch.manual_seed(1)
    y = (Dropout(0.5)(torch.ones(40_000, 5)) == 0).double()
    assert torch.corrcoef(y.T).fill_diagonal_(0).abs().max() < 0.025
    lag = y.flatten()
    for apart in (1, 2, 3, 4, 8):
        assert float(torch.corrcoef(torch.stack([lag[:-apart], lag[apart:]]))[0, 1]) == pytest.approx(
            0, abs=0.015
        )


def test_the_gradient_goes_where_the_value_went():
    torch.manual_seed(2)
    x = torch.randn(3, 7, 5, requires_grad=True)
    y = Dropout(0.4)(x)
    y.sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad, (y / x).detach())
    assert (x.grad == 0).any()


def test_a_seed_gives_the_same_and_two_seeds_do_not():
    x, dropout, found = torch.ones(2, 301), Dropout(0.2), []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        found.append(dropout(x))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_nothing_is_drawn_without_a_rate_or_training():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    x = torch.ones(3)
    assert Dropout(0.0)(x) is x and Dropout(0.5).eval()(x) is x
    assert torch.equal(before, torch.get_rng_state())
