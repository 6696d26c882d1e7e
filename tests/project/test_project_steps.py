"""Steps are keyed by content: what changed is done again, and what comes after it; nothing else is."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from project_toys import FAMILIES, folders, steps_done, write

import liju
from liju import config
from liju.errors import BundleError, CheckpointError, ConfigError, DataError
from liju.project import keys, open_run
from liju.samples import TokenShards
from liju.vocab import Tokenizer

ALL = ["text", "vocab", "samples", "pretrain", "finetune", "evaluate"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("finished") / "p")
    assert steps_done(path) == ALL
    return path


@pytest.fixture
def project(finished, tmp_path):
    """A finished run that a test may do things to."""
    shutil.copytree(finished.parent, tmp_path / "p")
    return tmp_path / "p" / "liju.toml"


def stamps(where):
    names = ("*/done.json", "*/bundle/model.safetensors", "*/documents/report.json", "*/*/index.json")
    return {p: p.stat().st_mtime_ns for name in names for p in where.glob(name)}


def test_nothing_is_done_again_when_nothing_changed(project):
    where = project.parent / "runs/toy"
    before = stamps(where)
    assert len(before) >= 10
    assert steps_done(project) == []
    assert stamps(where) == before


@pytest.mark.parametrize(
    ("overrides", "first"),
    [
        (["text.min_characters=9"], "text"),
        (["seed=1"], "text"),
        (["vocab.size=420"], "vocab"),
        (["vocab.lowercase=true"], "vocab"),
        (["model.d_model=27"], "pretrain"),
        (["model.switches={activation='relu'}"], "pretrain"),
        (["pretrain.steps=4"], "pretrain"),
        (["finetune.epochs=2"], "finetune"),
        (["finetune.limit=9"], "finetune"),
        (["evaluate.baselines=['majority']"], "evaluate"),
        (["serve.port=9"], None),
        (["pretrain.save_every=7", "pretrain.micro_batch_tokens=300"], None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_changed_section_is_done_again_with_what_comes_after(project, overrides, first):
    want = ALL[ALL.index(first) :] if first else []
    where = project.parent / "runs/toy"
    before = folders(where)
    assert steps_done(project, *overrides) == want
    after = folders(where)
    assert [name for name in ALL if before[name] != after[name]] == want
    assert all(folder.exists() for folder in before.values())  # nothing is overwritten
    assert steps_done(project) == []  # and the way back is still there


@pytest.mark.parametrize(
    ("name", "line", "first"), [("text.txt", "A new line of text.", "text"), ("examples.tsv", "", "finetune")]
)
def test_a_changed_file_is_a_changed_input(project, name, line, first):
    path = project.parent / name
    old = path.read_text()
    path.write_text(old + (line or "A new boat for the captain, who sails it.\tsea") + "\n")
    assert first in (done := steps_done(project)) and done[-1] == "evaluate"
    assert ("text" in done) == (name == "text.txt")
    path.write_text(old)
    os.utime(path)  # another time, the same content
    assert steps_done(project) == []


def test_a_changed_tokenizer_never_meets_stale_tokens(project):
    for overrides in ([], ["vocab.size=430"], ["vocab.kind=unigram"]):
        steps_done(project, *overrides)
        found = folders(project.parent / "runs/toy")
        tokenizer = Tokenizer.load(found["vocab"] / "tokenizer")
        for split in ("train", "held_out"):
            assert TokenShards(found["samples"] / split).index["vocabulary"] == tokenizer.fingerprint
        for step in ("pretrain", "finetune"):
            assert Tokenizer.load(found[step] / "bundle").fingerprint == tokenizer.fingerprint


def test_a_given_tokenizer_is_an_input_too(project):
    made = folders(project.parent / "runs/toy")["vocab"] / "tokenizer/tokenizer.json"
    shutil.copy(made, project.parent / "mine.json")
    size = Tokenizer.load(made).size
    given = ["vocab.path=mine.json", f"vocab.size={size}"]
    assert steps_done(project, *given)[0] == "vocab"
    assert steps_done(project, *given) == []
    text = (project.parent / "mine.json").read_text()
    (project.parent / "mine.json").write_text(text + "\n")
    assert steps_done(project, *given)[0] == "vocab"


def test_another_version_of_the_code_that_matters_is_another_step(project, monkeypatch):
    seen = []

    def version(*places):
        seen.append(places)
        return "another" if "samples" in places else plain(*places)

    plain = keys.code_version
    from liju.project import directory

    monkeypatch.setattr(directory, "code_version", version)
    assert steps_done(project) == ["samples", "pretrain", "finetune", "evaluate"]
    assert ("text",) in seen


def test_the_version_of_code_is_its_content(tmp_path, monkeypatch):
    for name in ("errors.py", "text", "project"):
        source = keys.Path(liju.__file__).parent / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / "__init__.py").touch()
    plain = keys.code_version.__wrapped__
    before = plain("text"), plain("project/leaks.py")
    monkeypatch.setattr(keys.liju, "__file__", str(tmp_path / "__init__.py"))
    assert (plain("text"), plain("project/leaks.py")) == before
    with (tmp_path / "text/rows.py").open("a") as file:
        file.write("# changed\n")
    assert plain("text") != before[0] and plain("project/leaks.py") == before[1]


@pytest.mark.parametrize("family", ["decoder", "encdec"])
def test_the_other_families(tmp_path, family):
    path = write(tmp_path / "p", family)
    assert steps_done(path) == ALL and steps_done(path) == []
    where = tmp_path / "p/runs/toy"
    answer = liju.load(where).predict("the cook opens the window.", max_new_tokens=3)
    assert isinstance(answer["text"], str)
    assert liju.load(where).task == FAMILIES[family]
    table = json.loads((folders(where)["evaluate"] / "done.json").read_text())["summary"]["table"]
    assert "from scratch" in json.dumps(table)


def test_without_a_task_there_is_pretraining_alone(tmp_path):
    path = write(tmp_path / "p", finetune={"task": ""})
    assert steps_done(path) == ALL[:4]
    assert (tmp_path / "p/runs/toy/report.html").exists()
    assert liju.load(tmp_path / "p/runs/toy").task == "fill-mask"
    from liju.project import do

    with pytest.raises(ConfigError, match="task is empty"):
        do(open_run(path), until="finetune")


def test_zero_steps_leave_the_network_as_it_was_initialised(tmp_path):
    import torch

    from liju.project.parts import initialise

    path = write(tmp_path / "p", pretrain={"steps": 0}, finetune={"task": ""})
    steps_done(path)
    loaded = liju.load(tmp_path / "p/runs/toy")
    fresh = initialise(config.read(path), loaded.tokenizer.size).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in loaded.model.state_dict().items())


def test_from_python(tmp_path):
    path = write(tmp_path / "p", finetune={"task": ""})
    where = liju.run(path, "pretrain.steps=2", "name=other")
    assert where == tmp_path / "p/runs/other"
    assert liju.run(tmp_path / "p", "pretrain.steps=2", "name=other") == where  # a folder means its liju.toml
    assert config.read(where / "liju.toml").pretrain.steps == 2  # the resolved file is a file
    with pytest.raises(ConfigError, match="did you mean 'steps'"):
        liju.run(path, "pretrain.stps=2")


def test_a_file_without_text_is_refused_before_anything(tmp_path):
    path = write(tmp_path / "p", text={"sources": []})
    with pytest.raises(ConfigError, match=r"text\.sources: is empty"):
        open_run(path)
    assert not (tmp_path / "p/runs").exists()


# --- what is broken, and what is unfinished


@pytest.mark.parametrize("text", ["", "{", '{"steps": [1]}'])
def test_a_torn_run_json_is_told_and_costs_nothing(project, text):
    record = project.parent / "runs/toy/run.json"
    record.write_text(text)
    with pytest.raises(BundleError, match=r"run\.json: cannot be read") as caught:
        steps_done(project)
    assert "remove it" in caught.value.hint
    record.unlink()
    assert steps_done(project) == []
    assert set(folders(record.parent)) == set(ALL)


def test_a_torn_done_json_is_told(project):
    record = folders(project.parent / "runs/toy")["vocab"] / "done.json"
    record.write_text("{")
    with pytest.raises(DataError, match=r"done\.json: cannot be read") as caught:
        steps_done(project)
    assert str(record.parent) in caught.value.hint
    shutil.rmtree(record.parent)
    assert steps_done(project) == ["vocab"]  # the same vocabulary, so that what comes after is as it was


def test_an_unfinished_training_is_refused_and_resumed(project):
    found = folders(project.parent / "runs/toy")
    weights = (found["pretrain"] / "bundle/model.safetensors").read_bytes()
    (found["pretrain"] / "done.json").unlink()  # killed right before the end
    with pytest.raises(CheckpointError, match="an unfinished pretrain is here, at step 000003") as caught:
        steps_done(project)
    assert "--resume" in caught.value.hint
    assert steps_done(project, resume=True) == ["pretrain"]
    assert (found["pretrain"] / "bundle/model.safetensors").read_bytes() == weights


def test_rests_of_a_killed_step_are_removed(project):
    found = folders(project.parent / "runs/toy")
    for name in ("text", "samples"):
        (found[name] / "done.json").unlink()
        (found[name] / "half").write_text("written")
    assert steps_done(project) == ["text", "samples"]
    assert not (found["text"] / "half").exists()


def test_a_stopped_evaluation_goes_on_with_what_it_had(project):
    found = folders(project.parent / "runs/toy")
    summary = json.loads((found["evaluate"] / "done.json").read_text())["summary"]
    (found["evaluate"] / "done.json").unlink()
    (found["evaluate"] / "pretrained-0.json").unlink()
    kept = (found["evaluate"] / "scratch-0.json").stat().st_mtime_ns
    with pytest.raises(CheckpointError, match="unfinished evaluate"):
        steps_done(project)
    assert steps_done(project, resume=True) == ["evaluate"]
    assert (found["evaluate"] / "scratch-0.json").stat().st_mtime_ns == kept
    assert json.loads((found["evaluate"] / "done.json").read_text())["summary"] == summary
    # and where a training within it had no checkpoint yet
    (found["evaluate"] / "done.json").unlink()
    (found["evaluate"] / "scratch-0.json").unlink()
    shutil.rmtree(found["evaluate"] / "scratch-0/checkpoints")
    (found["evaluate"] / "scratch-1/checkpoints/step-000001").mkdir(parents=True)  # another one's
    assert steps_done(project, resume=True) == ["evaluate"]
    assert json.loads((found["evaluate"] / "done.json").read_text())["summary"] == summary


def test_two_processes_do_not_work_in_one_folder(project):
    """The lock is another process's: this one is told so, and has written nothing."""
    script = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX)\n"
    script += "print('held', flush=True); input()"
    folder = project.parent / "runs" / "shared"
    folder.mkdir(parents=True)
    held = [sys.executable, "-c", script, str(folder / ".lock")]
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(DataError, match="another process is at work here"):
            liju.run(project, "name=shared")
        assert [path.name for path in folder.iterdir()] == [".lock"]
        other.kill()  # the lock goes with it
    liju.run(project, "name=shared")
