import json

import pytest
import torch
from train_toy import Told, Toy, toy_model, toy_settings

from liju.model import Transformer, TransformerConfig
from liju.samples.batch import assemble
from liju.train import TrainSettings, World, choose, probe, train
from liju.train.probe import blocks, compiling_pays
from liju.train.sharding import parallelize


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


def test_the_peak_of_another_precision_or_machine_is_measured_again(monkeypatch):
    """Else the use of the machine is told against a peak that it does not have."""
    before = choose(toy_model("decoder"), toy_settings(precision="float32")).to_json()
    monkeypatch.setattr(probe, "peak", lambda precision, device: 7e9 if precision == "bfloat16" else 9e9)

    def peak(precision, **more):
        return choose(toy_model("decoder"), toy_settings(precision=precision), before={**before, **more})

    assert peak("float32").peak_flops == before["peak_flops"]
    assert peak("bfloat16").peak_flops == 7e9
    other = peak("float32", machine="another GPU")
    assert (other.peak_flops, other.machine) == (9e9, before["machine"])


HALF, SINGLE = "bfloat16", "float32"


@pytest.mark.parametrize(
    ("family", "switches", "precision", "layout"),
    [
        ("encoder", {}, HALF, "flat"),
        ("decoder", {}, HALF, "flat"),
        ("decoder", {"num_kv_heads": 1, "qk_norm": True, "window": 3}, HALF, "flat"),
        ("encdec", {"position": "rope"}, HALF, "flat"),
        ("encdec", {"position": "sinusoidal"}, HALF, "flat"),
        ("encdec", {}, HALF, "grouped"),  # a bias that learns
        ("encoder", {"position": "relative"}, HALF, "grouped"),
        ("decoder", {}, SINGLE, "grouped"),
        ("decoder", {"d_k": 12}, HALF, "grouped"),
    ],
)
def test_a_gpu_gets_flat_lines_where_its_kernel_knows_the_model(
    monkeypatch, family, switches, precision, layout
):
    """By the questions that are asked: there is no GPU in the tests."""
    shape = {"vocab_size": 17, "d_model": 24, "num_heads": 3, "d_k": 8, "num_layers": 1}
    model = Transformer(TransformerConfig.default(family, **{**shape, **switches}))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    tried = []
    monkeypatch.setattr("liju.model.layout.failure", lambda *asked: tried.append(asked) or "")
    gpu = torch.device("cuda", 0)
    found, because = probe.best_layout(model, gpu, precision)
    assert found == layout and bool(because) == (layout == "grouped")
    if layout == "flat":
        grouped = "num_kv_heads" in switches
        assert tried == [("varlen", gpu, torch.bfloat16, 8, False, grouped)]
        monkeypatch.setattr("liju.model.layout.failure", lambda *asked: "varlen is off by 1.0e+00")
        assert probe.best_layout(model, gpu, precision) == ("grouped", "varlen is off by 1.0e+00")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
        assert probe.best_layout(model, gpu, precision) == ("grouped", "the GPU is older than Ampere")
    assert probe.best_layout(model, torch.device("cpu"), precision) == ("grouped", "")


def test_what_was_chosen_on_a_gpu_is_chosen_anew_on_a_cpu(tmp_path, monkeypatch):
    """A run that was begun on a GPU goes on here: no flat line behind a mask, no half precision that this
    machine may not have, no peak of the other one. It says so, and what is asked for by name stays."""
    objective = Toy("decoder")
    train(toy_model("decoder"), objective, toy_settings(), tmp_path, stop_after=3)
    path = tmp_path / "settings.json"
    written = json.loads(path.read_text())
    written["chosen"] |= {"device": "cuda:0", "layout": "flat", "precision": "bfloat16", "peak_flops": 8e14}
    path.write_text(json.dumps(written))
    told = Told()
    asked = toy_settings(layout="auto", precision="auto")
    monkeypatch.setattr(probe, "speeds", lambda *_: {"float32": 1e9, "bfloat16": 1e9})
    train(toy_model("decoder"), objective, asked, tmp_path, resume=True, live=told)
    chosen = json.loads(path.read_text())["chosen"]
    assert (chosen["device"], chosen["layout"], chosen["precision"]) == ("cpu", "grouped", "float32")
    assert chosen["peak_flops"] < 1e14
    assert (
        "precision is float32 and was bfloat16, layout is grouped and was flat: the run was on cuda and is "
        "on cpu"
    ) in told.notices
    by_name = choose(toy_model("decoder"), toy_settings(layout="flat"), before=written["chosen"])
    assert by_name.layout == "flat"


def test_another_gpu_without_the_kernel_gets_other_rows(monkeypatch):
    before = {**choose(toy_model("decoder"), toy_settings()).to_json(), "layout": "flat"}
    monkeypatch.setattr(probe, "best_layout", lambda *_: ("grouped", "the GPU is older than Ampere"))
    kept = choose(toy_model("decoder"), toy_settings(layout="auto"), before=before)
    assert (kept.layout, kept.because) == ("grouped", "the GPU is older than Ampere")


def test_a_model_that_was_compiled_is_given_back_as_it_was_built():
    model, settings = toy_model("encdec"), toy_settings(compile="on")
    parallel = parallelize(model, settings, World(), torch.device("cpu"), "float32", True)
    assert all(block._compiled_call_impl is not None for block in blocks(model))
    parallel.undo()
    assert all(block._compiled_call_impl is None for block in blocks(model))


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
