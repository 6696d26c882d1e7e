import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju.samples import Order


@given(size=st.integers(1, 3000), seed=st.integers(0, 9), which=st.integers(0, 3))
def test_every_pass_is_a_permutation(size, seed, which):
    order = Order("data", seed, size)
    places = np.arange(which * size, (which + 1) * size)
    assert np.array_equal(np.sort(order.take(places)), np.arange(size))


@given(size=st.integers(2, 500), numbers=st.lists(st.integers(0, 5000), min_size=1, max_size=20))
def test_one_by_one_is_all_at_once(size, numbers):
    order = Order("data", 3, size)
    assert [order[n] for n in numbers] == order.take(np.array(numbers)).tolist()


def test_passes_seeds_and_data_differ():
    size = 1000
    first = Order("data", 0, size).take(np.arange(2 * size))
    assert not np.array_equal(first[:size], first[size:])
    assert not np.array_equal(first[:size], Order("data", 1, size).take(np.arange(size)))
    assert not np.array_equal(first[:size], Order("other", 0, size).take(np.arange(size)))


def test_it_is_well_mixed():
    """Neighbours in the order are no neighbours in the data, and no place prefers a sample."""
    size = 4096
    order = Order("data", 0, size).take(np.arange(size))
    assert abs(np.corrcoef(np.arange(size), order)[0, 1]) < 0.05
    assert np.abs(np.diff(order)).mean() == pytest.approx(size / 3, rel=0.1)
    first = [Order("data", seed, 7).take(np.arange(1))[0] for seed in range(700)]
    assert np.bincount(first, minlength=7).min() > 60


def test_it_is_the_same_on_every_machine():
    assert Order("例句", 0, 10).take(np.arange(10)).tolist() == FROZEN


FROZEN = [0, 7, 9, 4, 1, 3, 5, 8, 2, 6]  # a change breaks the resuming of every run there is
