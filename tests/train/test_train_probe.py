import json

import pytest
import torch
from train_toy import Toy, toy_model, toy_settings

from liju.samples.batch import assemble
from liju.train import TrainSettings, choose, probe
from liju.train.probe import blocks, compiling_pays


@pytest.mark.parametrize(("ratio", "precision"), [(0.2, "float32"), (1.2, "float32"), (3.0, "bfloat16")])
def test_bfloat16_is_taken_only_where_it_measured_faster(monkeypatch, ratio, precision):
    monkeypatch.setattr(probe, "speeds", lambda *_: {"float32": 1e9, "bfloat16": ratio * 1e9})
    assert choose(toy_model("decoder"), TrainSettings(device="cpu")).precision == precision


def test_what_is_asked_for_by_name_is_not_measured(monkeypatch):
    monkeypatch.setattr(probe, "speeds", lambda *_: pytest.fail("measured"))
    asked = TrainSettings(precision="bfloat16", compile="on", layout="packed", device="cpu")
    chosen = choose(toy_model("decoder"), asked)
    assert (chosen.precision, chosen.compile, chosen.layout) == ("bfloat16", True, "packed")
    double = choose(toy_model("decoder", dtype=torch.float64), TrainSettings(device="cpu"))
    assert double.precision == "float32"  # that is: no autocast


def test_what_was_chosen_before_stays(monkeypatch):
    before = choose(toy_model("decoder"), toy_settings()).to_json()
    monkeypatch.setattr(probe, "peak", lambda *_: pytest.fail("measured"))
    kept = choose(toy_model("decoder"), TrainSettings(device="cpu"), before=json.loads(json.dumps(before)))
    assert kept.to_json() == before
    changed = choose(toy_model("decoder"), TrainSettings(layout="packed", device="cpu"), before=before)
    assert changed.layout == "packed" and changed.peak_flops == before["peak_flops"]


def test_compiling_is_tried_only_for_a_long_run(monkeypatch):
    tried = []
    monkeypatch.setattr(probe, "compiling_pays", lambda *_: tried.append(1) or True)
    model = toy_model("decoder")
    batch = assemble([Toy("decoder").sample(3)])
    assert not choose(model, toy_settings(compile="auto", steps=9), lambda: batch).compile
    assert not tried
    assert choose(model, toy_settings(compile="auto", steps=10**12), lambda: batch).compile and tried


def test_a_machine_that_cannot_compile_goes_on_without(monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", fails)
    model = toy_model("decoder")
    batch = assemble([Toy("decoder").sample(3)])
    assert compiling_pays(model, batch, torch.device("cpu"), "float32") is False
    assert all(p.grad is None for p in model.parameters())


def test_the_probe_measures_both_precisions_and_draws_nothing():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    model = toy_model("encdec")
    choose(model, TrainSettings(device="cpu"))
    assert torch.equal(torch.rand(3), expected)
    measured = probe.speeds(model, toy_settings(), torch.device("cpu"))
    assert measured.keys() == {"float32", "bfloat16"} and min(measured.values()) > 0
    assert len(blocks(model)) == 4
