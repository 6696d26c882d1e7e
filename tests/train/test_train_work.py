"""Useful FLOPs: each part against what torch counts when it computes just that."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from train_toy import Toy, toy_model

from liju.model import Transformer, TransformerConfig
from liju.objective import losses
from liju.samples.batch import assemble
from liju.samples.layout import micro_batches
from liju.train.work import Work, pairs_within

FAMILIES = ["encoder", "decoder", "encdec"]


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_of_one_length_are_what_torch_counts(family):
    """Without padding nothing differs but the half of a causal order that it hides."""
    model, objective = toy_model(family), Toy(family)
    numbers = [n for n in range(41) if objective._size(n) == 7]
    batch = assemble([objective.sample(n) for n in numbers])
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        sum(part for part, _ in losses(model, batch).values()).backward()
    work = Work.of(model)
    found, n, rows = work.flops([batch]), 7, len(numbers)
    hidden = 2 * rows * n * (n - 1) / 2  # pairs after the query, in two causal layers
    unseen = 12 * work.each_pair * (hidden if family != "encoder" else 0)
    assert counter.get_total_flops() == pytest.approx(found + unseen, rel=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_layout_and_padding_change_nothing(family):
    objective = Toy(family)
    work = Work.of(toy_model(family))
    samples = [objective.sample(n) for n in range(30)]
    alone = work.flops([assemble([sample]) for sample in samples])
    for layout in ("grouped", "packed", "flat"):
        batches = micro_batches(samples, 90, layout, objective.pad)
        assert any(batch.tokens < batch.places for batch in batches) == (layout != "flat")
        assert work.flops(batches) == pytest.approx(alone)


@given(st.integers(1, 40), st.booleans(), st.integers(0, 12))
def test_pairs_are_those_of_the_mask(n, causal, window):
    distance = np.arange(n)[None] - np.arange(n)[:, None]
    seen = distance <= 0 if causal else np.ones((n, n), bool)
    if window:
        seen = seen & (abs(distance) <= window)
    assert float(pairs_within(torch.tensor([float(n)]), causal, window)) == seen.sum()


def test_windows_are_counted_by_layer():
    def flops(**more):
        config = TransformerConfig.default(
            "encoder", vocab_size=17, d_model=12, num_heads=3, num_layers=5, max_length=16, **more
        )
        return Work.of(Transformer(config)).flops([batch])

    batch = assemble([Toy("encoder").sample(n) for n in range(9)])
    assert flops(window=99) == flops() > flops(window=2, global_every=2) > flops(window=2)


def test_heads_count_their_targets_and_another_kind_of_network_its_matrices():
    model, objective = toy_model("encoder"), Toy("encoder")
    work = Work.of(model)
    inside = sum(p.numel() for n, p in model.named_parameters() if ".blocks." in n and p.ndim == 2)
    assert work.weights == inside and work.heads["words"] == 17 * 12 + 12 * 12
    batch = assemble([objective.sample(n) for n in (1, 2)])  # of unequal lengths: one is padded
    words = len(batch.targets["words"].index)
    pairs = 2 * sum(len(objective.sample(n).encoder) ** 2 for n in (1, 2))
    assert work.heads["next_sentence"] == 2 * 12 + 12 * 12
    expected = inside * batch.tokens + words * work.heads["words"] + 2 * work.heads["next_sentence"]
    assert work.flops([batch]) == pytest.approx(6 * expected + 12 * 12 * pairs)
    plain = torch.nn.ModuleDict({"blocks": torch.nn.Linear(3, 5)})
    assert Work.of(plain).flops([batch]) == 6 * 15 * batch.tokens
