"""Law 2: any split of a step into micro-batches gives the same loss and the same gradients."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from train_toy import Toy, toy_model

from liju.errors import TrainingError
from liju.samples.batch import Batch, Sample, assemble
from liju.samples.layout import micro_batches
from liju.train import World, accumulate
from liju.train.parallel import Replicated
from liju.train.step import clip, seed_of

FAMILIES = ["encoder", "decoder", "encdec"]
MODELS = {family: toy_model(family, dtype=torch.float64) for family in FAMILIES}


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def of(family, batches, **more):
    model, objective = MODELS[family], Toy(family)
    measured = accumulate(model, batches, objective.weights, **more)
    return measured, gradients(model)


@settings(max_examples=12, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    numbers=st.lists(st.integers(0, 99), min_size=2, max_size=9, unique=True),
    limit=st.integers(1, 60),
    layout=st.sampled_from(["grouped", "packed", "flat"]),
)
def test_any_split_gives_the_same_loss_and_gradients(family, numbers, limit, layout):
    samples = [Toy(family).sample(number) for number in numbers]
    whole, expected = of(family, [assemble(samples)])
    split, found = of(family, micro_batches(samples, limit, layout))
    assert split.loss == pytest.approx(whole.loss, rel=1e-12)
    assert split.heads == pytest.approx(whole.heads, rel=1e-12)
    assert split.tokens == whole.tokens == sum(sum(sample.lengths) for sample in samples)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-10, atol=1e-14, msg=name)


def test_the_mean_of_means_is_another_gradient():
    """A negative control: what averaging micro-batches would give is told apart."""
    samples = [Toy("decoder").sample(number) for number in (0, 1, 7)]
    whole, expected = of("decoder", [assemble(samples)])
    parts = [of("decoder", [assemble([sample])]) for sample in samples]
    assert abs(np.mean([part.loss for part, _ in parts]) - whole.loss) > 1e-4
    name = "token.weight"
    mean = sum(found[name] for _, found in parts) / len(parts)
    assert (mean - expected[name]).abs().max() > 1e-5


def test_dropout_depends_on_seed_step_micro_batch_and_rank_alone():
    seeds = {seed_of(*key) for key in np.ndindex(2, 3, 5, 2)}
    assert len(seeds) == 60
    model, objective = toy_model("decoder", dropout=0.5), Toy("decoder")
    batches = [assemble([objective.sample(n)]) for n in (3, 4)]

    def loss(step):
        torch.rand(7)  # what other code draws changes nothing
        return accumulate(
            model.train(), batches, objective.weights, seeds=lambda i: seed_of(0, step, i, 0)
        ).loss

    assert loss(1) == loss(1) != loss(2)


def test_a_step_without_targets_says_so():
    batch = assemble([Sample(5, decoder=np.array([1, 2, 3]))])
    with pytest.raises(TrainingError, match="samples 5"):
        accumulate(toy_model("decoder"), [batch], {"words": 1.0})


def test_clip_scales_the_whole_gradient():
    a, b = torch.nn.Linear(2, 3, bias=False), torch.nn.Linear(3, 5, bias=False)
    model = torch.nn.Sequential(a, b)
    a.weight.grad, b.weight.grad = torch.full((3, 2), 2.0), torch.full((5, 3), 1.0)
    norm = (4 * 6 + 15) ** 0.5
    assert clip(model, 0.0) == pytest.approx(norm)
    assert float(a.weight.grad[0, 0]) == 2.0
    assert clip(model, 0.5) == pytest.approx(norm)
    assert clip(model, 0.5) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.filterwarnings("ignore:User provided device_type")
def test_batches_go_to_the_device_that_computes_not_to_where_the_weights_rest():
    """Under FSDP's offloading these are two. (Here is one device: the batch tells where it was asked to.)"""
    model, objective, asked = toy_model("decoder"), Toy("decoder"), []

    class Noted(Batch):
        def to(self, device):
            asked.append(device.type)
            return super().to("cpu")

    batch = assemble([objective.sample(5)])
    batch = Noted(**{field.name: getattr(batch, field.name) for field in fields(batch)})
    parallel = Replicated(World(), model)
    assert parallel.device == torch.device("cpu")
    for device in ("cpu", "cuda"):
        parallel.device = torch.device(device)
        accumulate(model, [batch], objective.weights, parallel=parallel)
    assert asked == ["cpu", "cuda"]
