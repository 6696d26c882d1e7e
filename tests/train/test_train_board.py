"""TensorBoard shows what metrics.jsonl has."""

import sys

import pytest
from train_toy import Toy, toy_model, toy_settings

from liju.errors import MissingExtra
from liju.train import Run, train
from liju.train.board import scalars


def look(model, step):
    return {"loss": 9.0 - step, "loss/zh": 8.0, "samples": f"例句 {step}"}


def run(folder, **more):
    return train(
        toy_model("encoder"), Toy("encoder"), toy_settings(), folder, evaluate=look, tensorboard=True, **more
    )


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(MissingExtra, match="tensorboard") as caught:
        run(tmp_path)
    assert caught.value.hint == "pip install 'liju[tensorboard]'"
    assert not Run(tmp_path).metrics()


def test_events_are_the_lines_of_the_metrics_after_a_resume_too(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    class Crash(Exception):
        pass

    def fall(done):
        if done == 8:
            raise Crash

    with pytest.raises(Crash):  # two steps after the last checkpoint
        run(tmp_path, before_step=fall)
    run(tmp_path, resume=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    expected = {}
    for line in Run(tmp_path).metrics():
        for name, value in scalars(line):
            expected.setdefault(name, []).append((line["step"], pytest.approx(value, rel=1e-6)))
    assert set(events.Tags()["scalars"]) == set(expected)
    for name, known in expected.items():
        assert [(event.step, event.value) for event in events.Scalars(name)] == known, name
    assert len(expected["loss"]) == 12 and [step for step, _ in expected["evaluation/loss/zh"]] == [5, 10, 12]
    texts = events.Tensors("sample/text_summary")
    assert [(one.step, one.tensor_proto.string_val[0].decode()) for one in texts] == [
        (step, f"例句 {step}") for step in (5, 10, 12)
    ]
