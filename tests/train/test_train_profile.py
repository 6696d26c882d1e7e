"""Where the time of a step goes: the parts sum to the whole, and each operation is in its own."""

import gzip
import json
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType
from train_toy import Toy, toy_model, toy_settings

from liju.train import Run, train
from liju.train.profile import PARTS, WARM, Profiler, _parts, part, table

FAMILIES = ["encoder", "decoder", "encdec"]


def profiled(folder, family, steps=2, **more):
    model = toy_model(family, dropout=0.1)
    settings = toy_settings(steps=WARM + 3, save_every=99, batch_tokens=30, **more)
    train(model, Toy(family), settings, folder, profile=steps)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_a_real_training_is_told_in_parts_that_sum_to_the_whole(tmp_path, family, monkeypatch):
    monkeypatch.setattr("liju.train.profile.OPERATIONS", 10_000)
    profiled(tmp_path, family, optimizer="muon")
    found = json.loads((tmp_path / "profile.json").read_text())
    assert found["steps"] == [WARM + 2, WARM + 3]  # the profiler starts in the one before
    parts = found["parts"]
    assert sum(row["ms"] for row in parts.values()) == pytest.approx(found["step_ms"], abs=0.01)
    assert sum(row["share"] for row in parts.values()) == pytest.approx(1, abs=1e-4)
    assert all(row["ms"] > 0 for row in parts.values())
    assert list(parts) == [name for name in PARTS if name not in ("communication", "idle")]
    # The whole has what the loop logs as the step's own time, and little else.
    seconds = [line["seconds"] for line in Run(tmp_path).metrics() if line["step"] in found["steps"]]
    assert sum(seconds) / 2 < found["step_ms"] / 1e3 < 4 * sum(seconds) / 2
    lines = table(found).splitlines()
    assert len(lines) == 1 + len(parts) and lines[0].endswith("on cpu (mean of 2)")

    # Each operation is in the part that it belongs to.
    operations = found["operations"]
    assert sum(row["ms"] for row in operations) == pytest.approx(found["step_ms"], rel=0.01)

    def calls(name, where):
        return sum(row["calls"] for row in operations if name == row["name"] and row["part"] == where)

    def only(name):
        return {row["part"] for row in operations if name in row["name"]}

    layers = {"encoder": 2, "decoder": 2, "encdec": 4}[family]
    assert calls("aten::mm", "matrix products") + calls("aten::addmm", "matrix products") > 4 * layers
    assert calls("aten::mm", "optimizer") + calls("aten::bmm", "optimizer") > 0  # Newton and Schulz
    assert only("aten::embedding") == only("nll_loss") == {"embedding and loss"}
    assert only("scaled_dot_product") | only("aten::_softmax") == {"attention"}
    assert only("_norm") | only("_CpuRMSNorm") == {"norms", "optimizer"}  # the gradient's norm
    assert only("gelu") | only("relu") | only("silu") == {"other"}
    assert {row["part"] for row in operations} == set(PARTS) - {"communication", "idle"}


def test_the_trace_is_one_and_the_weights_are_those_without_it(tmp_path):
    looked, straight = profiled(tmp_path / "a", "encoder"), profiled(tmp_path / "b", "encoder", steps=0)
    for name, tensor in looked.state_dict().items():
        assert torch.equal(tensor, straight.state_dict()[name]), name
    trace = json.loads(gzip.decompress((tmp_path / "a/trace.json.gz").read_bytes()))
    names = [event.get("name") for event in trace["traceEvents"]]
    assert names.count("aten::addmm") > 0 and names.count("liju: optimizer") >= 4
    assert not (tmp_path / "b/profile.json").exists() and not (tmp_path / "b/trace.json.gz").exists()


def test_too_few_steps_leave_no_profile_and_an_error_no_torn_one(tmp_path):
    train(toy_model("decoder"), Toy("decoder"), toy_settings(steps=WARM), tmp_path / "none", profile=2)
    assert not (tmp_path / "none/profile.json").exists()
    with pytest.raises(ZeroDivisionError), Profiler(tmp_path, steps=5) as profiler:
        for step in range(9):
            with profiler.step(step):
                1 / (WARM + 1 - step)
    assert not (tmp_path / "profile.json").exists() and profiler.found == {}
    with Profiler(tmp_path, steps=5) as profiler:  # the run ends before the last one
        for step in range(WARM + 2):
            with profiler.step(step), part("liju: data"):
                torch.ones(3)
    assert profiler.found["steps"] == [WARM + 2]
    assert profiler.found["parts"]["waiting for data"]["share"] > 0


def event(name, start, end, parent=None, kernels=(), device=DeviceType.CPU):
    """What a profiler tells of an operation, in microseconds."""
    time = SimpleNamespace(start=start, end=end, elapsed_us=lambda: end - start)
    kernels = [SimpleNamespace(name=kernel, duration=duration) for kernel, duration in kernels]
    made = SimpleNamespace(name=name, time_range=time, cpu_parent=parent, cpu_children=[], kernels=kernels)
    made.device_type = device
    if parent is not None:
        parent.cpu_children.append(made)
    return made


def test_on_a_gpu_kernels_belong_to_what_started_them():
    """Two steps of 100 us, the first not counted; the backward pass has a thread of its own."""
    before, step = event("liju: step", 0, 100), event("liju: step", 200, 300)
    optimizer = event("liju: optimizer", 280, 295, step)
    events = [
        *(before, step, optimizer, event("liju: data", 201, 208, step)),
        event("aten::mm", 10, 20, before, [("gemm", 9)]),
        event("aten::mm", 210, 220, step, [("gemm", 20), ("gemm", 2)]),
        event("aten::mm", 281, 282, optimizer, [("gemm", 5)]),
        event("autograd::engine::evaluate_function: BmmBackward0", 230, 240, None, [("gemm", 10)]),
    ]
    for name, start, end in (("gemm", 210, 230), ("gemm", 230, 232), ("gemm", 240, 250), ("gemm", 282, 287)):
        events.append(event(name, start, end, device=DeviceType.CUDA))  # linked: not counted again
    events.append(event("triton_red_fused_native_layer_norm_3", 250, 258, device=DeviceType.CUDA))
    events.append(event("liju: step", 200, 300, device=DeviceType.CUDA))  # the range, told once more
    found = _parts(events, 1, on_device=True)
    assert found["step_ms"] == 0.1
    assert {name: round(1000 * row["ms"]) for name, row in found["parts"].items()} == {
        "matrix products": 22,
        "attention": 10,
        "norms": 8,
        "optimizer": 5,
        "waiting for data": 7,
        "idle": 48,
    }
