"""Machines, layouts and whole plans: what must hold whatever the figures are."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.errors import RequestError
from liju.model import TransformerConfig
from liju.plan import (
    SHARDS,
    Layout,
    choose_layout,
    count_parameters,
    device_memory,
    flops_per_token,
    gather_seconds,
    largest_block,
    largest_model,
    machine,
    machines,
    parse_machine,
    plan,
    scaled,
    step_seconds,
    table,
)
from liju.plan.layout import ROOM

A100 = machine("a100")


def decoder(d, layers, heads, vocab=32000, **more) -> TransformerConfig:
    switches = {"vocab_size": vocab, "d_model": d, "num_layers": layers, "num_heads": heads}
    return TransformerConfig.default("decoder", **switches, **more)


SMALL = decoder(768, 12, 12, max_length=1024)
SEVEN = decoder(4096, 32, 32, d_ff=11008, max_length=2048, tied=False)
HUGE = decoder(12288, 96, 96, d_ff=49152, max_length=2048)


@pytest.mark.parametrize("key", machines())
def test_every_machine_says_where_its_figures_come_from(key):
    found = machine(key)
    assert found.source and found.measured and found.priced and found.key == key
    assert 0.1 < found.mfu < 0.7 and found.price > 0 and found.node > 1
    assert found.peak_of("bfloat16") > 1e13 and 1e10 < found.memory < 2e11
    assert found.memory < found.bandwidth < 6e12 and found.network < found.link < found.bandwidth


def test_a_machine_is_named_rightly():
    assert parse_machine("tpu-v4:6,144") == ("tpu-v4", 6144) and parse_machine("h100") == ("h100", 1)
    for text in ("a100:0", "a100:-3", "a100:many", "a100:", "a100:1.5"):
        with pytest.raises(RequestError, match="above 0"):
            parse_machine(text)
    with pytest.raises(RequestError) as error:
        machine("a10")
    assert "a100" in error.value.hint
    with pytest.raises(RequestError, match="no peak in 'float8'"):
        A100.peak_of("float8")


def test_small_models_are_copied_and_large_ones_shared():
    small = choose_layout(SMALL, A100, 8, 1024)
    assert (small.data, small.tensor, small.shard, small.checkpointing) == (8, 1, "none", "none")
    seven = choose_layout(SEVEN, A100, 8, 2048)
    assert seven.shard == "weights" and seven.fits and seven.devices == 8
    huge = choose_layout(HUGE, A100, 1024, 2048, batch=2**21)
    assert huge.tensor > 1 and huge.shard == "weights" and "groups take" in huge.reason
    for config, layout in ((SMALL, small), (SEVEN, seven), (HUGE, huge)):
        length = config.max_length
        assert device_memory(config, layout, length).total <= ROOM * A100.memory
    # With little to compute a step, messages decide; with much, they hide.
    few, many = (choose_layout(SEVEN, A100, 64, 2048, batch=64 * n * 2048) for n in (1, 8))
    assert few.tensor > 1 and "groups take" in few.reason and many.tensor == 1
    # In groups of one the weights would come slower than they are used.
    alone = replace(huge, tensor=1, data=1024)
    assert gather_seconds(HUGE, A100, alone, 1024) > step_seconds(HUGE, A100, alone, 2048, 0, 1024)


def test_what_does_not_fit_says_what_would():
    layout = choose_layout(HUGE, A100, 8, 2048)
    assert not layout.fits and "does not fit" in layout.reason
    enough = int(layout.reason.split("a100:")[1].split()[0])
    assert choose_layout(HUGE, A100, enough, 2048).fits
    figures = plan(HUGE, 10**9, A100, 8, precision="bfloat16")  # and the rest of the plan is still there
    assert figures.cost_usd and figures.memory_bytes > A100.memory
    with pytest.raises(RequestError, match="multiples of tensor 5"):
        choose_layout(HUGE, A100, 10, 2048, tensor=5)


def test_few_sequences_need_groups():
    """A step of 4 sequences leaves 12 of 16 devices idle, unless they share the matrices."""
    layout = choose_layout(SEVEN, A100, 16, 2048, batch=4 * 2048)
    assert layout.tensor >= 4
    assert choose_layout(SEVEN, A100, 16, 2048, batch=64 * 2048).tensor == 1


@settings(max_examples=60, deadline=None)
@given(
    data=st.integers(1, 64),
    tensor=st.sampled_from([1, 2, 3, 6]),
    shard=st.sampled_from(SHARDS),
    micro=st.integers(1, 5),
)
def test_more_devices_never_need_more_memory_each(data, tensor, shard, micro):
    config = decoder(72, 3, 6, vocab=101, d_ff=30, dropout=0.1)

    def need(layout):
        return device_memory(config, layout, 14)

    layout = Layout(data, tensor, shard, "none", micro)
    own = need(layout)
    assert need(replace(layout, tensor=tensor * 2)).total <= own.total
    more = need(replace(layout, data=data + 1))
    gathered = 4 * largest_block(config)  # whole blocks that visit, from two devices on
    assert more.total <= own.total + (gathered if shard == "weights" else 0) + 1
    stages = [need(replace(layout, shard=one)) for one in SHARDS]
    for a, b in pairwise(stages):
        assert b.weights + b.gradients + b.optimizer <= a.weights + a.gradients + a.optimizer
    kept = [need(replace(layout, checkpointing=how)).activations for how in ("none", "selective")]
    assert kept[1] <= kept[0]
    assert need(replace(layout, micro_batch=micro + 1)).activations > own.activations
    wide = device_memory(config, layout, 14, precision="float32")
    assert wide.weights == pytest.approx(2 * own.weights, abs=2)
    assert wide.activations == pytest.approx(2 * own.activations, abs=2)
    state = wide.weights + wide.gradients + wide.optimizer
    if shard == "none":
        assert state == pytest.approx(16 * count_parameters(config).total / tensor, abs=4)


def test_the_largest_model_fits_and_the_next_does_not():
    found = largest_model(SEVEN, A100, 8, 2048)
    assert found is not None

    def fits(config) -> bool:
        needs = [device_memory(config, Layout(8 // t, t, "weights", "full"), 2048).total for t in (1, 2, 4)]
        needs.append(device_memory(config, Layout(1, 8, "none", "full"), 2048).total)
        return min(needs) <= ROOM * A100.memory

    assert fits(found) and not fits(scaled(SEVEN, found.d_model + 64))
    palm = decoder(18432, 118, 48, 256000, d_k=256, num_kv_heads=1, norm_place="parallel")
    pod = largest_model(palm, machine("tpu-v4"), 6144, 2048)
    assert pod is not None and count_parameters(pod).total > 540e9  # they did train it there
    assert found.d_model % 64 == 0 and found.num_layers == round(32 * found.d_model / 4096)
    assert largest_model(SEVEN, A100, 8, 10**9) is None


def test_what_is_computed_again_takes_longer_and_uses_the_model_less():
    kept = plan(SEVEN, 10**9, A100, 8, precision="bfloat16", checkpointing="none", batch=2**21)
    again = plan(SEVEN, 10**9, A100, 8, precision="bfloat16", checkpointing="full", batch=2**21)
    assert again.seconds == pytest.approx(4 / 3 * kept.seconds, rel=0.02)
    assert kept.mfu == pytest.approx(A100.mfu) and again.mfu == pytest.approx(3 / 4 * A100.mfu, rel=0.02)
    assert again.training_flops == kept.training_flops
    given = plan(SEVEN, 10**9, A100, 8, precision="bfloat16", mfu=0.5)
    assert given.seconds == pytest.approx(given.training_flops / (8 * 312e12 * 0.5))
    assert given.cost_usd == pytest.approx(given.seconds / 3600 * 8 * A100.price)


@pytest.mark.parametrize(
    ("recompute", "weights", "attention"), [("none", 6, 12), ("selective", 6, 16), ("full", 8, 16)]
)
def test_recomputation_is_8n(recompute, weights, attention):
    config = decoder(24, 5, 3, vocab=101)
    parts = count_parameters(config)
    blocks = parts.attention + parts.feedforward
    by_hand = weights * blocks + attention * 5 * 24 * 32 + 6 * 101 * 24
    assert flops_per_token(config, 32, recompute=recompute) == pytest.approx(by_hand)
    half = flops_per_token(config, 32, recompute=recompute, causal=True)
    assert half == pytest.approx(by_hand - attention / 2 * 5 * 24 * 32)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tokens": 0}, "tokens must be above 0"),
        ({"tokens": 10, "devices": 0}, "devices must be above 0"),
        ({"tokens": 10, "mfu": 40.0}, "a share of the peak"),
        ({"tokens": 10, "mfu": -1.0}, "mfu must be above 0"),
        ({"tokens": 10, "price": -2.0}, "dollars a device hour"),
    ],
)
def test_wrong_figures_are_told(wrong, message):
    with pytest.raises(RequestError, match=message):
        plan(SMALL, wrong.pop("tokens"), A100, precision="bfloat16", **wrong)


def test_the_table_has_every_figure_and_its_reason():
    figures = plan(SMALL, 10**10, A100, 64, precision="bfloat16", serve=5)
    text = table(figures, SMALL, A100, "gpt", width=100)
    assert text.startswith("gpt: decoder of 12 blocks") and "on 64 × NVIDIA A100" in text
    for label in (
        "parameters",
        "FLOPs",
        "training",
        "layout",
        "memory",
        "largest",
        "serving",
        "time",
        "cost",
    ):
        assert any(line.startswith(label) for line in text.splitlines()), label
    assert "12·L·H·d_k·s" in text and "read 2026" in text and "three" not in text
    assert all(len(line) <= 100 for line in text.splitlines()[3:])
    assert f"{figures.serving.cache / 1e6:,.1f} MB" in text
    # Below the fits' range there is no loss to tell of.
    assert "\nloss" in text and plan(decoder(48, 2, 3), 10**6).loss == {}
