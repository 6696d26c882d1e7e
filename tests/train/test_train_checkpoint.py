import errno
import json
import os

import pytest
import torch
from torch import nn
from train_toy import toy_model

from liju.errors import CheckpointError
from liju.train import TrainSettings, build_optimizer, checkpoint, newest


def make(root, step, model=None, **state):
    model = model or toy_model("encoder")
    return checkpoint.save(
        root, model, build_optimizer(model, TrainSettings()), {"step": step, "best": {}, **state}
    )


def truncate(path):
    os.truncate(path, path.stat().st_size - 1)


def flip(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "a truncated weight file": lambda folder: truncate(folder / "model.safetensors"),
    "a flipped bit": lambda folder: flip(folder / "optimizer.safetensors"),
    "a missing file": lambda folder: (folder / "optimizer.safetensors").unlink(),
    "no state": lambda folder: (folder / "state.json").unlink(),
    "half a state": lambda folder: truncate(folder / "state.json"),
    "another step in the state": lambda folder: (folder / "state.json").write_text(
        (folder / "state.json").read_text().replace('"step": 20', '"step": 21')
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_torn_checkpoint_is_passed_over_with_a_notice(tmp_path, damage):
    for step in (5, 10, 20):
        make(tmp_path, step)
    assert newest(tmp_path).step == 20
    DAMAGE[damage](tmp_path / "step-000020")
    notices = []
    assert newest(tmp_path, notices.append).step == 10
    assert len(notices) == 1 and "step-000020" in notices[0]


def test_when_all_are_torn_it_says_so_and_an_empty_folder_has_none(tmp_path):
    assert newest(tmp_path) is None
    truncate(make(tmp_path, 3) / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"no checkpoint .* is whole.*has \d+ bytes of \d+"):
        newest(tmp_path)


def test_a_folder_that_was_not_renamed_is_no_checkpoint(tmp_path):
    os.rename(make(tmp_path, 7), tmp_path / ".writing-step-000007")
    assert newest(tmp_path) is None
    make(tmp_path, 7)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000007"]


def test_tied_tensors_are_written_once_and_stay_tied(tmp_path):
    def tied():
        model = nn.ModuleDict({"a": nn.Linear(3, 5, bias=False), "b": nn.Linear(3, 5, bias=False)})
        model["b"].weight = model["a"].weight
        return model

    model, other = tied(), tied()
    make(tmp_path, 1, model)
    newest(tmp_path).restore(other)
    assert torch.equal(other["b"].weight, model["a"].weight)
    assert other["b"].weight is other["a"].weight


def test_another_models_checkpoint_is_refused_by_name(tmp_path):
    make(tmp_path, 1, toy_model("encoder"))
    with pytest.raises(CheckpointError, match=r"decoder\.\S+ is missing in .* and \[12, 12\] in the model"):
        newest(tmp_path).restore(toy_model("decoder"))


def test_the_newest_and_the_best_are_kept(tmp_path):
    for step in (1, 2, 3, 4, 5):
        make(tmp_path, step, best={"step": 2, "score": 0.5})
        checkpoint.prune(tmp_path, keep=2, best_step=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000002", "step-000004", "step-000005"]
    assert checkpoint.best(tmp_path).step == 2


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_full_disk_leaves_the_old_checkpoints_and_no_rest(tmp_path, monkeypatch, at):
    make(tmp_path, 1)
    calls = []

    def full(path):
        calls.append(path)
        if len(calls) == at:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "flush", full)
    with pytest.raises(CheckpointError, match="No space left") as caught:
        make(tmp_path, 2)
    assert "MB are needed" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]
    assert newest(tmp_path).step == 1


def test_state_json_is_readable(tmp_path):
    folder = make(tmp_path, 12, samples=340)
    state = json.loads((folder / "state.json").read_text())["state"]
    assert state["step"] == 12 and state["samples"] == 340
    assert set(state["files"]) == {"model.safetensors", "optimizer.safetensors"}
