"""Laws 1 and 2 with the objectives that are used: packed = grouped = alone, whatever the micro-batches."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laws_toys import FAMILY, OBJECTIVES, model, objective

from liju.objective import losses
from liju.project.laws import check_laws
from liju.samples import assemble, micro_batches
from liju.train import accumulate

each = pytest.mark.parametrize("name", OBJECTIVES)
# A group of pairs is several segments by itself, in several rows (tests/finetune/test_finetune_embedding.py).
one_segment = pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "groups"])


def gradients(network):
    found = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad(set_to_none=True)
    return found


def one_by_one(network, task, samples):
    """The loss of a step from its definition: every sample alone, summed, divided by all the weights."""
    sums, weights = {}, {}
    for sample in samples:
        for head, (part, weight) in losses(network, assemble([sample]), task.label_smoothing).items():
            sums[head] = sums.get(head, 0.0) + part
            weights[head] = weights.get(head, 0.0) + weight
    total = sum(task.weights[head] * part / weights[head] for head, part in sums.items())
    total.backward()
    return total.item(), gradients(network)


@st.composite
def splits(draw):
    """Numbers of samples in groups, and a layout for each group."""
    numbers = draw(st.lists(st.integers(0, 200), min_size=2, max_size=7, unique=True))
    cuts = sorted(draw(st.sets(st.integers(1, len(numbers) - 1), max_size=3)))
    groups = [part.tolist() for part in np.split(np.array(numbers), cuts)]
    how = st.tuples(
        st.sampled_from(["grouped", "packed", "flat"]), st.integers(1, 150), st.sampled_from([0, 60])
    )
    return [(group, *draw(how)) for group in groups]


@each
@settings(max_examples=8, deadline=None)
@given(splits())
def test_any_layout_and_split_is_the_samples_one_by_one(name, groups):
    task, network = objective(name), model(name)
    samples = [task.sample(number) for group, *_ in groups for number in group]
    want, want_gradients = one_by_one(network, task, samples)
    batches = []
    for group, layout, limit, width in groups:
        batches += micro_batches([task.sample(n) for n in group], limit, layout, task.pad, width)
    measured = accumulate(network, batches, task.weights, task.label_smoothing)
    assert measured.loss == pytest.approx(want, rel=1e-12)
    found = gradients(network)
    assert found.keys() == want_gradients.keys()
    for parameter, gradient in want_gradients.items():
        bound = 1e-12 * max(1.0, float(gradient.abs().max()))
        assert float((found[parameter] - gradient).abs().max()) <= bound, parameter
    assert sorted(n for batch in batches for n in batch.samples) == sorted(s.number for s in samples)


@one_segment
def test_several_samples_do_lie_in_one_row(name):
    """The laws above would hold of rows of one sample each whatever attention did."""
    task = objective(name)
    samples = [task.sample(number) for number in range(6)]
    (batch,) = micro_batches(samples, 10**6, "packed", task.pad, 60)
    assert int(batch.predicting.segment.max()) > 1
    if name == "masked":
        assert batch.encoder.types.max() == 1 and len(batch.targets["next_sentence"].index) > 1


@one_segment
def test_what_one_sample_says_changes_no_other(name):
    """Law 8 within a row: another neighbour, and the losses of a sample are bit for bit the same."""
    task, network = objective(name), model(name).eval()
    first, second, third = (task.sample(number) for number in (0, 1, 2))

    def altered(ids):
        return None if ids is None else (ids + 7) % network.config.vocab_size

    other = replace(second, encoder=altered(second.encoder), decoder=altered(second.decoder))
    batch, changed = (assemble([first, each, third], [[0, 1, 2]], task.pad) for each in (second, other))
    one, two = network(batch), network(changed)
    mine = batch.predicting.segment[0] != 2
    assert torch.equal(one[0, mine], two[0, mine])
    assert not torch.equal(one[0, ~mine], two[0, ~mine])


@each
def test_a_bundle_is_told_that_the_laws_hold_of_it(name):
    task, network = objective(name), model(name, torch.float32)
    laws = check_laws(network, task)
    assert set(laws) == ({"1", "2"} if FAMILY[name] == "encoder" else {"1", "2", "4"})
    assert all(law["holds"] and law["difference"] < 1e-4 for law in laws.values())
    assert network.training  # as it was


def test_a_broken_law_is_told(monkeypatch):
    """A network that looks over the borders of segments: law 1 does not hold of it, and that is said."""
    from liju.samples import Side

    task, network = objective("causal"), model("causal", torch.float32)
    plain = network.decode

    def over_borders(side, *more, **how):
        one = torch.ones_like(side.segment)
        places = torch.arange(side.tokens.shape[1]).expand_as(side.tokens)
        return plain(Side(side.tokens, one, places), *more, **how)

    monkeypatch.setattr(network, "decode", over_borders)
    laws = check_laws(network, task)
    assert not laws["1"]["holds"] and laws["1"]["difference"] > laws["1"]["bound"]
