"""Law 3 for a whole project: killed while it pre-trains and resumed, the model is the same file."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from project_toys import folders, write

LONG = {"steps": 90, "save_every": 7, "optimizer": "muon"}


def start(path, *words):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "liju", "run", str(path), "--quiet", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def model_of(folder):
    return (folders(folder / "runs/toy")["pretrain"] / "bundle/model.safetensors").read_bytes()


def until_step(folder, process, step):
    for _ in range(2000):
        metrics = list(folder.glob("runs/toy/pretrain-*/metrics.jsonl"))
        if metrics and metrics[0].read_text().count("\n") >= step:
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
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
