"""Steps that are left out: a NaN, a spike, the limit, and law 3 across them."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from train_toy import VOCAB, Told, Toy, toy_model, toy_settings

from liju.errors import TrainingError
from liju.samples.steps import Steps
from liju.train import Run, TrainSettings, newest, train
from liju.train.spikes import LEAST, WINDOW, Spikes, robust_z


class Bad(torch.nn.Module):
    """An embedding that gives NaN for the last token, which only a poisoned sample has; with a finite `value`
    the gradient of that token's row is that many times as large."""

    def __init__(self, inner, value):
        super().__init__()
        self.inner, self.value = inner, value

    def forward(self, tokens):
        hidden = self.inner(tokens)
        if math.isfinite(self.value):
            other = hidden.detach() + self.value * (hidden - hidden.detach())
        else:
            other = self.value
        return torch.where((tokens == VOCAB - 1)[..., None], other, hidden)

    @property
    def weight(self):
        return self.inner.weight


class Poisoned(Toy):
    """Samples `bad` have the last token."""

    def __init__(self, family, bad):
        super().__init__(family)
        self.bad = set(bad)

    def sample(self, number):
        self.poison = number if number in self.bad else -1
        return super().sample(number)


def samples_of(settings, *steps):
    """A sample of each of these steps, counted from 1."""
    order = Steps(Toy("decoder"), settings.batch_tokens, settings.seed)
    return [int(order.numbers(step - 1)[1]) for step in steps]


def run(folder, bad, value=math.nan, live=None, resume=False, stop_after=None, **more):
    settings = toy_settings(**{"save_every": 1, "keep": 99, **more})
    model = toy_model("decoder", dropout=0.1)
    model.token = Bad(model.token, value)
    objective = Poisoned("decoder", samples_of(settings, *bad))
    result = train(model, objective, settings, folder, live=live, resume=resume, stop_after=stop_after)
    return result, {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_step_with_a_nan_is_left_out_and_written_down(tmp_path):
    told = Told()
    result, weights = run(tmp_path, [5], live=told)
    assert result.skipped == [5] and result.step == 12 and math.isfinite(result.loss)
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    (sample,) = samples_of(toy_settings(), 5)
    (line,) = [json.loads(text) for text in (tmp_path / "skipped.jsonl").read_text().splitlines()]
    assert line["step"] == 5 and line["alone"] == [sample] and sample in line["samples"]
    assert line["tensor"] == "the output of token (Bad)" and line["why"] == "not a finite number"
    lines = Run(tmp_path).metrics()
    assert [one["step"] for one in lines] == list(range(1, 13))
    assert [one["step"] for one in lines if "skipped" in one] == [5] and "loss" not in lines[4]
    assert any(text.startswith("step 5 left out: not a finite number") for text in told.notices)
    # The optimizer was not touched: weights and memory of step 5 are those of step 4.
    for name in ("model.safetensors", "optimizer.safetensors"):
        a, b = ((tmp_path / f"checkpoints/step-00000{n}" / name).read_bytes() for n in (4, 5))
        assert a == b, name


def test_law_3_stopped_before_at_and_after_a_skip(tmp_path):
    _, straight = run(tmp_path / "straight", [5, 9])
    for at in (4, 5, 6):
        stopped, half = run(tmp_path / str(at), [5, 9], stop_after=at)
        assert stopped.stopped and not same(half, straight)
        result, found = run(tmp_path / str(at), [5, 9], resume=True)
        assert result.skipped == [5, 9] and same(found, straight), at
        assert len((tmp_path / str(at) / "skipped.jsonl").read_text().splitlines()) == 2


def test_the_limit_ends_the_run_and_names_what_was_left_out(tmp_path):
    with pytest.raises(TrainingError) as caught:
        run(tmp_path, [3, 5, 8], max_skips=2)
    assert caught.value.message.startswith("step 8: not a finite number, first in the output of token")
    assert caught.value.message.endswith("already left out: steps 3, 5")
    assert json.loads((tmp_path / "failure.json").read_text())["skipped"] == [3, 5]
    assert newest(tmp_path / "checkpoints").step == 7
    # More may be left out by the same run, gone on with: nothing else changes.
    result, found = run(tmp_path, [3, 5, 8], max_skips=3, resume=True)
    assert result.skipped == [3, 5, 8]
    assert same(found, run(tmp_path / "straight", [3, 5, 8])[1])


def test_a_spike_is_left_out_where_it_is_asked_for(tmp_path):
    """One sample of one step gives a gradient that is finite and far above all others."""
    how = {"steps": LEAST + 9, "value": 1e6, "batch_tokens": 30, "save_every": 30, "clip": 1e9}
    at = LEAST + 4
    usual, _ = run(tmp_path / "usual", [at], **how)
    assert usual.skipped == []
    told = Told()
    result, straight = run(tmp_path / "straight", [at], **how, spike=15, live=told)
    assert result.skipped == [at]
    line = json.loads((tmp_path / "straight/skipped.jsonl").read_text())
    assert set(samples_of(toy_settings(**{"batch_tokens": 30}), at)) <= set(line["samples"])
    assert "deviations over the last" in line["why"] and any("left out" in text for text in told.notices)
    for stop in (at - 1, at):  # the window is part of the checkpoint
        run(tmp_path / str(stop), [at], **how, spike=15, stop_after=stop)
        again, found = run(tmp_path / str(stop), [at], **how, spike=15, resume=True)
        assert again.skipped == [at] and same(found, straight)
    with pytest.raises(TrainingError, match=r"gradient norm .*deviations over the last .* samples"):
        run(tmp_path / "none", [at], **how, spike=15, max_skips=0)


def test_nothing_is_left_out_of_a_healthy_run(tmp_path):
    for family in ("encoder", "decoder", "encdec"):
        settings = toy_settings(steps=70, batch_tokens=30, spike=20, save_every=99)
        result = train(toy_model(family), Toy(family), settings, tmp_path / family)
        assert result.skipped == [] and not (tmp_path / family / "skipped.jsonl").exists()
    assert TrainSettings().spike == 0 and TrainSettings().max_skips == 3


@given(st.lists(st.floats(0.1, 9), min_size=LEAST, max_size=WINDOW), st.floats(0.1, 9), st.floats(0.1, 50))
def test_what_is_below_the_median_is_no_spike_and_the_limit_is_monotone(seen, value, limit):
    pairs = [(x, 1.0) for x in seen]
    low = min(value, float(np.median(seen)))
    assert Spikes(limit, pairs).found(low, 1.0) == ""
    if Spikes(2 * limit, pairs).found(value, 1.0):
        assert Spikes(limit, pairs).found(value, 1.0)
    # A number more or less among many moves it little: the same shift of all moves nothing.
    assert robust_z(value + 1, [x + 1 for x in seen]) == pytest.approx(robust_z(value, seen), abs=1e-6)


def test_the_window_is_short_and_a_new_level_becomes_the_usual_one():
    spikes = Spikes(10)
    for n in range(300):
        spikes.found(2 + 0.1 * math.sin(n), 1.0)
    assert len(spikes.seen) == WINDOW
    found = [bool(spikes.found(6 + 0.1 * math.sin(n), 1.0)) for n in range(100)]
    assert found[0] and found[40] and not any(found[WINDOW // 2 + 2 :])
    assert Spikes(0).found(1e9, 1e9) == "" and Spikes(0).seen == []
