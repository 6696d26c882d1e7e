"""The probe and the summary."""

from __future__ import annotations

import json

import pytest

from liju.model import TransformerConfig
from liju.plan import Memory, kv_cache_bytes, plan, probe, serving_memory, training_memory


def test_probe_takes_the_median_and_leaves_out_the_warm_up():
    now, costs = [0.0], iter([100.0, 2.0, 50.0, 2.0, 2.0, 2.0])

    def step():
        now[0] += next(costs)

    speed = probe(step, tokens=30, seconds=55, clock=lambda: now[0])
    assert (speed.seconds_per_step, speed.tokens_per_second, speed.steps) == (2.0, 15.0, 4)


def test_plan_is_one_json_object():
    config = TransformerConfig.default("decoder", vocab_size=97, d_model=12, num_heads=3, num_layers=2)
    figures = json.loads(json.dumps(plan(config, 1000, tokens_per_second=50).to_json()))
    wanted = {"parameters", "tokens", "flops_per_token", "training_flops", "seconds", "memory_bytes"}
    assert wanted | {"cost_usd", "mfu", "layout", "loss"} <= set(figures)
    assert figures["seconds"] == 20 and figures["training_flops"] == figures["flops_per_token"] * 1000
    assert figures["cost_usd"] is None and figures["memory"]["total"] == figures["memory_bytes"]
    priced = plan(config, 1000, tokens_per_second=50, price=1.8, devices=2)
    assert priced.cost_usd == pytest.approx(1.8 * 2 * 20 / 3600)


def test_memory_states():
    config = TransformerConfig(vocab_size=97, d_model=12, num_heads=3, num_layers=2)
    adamw = training_memory(config, 64, 16)
    muon = training_memory(config, 64, 16, optimizer="muon")
    assert adamw.optimizer == 2 * adamw.weights and adamw.weights < muon.optimizer < adamw.optimizer
    assert training_memory(config, 128, 16).activations == pytest.approx(2 * adamw.activations, rel=0.01)
    assert isinstance(adamw, Memory) and adamw.total == sum(
        (
            adamw.weights,
            adamw.gradients,
            adamw.optimizer,
            adamw.activations,
            adamw.logits,
            adamw.workspace,
            adamw.allocator,
        )
    )


def test_sides_of_unlike_length_share_the_places():
    config = TransformerConfig.default("encdec", vocab_size=97, d_model=12, num_heads=3, num_layers=2)
    alike, unlike = training_memory(config, 120, 20), training_memory(config, 120, 20, 10)
    assert alike == training_memory(config, 120, 20, 20)
    assert unlike.logits == 12 * 40 * 97 and alike.logits == 12 * 60 * 97
    assert unlike.activations < alike.activations  # the decoder's side keeps more, and is shorter


@pytest.mark.parametrize(
    ("layers", "kv_heads", "d_k", "per_token"),
    [(32, 8, 128, 131_072), (96, 96, 128, 4_718_592), (118, 1, 256, 120_832)],
    ids=["llama3-8b", "gpt3-175b", "palm-540b"],
)
def test_cache_of_known_models(layers, kv_heads, d_k, per_token):
    config = TransformerConfig.default(
        "decoder", vocab_size=11, d_model=96, num_layers=layers, num_heads=96, num_kv_heads=kv_heads, d_k=d_k
    )
    assert kv_cache_bytes(config, 1) == per_token
    assert serving_memory(config, 7, precision="bfloat16").cache == 7 * per_token
