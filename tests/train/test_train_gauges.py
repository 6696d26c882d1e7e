"""What is read off a running training."""

import json
import math
from dataclasses import replace

import pytest
import torch
from train_toy import Toy, toy_model, toy_settings

from liju.samples.batch import assemble
from liju.samples.steps import Steps
from liju.train import Quiet, Run, World, train, training
from liju.train.gauges import EVERY, GATHER, Movement, Stragglers, peak_memory
from liju.train.work import Work


class Two(World):
    """Two ranks, of which the other one reports `other` seconds a step."""

    other = 0.0

    def total(self, values, device="cpu"):
        return [values[0], values[1] + type(self).other] if len(values) == 2 else list(values)


def test_metrics_have_memory_every_step_and_the_size_of_an_update_now_and_then(tmp_path):
    train(toy_model("encdec"), Toy("encdec"), toy_settings(steps=EVERY + 2), tmp_path)
    lines = Run(tmp_path).metrics()
    assert all(line["memory"] > 10 * 2**20 for line in lines)
    assert [line["step"] for line in lines if "update_ratio" in line] == [1, EVERY + 1]
    assert all(0 < line["update_ratio"] < 1 for line in lines if "update_ratio" in line)
    assert "rank_seconds" not in json.dumps(lines)  # one rank has none to wait for


@pytest.mark.parametrize("family", ["encoder", "decoder", "encdec"])
def test_mfu_is_the_useful_work_over_the_time_and_the_peak(tmp_path, monkeypatch, family):
    """Of a machine of a million operations a second, so that no digit is rounded away."""
    real = training.choose
    slow = lambda *given, **more: replace(real(*given, **more), peak_flops=1e6)  # noqa: E731
    monkeypatch.setattr(training, "choose", slow)
    objective, settings = Toy(family), toy_settings(steps=3)
    train(toy_model(family), objective, settings, tmp_path)
    work, steps = Work.of(toy_model(family)), Steps(objective, settings.batch_tokens, settings.seed)
    for line in Run(tmp_path).metrics():
        samples = [objective.sample(int(number)) for number in steps.numbers(line["step"] - 1)]
        whole = work.flops([assemble([sample], pad=objective.pad) for sample in samples])
        assert line["mfu"] == pytest.approx(whole / line["seconds"] / 1e6, rel=5e-3)


def test_the_ratio_is_that_of_the_weights_before_and_after(tmp_path):
    model = toy_model("decoder")
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    train(model, Toy("decoder"), toy_settings(steps=1, warmup=0), tmp_path)
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    (line,) = Run(tmp_path).metrics()
    assert line["update_ratio"] == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-5)


def test_movement_looks_only_when_asked():
    weight = torch.nn.Parameter(torch.zeros(2))
    movement = Movement([weight], every=3)
    movement.before(1)
    assert movement.after() is None
    movement.before(3)
    with torch.no_grad():
        weight += 1
    assert movement.after() == math.inf and movement.after() is None


def test_a_rank_that_is_late_three_times_in_a_row_is_named_once():
    slow = Stragglers()
    assert [slow.named([1.0, 1.0, 1.6]) for _ in range(2)] == [[], []]
    assert slow.named([1.0, 1.0, 1.4]) == []  # not late this time: counted anew
    found = [slow.named([1.0, 1.0, 1.6]) for _ in range(5)]
    assert found == [[], [], [(2, 1.6)], [], []]
    assert all(Stragglers().named([1.0, 1.2]) == [] for _ in range(9))


def test_seconds_are_gathered_every_few_steps_and_told():
    told = []

    class Told(Quiet):
        def notice(self, text):
            told.append(text)

    slow, world = Stragglers(), Two(rank=0, size=2)
    Two.other = 5.0
    for step in range(1, GATHER + 1):
        ranks = slow.add(0.5, world)
        assert (ranks is None) == (step < GATHER)
    assert ranks == [pytest.approx(0.5), 5.0]
    assert slow.add(1.0, World()) is None
    assert peak_memory(torch.device("cpu")) > 2**20
