"""One flat line is the rows that CPUs take: losses and gradients (laws 1 and 2), held-out losses, and a run
that goes on in another layout (law 3). Through a mask, since there is no GPU here; for the kernel's own
operator see tests/model/test_model_varlen.py."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laws_toys import FAMILY, LENGTH, OBJECTIVES, model, objective

from liju.finetune.embedding import Groups
from liju.model import Transformer, TransformerConfig
from liju.objective import held_out, held_out_by
from liju.objective.examples import tokenizer
from liju.samples import micro_batches
from liju.train import TrainSettings, accumulate, train

ALL = [*OBJECTIVES, "vectors"]
WORDS = ["春天 来了", "spring came", "冬天", "winter is here", "the sky", "天", "a cup of tea", "茶"]
WORDS += ["苦 茶", "bitter"]


def task_of(name):
    if name != "vectors":
        return objective(name)
    pairs = [(a, b, "no" * (i % 2)) for i, (a, b) in enumerate(zip(WORDS[::2], WORDS[1::2], strict=True))]
    return Groups(pairs, tokenizer("encoder"), max_length=LENGTH, group=2)


def network_of(name):
    if name != "vectors":
        return model(name)
    torch.manual_seed(5)
    shape = {"d_model": 12, "num_heads": 3, "num_layers": 2, "max_length": LENGTH}
    config = TransformerConfig.default("encoder", vocab_size=tokenizer("encoder").size, **shape)
    return Transformer(config).double().train()


def of(network, task, batches):
    measured = accumulate(network, batches, task.weights, task.label_smoothing)
    found = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad(set_to_none=True)
    return measured, found


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=6, deadline=None)
@given(numbers=st.lists(st.integers(0, 90), min_size=2, max_size=7, unique=True), limit=st.integers(1, 150))
def test_a_flat_line_is_the_grouped_rows(name, numbers, limit):
    task, network = task_of(name), network_of(name)
    samples = [task.sample(number) for number in numbers]
    flat = micro_batches(samples, limit, "flat", task.pad)
    for batch in flat:
        assert batch.places == batch.tokens  # nothing is empty
        assert len(batch.predicting.tokens) == 1
        assert batch.places <= limit or len(batch.samples) == 1
    assert sorted(n for batch in flat for n in batch.samples) == sorted(numbers)
    want, expected = of(network, task, micro_batches(samples, limit, "grouped", task.pad))
    got, found = of(network, task, flat)
    assert got.loss == pytest.approx(want.loss, rel=1e-12)
    assert (got.tokens, got.places) == (want.tokens, want.tokens)
    assert found.keys() == expected.keys()
    for parameter, gradient in expected.items():
        bound = 1e-12 * max(1.0, float(gradient.abs().max()))
        assert float((found[parameter] - gradient).abs().max()) <= bound, parameter


@pytest.mark.parametrize("name", ALL)
def test_held_out_losses_are_the_same(name):
    task, network = task_of(name), network_of(name)
    want = held_out(network, task, 120, "grouped")
    assert held_out(network, task, 120, "flat") == pytest.approx(want, rel=1e-12)
    assert held_out(network, task, 120) == want  # a CPU's own
    groups = {"loss/": ["a", "b"] * (task.size // 2) + ["a"] * (task.size % 2)}
    both = [held_out_by(network, task, groups, 120, layout) for layout in ("grouped", "flat")]
    assert both[1] == pytest.approx(both[0], rel=1e-12)
    assert {"loss/a", "loss/b"} <= both[0].keys()


def curve(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    seen = [(line["step"], line["samples"], line["tokens"]) for line in lines]
    return seen, [line["loss"] for line in lines]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_run_goes_on_in_another_layout(tmp_path, name):
    """The samples are those of the run that was never stopped, in the same steps, and so is the curve. What
    is the last step's gradient to rounding, AdamW makes a step of: the bound is wider than a gradient's."""
    how = {
        "steps": 6, "batch_tokens": 60, "micro_batch_tokens": 50, "learning_rate": 1e-2, "save_every": 2,
        "evaluate_every": 50, "compile": "off", "device": "cpu",
    }  # fmt: skip

    def run(folder, **more):
        stop, resume = more.pop("stop_after", None), more.pop("resume", False)
        network = model(name)
        train(network, objective(name), TrainSettings(**how, **more), tmp_path / folder, stop_after=stop,
              resume=resume)  # fmt: skip
        return network.state_dict()

    straight = run("straight", layout="grouped")
    flat = run("flat", layout="flat")
    run("changed", layout="flat", stop_after=2)
    run("changed", layout="packed", stop_after=4, resume=True)
    changed = run("changed", layout="grouped", resume=True)
    seen, losses = curve(tmp_path / "straight")
    for folder in ("flat", "changed"):
        same, other = curve(tmp_path / folder)
        assert same == seen and other == pytest.approx(losses, rel=1e-9)
    for key, tensor in straight.items():
        for other in (flat, changed):
            assert float((other[key] - tensor).abs().max()) <= 1e-6, key


def test_flat_lines_resumed_are_the_straight_run_to_the_bit(tmp_path):
    for name in ("masked", "translation"):
        how = TrainSettings(steps=5, batch_tokens=60, micro_batch_tokens=50, save_every=2, compile="off",
                            layout="flat", device="cpu", precision="float32")  # fmt: skip

        def run(folder, name=name, how=how, **more):
            network = model(name, torch.float32, dropout=0.1)
            train(network, objective(name), how, tmp_path / name / folder, **more)
            return network.state_dict()

        straight = run("straight")
        run("parts", stop_after=3)
        parts = run("parts", resume=True)
        assert all(torch.equal(parts[key], straight[key]) for key in straight)


def test_every_family_is_here():
    assert {FAMILY[name] for name in OBJECTIVES} == {"encoder", "decoder", "encdec"}
