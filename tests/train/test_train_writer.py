"""Checkpoints of one process are written while training goes on, with all that was promised before."""

import os
import signal
import threading

import pytest
import torch
from train_toy import Told, Toy, toy_model, toy_settings

from liju.errors import CheckpointError
from liju.train import checkpoint, newest, train, writer
from liju.train.parallel import World
from liju.train.writer import Writer

ENOUGH = 60.0  # seconds after which a test that hangs fails


class Gate:
    """Holds the writing of one step's checkpoint until it is opened."""

    def __init__(self, monkeypatch, step):
        self.step, self.opened, self.threads = step, threading.Event(), []
        self.begun, self.done = [], []
        self.real = checkpoint.write
        monkeypatch.setattr(checkpoint, "write", self.write)

    def write(self, root, files, state):
        self.begun.append(state["step"])
        self.threads.append(threading.current_thread().name)
        if state["step"] == self.step:
            assert self.opened.wait(ENOUGH)
        folder = self.real(root, files, state)
        self.done.append(state["step"])
        return folder


class Steps(Told):
    def __init__(self, at=None):
        super().__init__()
        self.at, self.steps = at or {}, []

    def step(self, line):
        self.steps.append(line["step"])
        if line["step"] in self.at:
            self.at[line["step"]]()


def test_steps_are_taken_while_it_is_written_and_the_next_save_waits(tmp_path, monkeypatch):
    gate, state = Gate(monkeypatch, 3), {}

    def look():  # after step 5: the checkpoint of step 3 is not there, and the run has gone on
        state["there"] = (tmp_path / "run/checkpoints/step-000003").exists()
        state["begun"] = list(gate.begun)
        threading.Timer(0.3, gate.opened.set).start()  # the save of step 6 has to wait for it

    live = Steps({5: look})
    result = train(toy_model("decoder"), Toy("decoder"), toy_settings(keep=9), tmp_path / "run", live=live)
    assert state == {"there": False, "begun": [3]}
    assert gate.begun == gate.done == [3, 6, 9, 12]
    assert set(gate.threads) == {"checkpoint"}
    assert live.steps == list(range(1, 13)) and result.checkpoint.name == "step-000012"


def test_what_is_written_is_the_step_s_own(tmp_path, monkeypatch):
    """Training has moved the weights and the moments on by the time they are on the disk."""
    gate = Gate(monkeypatch, 3)
    model = toy_model("encoder", dropout=0.1)
    train(model, Toy("encoder"), toy_settings(keep=9), tmp_path / "run", live=Steps({5: gate.opened.set}))
    straight = model.state_dict()
    stopped = toy_model("encoder", dropout=0.1)
    train(stopped, Toy("encoder"), toy_settings(), tmp_path / "three", stop_after=3)
    held = toy_model("encoder")
    checkpoint.Checkpoint.open(tmp_path / "run/checkpoints/step-000003").restore(held)
    assert all(torch.equal(t, stopped.state_dict()[name]) for name, t in held.state_dict().items())
    for step in (6, 9, 12):
        (tmp_path / f"run/checkpoints/step-{step:06d}/state.json").unlink()
    again = toy_model("encoder", dropout=0.1)
    train(again, Toy("encoder"), toy_settings(keep=9), tmp_path / "run", resume=True)
    assert all(torch.equal(t, straight[name]) for name, t in again.state_dict().items())


def test_a_failure_is_told_at_the_next_step_and_the_last_one_raises(tmp_path, monkeypatch):
    real, failing = checkpoint.write, {3, 12}

    def write(root, files, state):
        if state["step"] in failing:
            raise CheckpointError(f"step {state['step']}: no space left", hint="free some")
        return real(root, files, state)

    monkeypatch.setattr(checkpoint, "write", write)
    heard = []
    live = Steps({5: lambda: heard.append(list(live.notices))})
    with pytest.raises(CheckpointError, match="step 12: no space left"):
        train(toy_model("decoder"), Toy("decoder"), toy_settings(), tmp_path, live=live)
    assert heard == [["step 3: no space left; free some; training goes on"]]
    assert live.steps == list(range(1, 13)) and newest(tmp_path / "checkpoints").step == 9


def test_an_error_of_the_thread_is_an_error_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(toy_model("decoder"), Toy("decoder"), toy_settings(), tmp_path)


def test_sigterm_waits_for_what_is_being_written(tmp_path, monkeypatch):
    gate = Gate(monkeypatch, 3)

    def stop():
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Timer(0.3, gate.opened.set).start()

    result = train(toy_model("decoder"), Toy("decoder"), toy_settings(), tmp_path, live=Steps({4: stop}))
    assert result.stopped and gate.done == [3, 4]
    assert result.checkpoint.name == "step-000004" and newest(tmp_path / "checkpoints").step == 4


def test_a_run_that_ends_by_an_error_has_the_checkpoint_that_it_began(tmp_path, monkeypatch):
    gate = Gate(monkeypatch, 3)

    def fail():
        threading.Timer(0.3, gate.opened.set).start()
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        train(toy_model("decoder"), Toy("decoder"), toy_settings(), tmp_path, live=Steps({4: fail}))
    assert gate.done == [3] and newest(tmp_path / "checkpoints").step == 3


def test_without_memory_for_a_copy_it_waits(tmp_path, monkeypatch):
    gate = Gate(monkeypatch, 0)
    monkeypatch.setattr(writer, "free_memory", lambda device: 1000)
    train(toy_model("decoder"), Toy("decoder"), toy_settings(), tmp_path)
    assert set(gate.threads) == {"MainThread"} and gate.done == [3, 6, 9, 12]


def test_other_ranks_write_nothing(tmp_path):
    saves = Writer(tmp_path, World(rank=1, size=2))
    saves.begin(None, None, {"step": 3}, lambda: None)
    assert saves.finish() is None and not list(tmp_path.iterdir())
    saves.leave()
