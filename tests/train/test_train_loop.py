"""The loop: resume, refusals, failures, signals; law 3 for runs that are killed."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from train_toy import VOCAB, Told, Toy, toy_model, toy_settings

from liju.errors import CheckpointError, TrainingError
from liju.samples.steps import Steps
from liju.train import Quiet, Run, TrainSettings, best, checkpoint, newest, train

FAMILIES = ["encoder", "decoder", "encdec"]


def run(folder, family="decoder", dropout=0.1, data="a", **more):
    """A whole run; its result and final weights."""
    keys = {"evaluate", "resume", "live", "stop_after"}
    given = {key: more.pop(key) for key in keys & more.keys()}
    model = toy_model(family, dropout)
    result = train(model, Toy(family, data), toy_settings(**more), folder, **given)
    return result, {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_law_3_stopped_at_any_step_and_resumed_is_the_straight_run(tmp_path, family, optimizer):
    _, straight = run(tmp_path / "straight", family, optimizer=optimizer)
    for at in (1, 8):
        folder = tmp_path / str(at)
        stopped, half = run(folder, family, optimizer=optimizer, stop_after=at)
        assert stopped.stopped and stopped.step == at and not same(half, straight)
        torch.rand(5)
        resumed, found = run(folder, family, optimizer=optimizer, resume=True)
        assert resumed.step == 12 and not resumed.stopped
        assert same(found, straight), at


def test_law_3_in_bfloat16_packed(tmp_path):
    how = {"precision": "bfloat16", "layout": "packed", "optimizer": "muon", "steps": 6}
    _, straight = run(tmp_path / "straight", "encdec", **how)
    run(tmp_path / "a", "encdec", **how, stop_after=3)
    assert same(run(tmp_path / "a", "encdec", **how, resume=True)[1], straight)
    assert all(tensor.dtype == torch.float32 for tensor in straight.values())


def test_law_3_after_a_kill_the_lost_steps_are_done_again(tmp_path):
    """A kill leaves the last checkpoint, metrics after it and half a line: as if stopped at step 3."""
    _, straight = run(tmp_path / "straight")
    folder = tmp_path / "killed"
    run(folder, stop_after=5)
    last = newest(folder / "checkpoints")
    assert last.step == 5
    os.truncate(last.folder / "model.safetensors", 99)  # so that step 3 is the newest whole one
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    told = Told()
    result, found = run(folder, resume=True, live=told)
    assert same(found, straight)
    assert "torn checkpoint left out" in told.notices[0] and "continues after step 3" in told.notices[-1]
    lines = Run(folder).metrics()
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert result.samples == lines[-1]["samples"]
    straight_lines = Run(tmp_path / "straight").metrics()
    assert [line["loss"] for line in lines] == [line["loss"] for line in straight_lines]
    assert (folder / "checkpoints/step-000005.torn").exists()


def start(folder, family, optimizer, resume, steps):
    command = [sys.executable, str(Path(__file__).with_name("train_toy.py"))]
    return subprocess.Popen(
        [*command, str(folder), family, optimizer, resume, str(steps)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )


def until(process, step):
    for line in process.stdout:
        if line.strip() == str(step):
            return
    raise AssertionError(f"it ended before step {step}")


@pytest.mark.slow
@pytest.mark.parametrize(("family", "optimizer"), zip(FAMILIES, ["muon", "adamw", "muon"], strict=True))
def test_law_3_kill_9_at_a_random_step(tmp_path, family, optimizer):
    at = random.SystemRandom().randrange(2, 55)
    straight = start(tmp_path / "straight", family, optimizer, "new", 60)
    killed = start(tmp_path / "killed", family, optimizer, "new", 60)
    until(killed, at)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL and straight.communicate()[0].endswith("done 60\n")
    killed.stdout.close()
    resumed = start(tmp_path / "killed", family, optimizer, "resume", 60)
    assert resumed.communicate()[0].endswith("done 60\n")
    a, b = (
        load_file(tmp_path / name / "checkpoints/step-000060/model.safetensors")
        for name in ("straight", "killed")
    )
    assert same(a, b), f"killed after step {at}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_step_saves_and_leaves(tmp_path, number):
    before = signal.getsignal(number)

    class Signals(Quiet):
        def step(self, line):
            if line["step"] == 4:
                os.kill(os.getpid(), number)

    _, straight = run(tmp_path / "straight")
    result, _ = run(tmp_path / "run", live=Signals())
    assert result.stopped and result.step == 4
    assert newest(tmp_path / "run/checkpoints").step == 4
    assert signal.getsignal(number) is before
    assert same(run(tmp_path / "run", resume=True)[1], straight)


def test_loss_falls(tmp_path):
    for family, optimizer in zip(FAMILIES, ["adamw", "muon", "adamw"], strict=True):
        folder = tmp_path / family
        run(folder, family, 0.0, optimizer=optimizer, steps=30, learning_rate=2e-2, batch_tokens=120)
        losses = [line["loss"] for line in Run(folder).metrics()]
        assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3]), (family, losses)


def test_a_run_is_not_overwritten(tmp_path):
    run(tmp_path, steps=2)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(CheckpointError, match="already holds a run") as caught:
        run(tmp_path, steps=2)
    assert "--resume" in caught.value.hint
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_a_finished_run_is_resumed_to_itself_and_zero_steps_save_the_start(tmp_path):
    torch.manual_seed(7)
    _, straight = run(tmp_path / "a")
    drawn = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(3), drawn)  # the caller's random numbers are not touched
    result, again = run(tmp_path / "a", resume=True)
    assert same(again, straight) and result.step == 12
    result, weights = run(tmp_path / "b", steps=0)
    assert same(weights, toy_model("decoder").state_dict())
    assert newest(tmp_path / "b/checkpoints").step == 0


def test_resume_of_a_folder_without_a_checkpoint_starts_there(tmp_path):
    _, straight = run(tmp_path / "straight", steps=2)
    result, weights = run(tmp_path / "none", steps=2, resume=True)
    assert result.step == 2 and same(weights, straight)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"data": "b"}, "the fingerprint of the data is toy-b and was toy-a"),
        ({"learning_rate": 1.0}, "learning_rate is 1.0 and was 0.003"),
        ({"steps": 13}, "steps is 13 and was 12"),
        ({"dropout": 0.3}, "the fingerprint of the model is"),
    ],
)
def test_a_run_with_other_data_model_or_settings_is_not_continued(tmp_path, change, named):
    run(tmp_path, stop_after=2)
    with pytest.raises(CheckpointError) as caught:
        run(tmp_path, resume=True, **change)
    assert named in caught.value.message and "fingerprint" in caught.value.message


def test_a_run_with_another_order_of_samples_is_not_continued(tmp_path, monkeypatch):
    run(tmp_path, stop_after=2)
    monkeypatch.setattr("liju.train.same.ORDER", "another")
    with pytest.raises(CheckpointError, match="the fingerprint of the order is"):
        run(tmp_path, resume=True)


def test_a_change_that_matters_to_rounding_only_is_told(tmp_path):
    run(tmp_path, stop_after=2, dropout=0.0)
    told = Told()
    result, _ = run(tmp_path, resume=True, micro_batch_tokens=17, dropout=0.0, live=told)
    assert result.step == 12
    assert any("micro_batch_tokens is 17 and was 40" in text for text in told.notices)


def test_what_the_probe_chose_is_kept_on_resume(tmp_path):
    run(tmp_path, stop_after=2, precision="auto", layout="auto")
    path = tmp_path / "settings.json"
    asked = json.loads(path.read_text())
    other = {"float32": "bfloat16", "bfloat16": "float32"}[asked["chosen"]["precision"]]
    asked["chosen"]["precision"] = other
    path.write_text(json.dumps(asked))
    run(tmp_path, resume=True, precision="auto", layout="auto")
    assert json.loads(path.read_text())["chosen"]["precision"] == other
    assert len(json.loads((tmp_path / "environment.json").read_text())) == 2


def test_evaluations_are_logged_and_the_best_checkpoint_is_kept(tmp_path):
    scores = {2: 3.0, 4: 1.0, 6: 2.0, 7: 5.0}

    def evaluate(model, step):
        torch.rand(3)
        model.eval()
        return {"loss": scores[step], "samples": f"text of {step}"}

    result, weights = run(
        tmp_path / "a", steps=7, evaluate_every=2, save_every=1, keep=1, best="loss", evaluate=evaluate
    )
    assert result.best == {"step": 4, "score": 1.0} and result.scores == {"loss": 5.0}
    kept = sorted(path.name for path in (tmp_path / "a/checkpoints").iterdir())
    assert kept == ["step-000004", "step-000007"]
    assert best(tmp_path / "a/checkpoints").step == 4
    lines = Run(tmp_path / "a").metrics()
    found = {line["step"]: line["evaluation"]["loss"] for line in lines if "evaluation" in line}
    assert found == scores
    text = [json.loads(line) for line in (tmp_path / "a/samples.jsonl").read_text().splitlines()]
    assert [line["text"] for line in text] == [f"text of {step}" for step in scores]
    assert same(run(tmp_path / "b", steps=7)[1], weights)  # looking changes nothing


def test_a_score_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TrainingError, match="'los' is not among the scores loss"):
        run(tmp_path, steps=1, best="los", evaluate=lambda model, step: {"loss": 1.0})


class Steep(torch.autograd.Function):
    """The identity, with an infinite slope where `bad`."""

    @staticmethod
    def forward(ctx, hidden, bad):
        ctx.save_for_backward(bad)
        return hidden.clone()

    @staticmethod
    def backward(ctx, gradient):
        (bad,) = ctx.saved_tensors
        return torch.where(bad, torch.inf, gradient), None


class Poisoned(torch.nn.Module):
    """Gives NaN in the forward pass, or an infinite gradient in the backward, for the last token."""

    def __init__(self, inner, backward):
        super().__init__()
        self.inner, self.backward = inner, backward

    def forward(self, tokens):
        hidden = self.inner(tokens)
        bad = (tokens == VOCAB - 1)[..., None]
        return Steep.apply(hidden, bad) if self.backward else torch.where(bad, torch.nan, hidden)

    @property
    def weight(self):
        return self.inner.weight


@pytest.mark.parametrize("backward", [False, True])
def test_a_nan_names_the_first_tensor_and_the_samples(tmp_path, backward):
    model = toy_model("decoder")
    model.token = Poisoned(model.token, backward)
    settings = toy_settings(save_every=1, max_skips=0)
    objective = Toy("decoder")
    numbers = Steps(objective, settings.batch_tokens, settings.seed).numbers(5)
    objective.poison = int(numbers[2])
    with pytest.raises(TrainingError) as caught:
        train(model, objective, settings, tmp_path)
    message = caught.value.message
    assert message.startswith("step 6: ") and message.endswith(f"; by itself in {objective.poison}")
    first = "the gradient of the output of token.inner" if backward else "the output of token (Poisoned)"
    assert f"first in {first}" in message
    failure = json.loads((tmp_path / "failure.json").read_text())
    assert failure["step"] == 6 and failure["alone"] == [objective.poison]
    assert objective.poison in failure["samples"] and set(failure["samples"]) <= set(numbers.tolist())
    assert newest(tmp_path / "checkpoints").step == 5
    assert "the last checkpoint, step-000005, is whole" in caught.value.hint
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_a_weight_that_is_not_finite_is_named(tmp_path):
    model = toy_model("encoder")
    with torch.no_grad():
        model.encoder.blocks[1].feedforward.W_1.weight[2, 3] = torch.inf
    with pytest.raises(TrainingError, match=r"the weight encoder\.blocks\.1\.feedforward\.W_1\.weight"):
        train(model, Toy("encoder"), toy_settings(), tmp_path)


def test_a_run_that_ends_before_its_first_checkpoint_says_so_then_and_on_resume(tmp_path):
    model = toy_model("decoder")
    model.token = Poisoned(model.token, False)
    objective = Toy("decoder")
    settings = toy_settings(save_every=50, max_skips=0)
    objective.poison = int(Steps(objective, settings.batch_tokens, settings.seed).numbers(2)[0])
    with pytest.raises(TrainingError) as caught:
        train(model, objective, settings, tmp_path)
    assert "there is no checkpoint yet" in caught.value.hint and "whole" not in caught.value.hint
    told = Told()
    train(toy_model("decoder"), Toy("decoder"), toy_settings(), tmp_path, resume=True, live=told)
    assert f"no checkpoint is in {tmp_path} yet: it begins at the first step" in told.notices
    told = Told()
    train(toy_model("decoder"), Toy("decoder"), toy_settings(), tmp_path / "new", resume=True, live=told)
    assert not told.notices


def test_a_full_disk_is_told_and_training_goes_on_to_the_next_save(tmp_path, monkeypatch):
    _, straight = run(tmp_path / "straight")
    real, full = checkpoint.save_file, {"is": False}

    def save_file(tensors, path):
        if full["is"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(tensors, path)

    class Fills(Told):
        def step(self, line):
            full["is"] = 4 <= line["step"] < 11

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    live = Fills()
    _, weights = run(tmp_path / "run", live=live)
    assert same(weights, straight)
    assert [text[:6] for text in live.notices] == ["step 6", "step 9"]
    assert "No space left" in live.notices[0] and "training goes on" in live.notices[0]
    full["is"] = False

    class Last(Told):
        def step(self, line):
            full["is"] = line["step"] == 12

    with pytest.raises(CheckpointError, match="step 12 could not be saved"):
        run(tmp_path / "last", live=Last())
    full["is"] = False
    assert newest(tmp_path / "last/checkpoints").step == 9
    assert same(run(tmp_path / "last", resume=True)[1], straight)


@pytest.mark.slow
def test_a_limit_on_file_sizes_is_a_full_disk(tmp_path):
    """The real thing, by the system: files may have 20 kB, the weights have more."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from train_toy import *; from liju.errors import CheckpointError\n"
        "try: train(toy_model('encdec'), Toy('encdec'), toy_settings(steps=4), sys.argv[1])\n"
        "except CheckpointError as error: print(error.message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "step 4 could not be saved" in done.stdout
    assert list((tmp_path / "checkpoints").iterdir()) == []
    assert [line["step"] for line in Run(tmp_path).metrics()] == [1, 2, 3, 4]


def test_log_every_thins_the_metrics(tmp_path):
    run(tmp_path, log_every=5)
    assert [line["step"] for line in Run(tmp_path).metrics()] == [5, 10, 12]
    line = Run(tmp_path).metrics()[-1]
    assert line["tokens"] <= line["places"] and line["tokens_per_second"] > 0 and line["grad_norm"] > 0
    assert json.loads((tmp_path / "settings.json").read_text())["settings"]["steps"] == 12
    assert TrainSettings().keep == 2
