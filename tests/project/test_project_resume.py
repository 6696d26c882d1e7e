"""Law 3 for a whole project: killed while it pre-trains and resumed, the model is the same file."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from project_toys import folders, steps_done, write

from liju.errors import CheckpointError
from liju.project import Stopped, do, open_run
from liju.train import Run, newest

LONG = {"steps": 90, "save_every": 7, "optimizer": "muon"}


def start(path, *words):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "liju", "run", str(path), "--quiet", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def model_of(folder):
    return (folders(folder / "runs/toy")["pretrain"] / "bundle/model.safetensors").read_bytes()


def until_step(folder, process, step):
    for _ in range(9000):
        metrics = list(folder.glob("runs/toy/pretrain-*/metrics.jsonl"))
        if metrics and metrics[0].read_text().count("\n") >= step:
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.kill()
    raise AssertionError("it did not start")


@pytest.mark.parametrize("family", ["encoder", pytest.param("decoder", marks=pytest.mark.slow)])
def test_killed_at_a_random_moment_and_resumed_is_the_same_file(tmp_path, family):
    straight = write(tmp_path / "straight", family, pretrain=LONG, finetune={"task": ""})
    done = start(straight)
    killed = write(tmp_path / "killed", family, pretrain=LONG, finetune={"task": ""})
    process = start(killed)
    until_step(killed.parent, process, at := random.SystemRandom().randrange(8, 45))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not list(killed.parent.glob("runs/toy/pretrain-*/done.json"))

    resumed = start(killed, "--resume")
    _, errors = resumed.communicate()
    assert resumed.returncode == 0, errors
    _, errors = done.communicate()
    assert done.returncode == 0, errors
    assert model_of(killed.parent) == model_of(straight.parent), f"killed after step {at}"
    for path in (killed, straight):
        (metrics,) = path.parent.glob("runs/toy/pretrain-*/metrics.jsonl")
        assert metrics.read_text().count('"loss":') >= 90


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_says_how_to_go_on_and_exits_130(tmp_path, number):
    path = write(tmp_path / "p", pretrain={**LONG, "steps": 5000, "save_every": 5000}, finetune={"task": ""})
    process = start(path)
    until_step(path.parent, process, 3)
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "error: pretrain stopped after step" in errors and "--resume" in errors
    assert "Traceback" not in errors and not out
    assert list(path.parent.glob("runs/toy/pretrain-*/checkpoints/step-*/state.json"))


SHORT = {"steps": 6, "save_every": 2, "evaluate_every": 2}


@pytest.fixture
def unfinished(tmp_path, monkeypatch):
    """A pre-training that was stopped after its second step."""
    path = write(tmp_path / "p", pretrain=SHORT, finetune={"task": ""})
    look = "liju.project.steps.held_out_by"
    with monkeypatch.context() as patch:

        def stop(*args):
            os.kill(os.getpid(), signal.SIGTERM)
            return {"loss": 1.0}

        patch.setattr(look, stop)
        with pytest.raises(Stopped):
            steps_done(path)
    return path


def another_line(path):
    with (path.parent / "text.txt").open("a") as file:
        file.write("One more. It is about bread.\n")


@pytest.mark.parametrize(
    "change, words, told",
    [
        (another_line, [], r'the fingerprint of text.txt is "\w{16}" and was "\w{16}"'),
        (None, ["vocab.size=380"], r"vocab.size is 380 and was 400"),
        (None, ["pretrain.learning_rate=0.5"], r"pretrain.learning_rate is 0.5 and was 0.001"),
        (None, ["seed=4", "pretrain.precision=bfloat16"], r"seed is 4 and was 0; .*pretrain.precision is"),
    ],
)
def test_what_was_changed_since_is_named_and_not_begun_anew_in_silence(unfinished, change, words, told):
    if change:
        change(unfinished)
    before = sorted((unfinished.parent / "runs/toy").iterdir())
    with pytest.raises(CheckpointError, match=r"cannot go on: pretrain-.* is at step 000002") as caught:
        steps_done(unfinished, *words, resume=True)
    assert re.search(told, caught.value.message), caught.value.message
    assert "leave out --resume" in caught.value.hint
    assert sorted((unfinished.parent / "runs/toy").iterdir()) == before  # told before hours of work
    assert "pretrain" in steps_done(unfinished, *words)  # without it, beside
    assert len(list(unfinished.parent.glob("runs/toy/pretrain-*"))) == 2
    assert steps_done(unfinished, *words, resume=True) == []


def test_what_changes_the_rounding_alone_goes_on(unfinished):
    (old,) = unfinished.parent.glob("runs/toy/pretrain-*")
    told = []
    words = ["pretrain.precision=bfloat16", "pretrain.evaluate_every=5"]
    do(open_run(unfinished, words, resume=True, tell=told.append))
    (new,) = unfinished.parent.glob("runs/toy/pretrain-*")
    assert new != old and folders(new.parent)["pretrain"] == new
    assert f"  goes on with {old.name}: its settings differ in rounding alone" in told
    assert [line["step"] for line in Run(new).metrics() if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert newest(new / "checkpoints").state["settings"]["precision"] == "bfloat16"


def test_an_unfinished_fine_tuning_of_another_pre_training_is_named(tmp_path):
    path = write(tmp_path / "p", finetune={"epochs": 3.0, "batch_tokens": 100})
    steps_done(path)
    (run,) = path.parent.glob("runs/toy/finetune-*")
    (run / "done.json").unlink()
    with pytest.raises(CheckpointError, match=r"finetune cannot go on: .*pretrain.precision is"):
        steps_done(path, "pretrain.precision=bfloat16", resume=True)
    assert steps_done(path, resume=True) == ["finetune"]


def test_a_run_without_a_checkpoint_begins_anew_and_says_so(unfinished):
    (old,) = unfinished.parent.glob("runs/toy/pretrain-*")
    shutil.rmtree(old / "checkpoints")
    told = []
    do(open_run(unfinished, resume=True, tell=told.append))
    assert f"  {old.name} has no checkpoint yet: pretrain begins anew" in told
