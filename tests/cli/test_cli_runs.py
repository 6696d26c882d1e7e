"""liju runs: states, differences, order; all from files, without torch."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from liju.cli import main
from liju.cli.run_table import Trained, differences, sort_by, trainings
from liju.model import Transformer, TransformerConfig
from liju.objective import Causal
from liju.objective.examples import shards, tokenizer
from liju.train import TrainSettings, train


def a_run(folder, *, loss=3.0, held=3.5, steps=10, done=10, status=None, project=None, step="pretrain"):
    """The files of a run, as a training leaves them; with `project` in a project's run directory."""
    if project is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "liju.toml").write_text(project)
        name = f"{step}-{abs(hash(project)) % 10**8:08d}"
        known = (
            json.loads((folder / "run.json").read_text())["steps"] if (folder / "run.json").exists() else {}
        )
        (folder / "run.json").write_text(json.dumps({"name": folder.name, "steps": {**known, step: name}}))
        folder = folder / name
    folder.mkdir(parents=True)
    settings = {"settings": {"steps": steps, "seed": 3}, "model": {"family": "decoder", "parameters": 1234}}
    (folder / "settings.json").write_text(json.dumps(settings))
    lines = [
        {"step": n, "loss": loss + done - n, "tokens_per_second": 100.0 * n, "mfu": 0.2, "seconds": 2.0}
        for n in range(1, done + 1)
    ]
    lines += [{"step": done, "evaluation": {"loss": held - 1, "words_accuracy": 0.25}}]
    lines += [{"step": done, "evaluation": {"loss": held, "words_accuracy": 0.5}}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + '{"step": 99, "lo')  # being written
    if status is not None:
        (folder / "status.json").write_text(json.dumps(status))
    return folder


def test_a_table_of_real_runs(tmp_path, capsys):
    objective = Causal(shards("decoder"), tokenizer("decoder"), max_length=8)
    for name, width in (("wide", 12), ("narrow", 8)):
        model = Transformer(
            TransformerConfig.default("decoder", vocab_size=400, d_model=width, num_heads=2, num_layers=1)
        )
        settings = TrainSettings(steps=3, batch_tokens=40, seed=width, device="cpu", precision="float32")
        stop = 2 if name == "wide" else None
        train(
            model, objective, settings, tmp_path / name, stop_after=stop, evaluate=lambda m, s: {"loss": 7.5}
        )
    assert main(["runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split()[:5] == ["name", "family", "parameters", "step", "state"]
    narrow, wide = (line.split() for line in out[1:3])
    assert narrow[0] == "narrow" and narrow[3:5] == ["3/3", "done"] and "seed=8" in narrow
    assert wide[0] == "wide" and wide[3:5] == ["2/3", "stopped"] and "seed=12" in wide
    assert "steps=" not in out[1] and out[3].startswith("next: liju show curve ")
    assert int(narrow[2].replace(",", "")) == sum(p.numel() for p in model.parameters())


def test_states(tmp_path):
    here = socket.gethostname()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    states = {
        "running": {"state": "running", "pid": os.getpid(), "host": here},
        "stopped": {"state": "running", "pid": ended.pid, "host": here},  # killed
        "failed": {"state": "failed", "error": "step 7: not a finite number"},
        "done": {"state": "done"},
    }
    for name, status in states.items():
        a_run(tmp_path / name, status=status)
    far = a_run(tmp_path / "far", status={"state": "running", "pid": 1, "host": "elsewhere"})
    a_run(tmp_path / "old", done=10), a_run(tmp_path / "old-stopped", done=4)
    found = {one.name: one for one in trainings(tmp_path)}
    assert all(found[name].state == name for name in states)
    assert found["far"].state == "running" and found["old"].state == "done"
    assert found["old-stopped"].state == "stopped" and found["old-stopped"].step == 4
    assert found["failed"].error == "step 7: not a finite number"
    os.utime(far / "metrics.jsonl", (1, 1))
    assert {one.name: one.state for one in trainings(tmp_path)}["far"] == "stopped"


def test_a_real_run_is_running_until_it_is_killed(tmp_path):
    toy = Path(__file__).parents[1] / "train/train_toy.py"
    words = [sys.executable, str(toy), str(tmp_path / "one"), "decoder", "adamw", "new", "100000"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().strip() == "1"  # a step is done
        assert [one.state for one in trainings(tmp_path)] == ["running"]
    finally:
        process.kill()
        process.communicate()
    (killed,) = trainings(tmp_path)
    assert killed.state == "stopped" and killed.error == "" and killed.steps == 100000


def test_projects_show_their_newest_steps_and_the_keys_that_differ(tmp_path, capsys):
    toml = 'name = "{0}"\nseed = {1}\n[model]\nd_model = {2}\nfamily = "decoder"\n'
    old = a_run(tmp_path / "a", project=toml.format("a", 0, 8))
    (old / "done.json").write_text("{}")
    a_run(tmp_path / "a", project=toml.format("a", 0, 24), held=2.0)
    a_run(tmp_path / "b", project=toml.format("b", 0, 48), held=1.5)
    fine = a_run(tmp_path / "b", project=toml.format("b", 0, 48), step="finetune")
    scores = {"main": "fine-tuned", "rows": [{"system": "fine-tuned", "values": {"accuracy": [0.5, 1.0]}}]}
    known = json.loads((tmp_path / "b/run.json").read_text())
    known["steps"]["evaluate"] = "evaluate-1"
    (tmp_path / "b/run.json").write_text(json.dumps(known))
    (tmp_path / "b/evaluate-1").mkdir()
    done = {"summary": {"metric": "accuracy", "table": scores}}
    (tmp_path / "b/evaluate-1/done.json").write_text(json.dumps(done))
    found = trainings(tmp_path)
    assert [one.name for one in found] == ["a pretrain", "b finetune", "b pretrain"]
    assert [one.differs for one in found] == [{"model.d_model": size} for size in (24, 48, 48)]
    assert found[1].score == 0.75 and found[1].metric == "accuracy" and fine.exists()
    assert found[0].loss == 3.0 and found[0].held_out == 2.0 and found[0].best == 1.0
    assert found[0].tokens_per_second == 550 and found[0].seconds == 20
    assert main(["runs", str(tmp_path), "--json", "--sort", "best"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows][:2] == ["b pretrain", "a pretrain"] and "keys" not in rows[0]
    assert main(["runs", str(tmp_path / "b")]) == 0
    assert "b pretrain" in capsys.readouterr().out


def test_order():
    runs = [Trained("a", mfu=0.1), Trained("b", mfu=0.3, scores={"words_accuracy": 0.5}), Trained("c")]
    assert [one.name for one in sort_by(runs, "mfu")] == ["b", "a", "c"]
    assert [one.name for one in sort_by(runs, "words_accuracy")] == ["b", "a", "c"]
    runs = [Trained("a", loss=2.0), Trained("b"), Trained("c", loss=1.0)]
    assert [one.name for one in sort_by(runs, "loss")] == ["c", "a", "b"]
    assert differences([{"x": 1}, {}]) == [{"x": 1}, {}] and differences([{"x": 1}]) == [{}]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["."], "no training is here"),
        (["../r", "--sort", "los"], "no column 'los'"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, capsys, words, says):
    a_run(tmp_path / "r/one")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert main(["runs", *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and says in told and "\nhint: " in told


def test_no_torch(tmp_path):
    a_run(tmp_path / "one")
    code = f"import sys\nfrom liju.cli import main\nassert main(['runs', {str(tmp_path)!r}]) == 0\n"
    code += "assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith("one")
