"""Every verb on a toy project: what it prints where, and its exit code."""

import io
import json
import math
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from project_toys import folders, write

from liju.cli import VERBS, main
from liju.errors import LijuError

ENV = {
    **{k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
    "OMP_NUM_THREADS": "1",
    "NO_COLOR": "1",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    write(folder / "p")
    assert main(["run", str(folder / "p"), "--quiet"]) == 0
    return folder


@pytest.fixture
def here(home, monkeypatch):
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def liju(capsys):
    def call(*words):
        code = main(list(words))
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


def test_every_verb_has_help(liju):
    code, out, _ = liju("--help")
    assert code == 0 and all(verb in out for verb in VERBS)
    for verb in VERBS:
        code, out, _ = liju(verb, "--help")
        assert code == 0 and f"liju {verb}" in out and "examples:" in out


def test_new_writes_what_runs_and_overwrites_nothing(liju, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for family in ("encoder", "decoder", "encdec"):
        code, out, err = liju("new", family, "--family", family)
        assert code == 0 and not err
        assert f"wrote {family}/liju.toml" in out and out.endswith(f"next: liju run {family}\n")
        text = (tmp_path / family / "liju.toml").read_text()
        assert text.count("#") > 60
        before = sorted((p, p.read_bytes()) for p in (tmp_path / family).rglob("*") if p.is_file())
        code, out, err = liju("new", family)
        assert code == 2 and not out and "already here" in err and "hint: " in err
        assert sorted((p, p.read_bytes()) for p in (tmp_path / family).rglob("*") if p.is_file()) == before
    code, _, err = liju("new", "x", "--family", "encodr")
    assert code == 2 and "error: " in err and not (tmp_path / "x").exists()
    (tmp_path / "half").mkdir()
    (tmp_path / "half/labelled.tsv").write_text("mine")
    code, _, err = liju("new", "half")
    assert code == 2 and "labelled.tsv: already here" in err
    assert [p.name for p in (tmp_path / "half").iterdir()] == ["labelled.tsv"]  # all or nothing


def test_check_prints_figures_and_samples(liju, here):
    code, out, err = liju("check", "p", "--seconds", "0.05")
    assert code == 0 and not err
    assert re.search(r"^parameters  [\d,]+$", out, re.M) and re.search(r"^memory      [\d,]+ MB", out, re.M)
    assert len(re.findall(r"^  sample \d", out, re.M)) == 3 and "→" in out and "[pretrain]" in out
    assert out.endswith("next: liju run p\n")
    code, out, err = liju("check", "p", "--json", "--seconds", "0.05")
    figures = json.loads(out)
    assert code == 0 and not err and figures["parameters"] > 1000 and all(figures["up_to_date"].values())


def test_run_tells_a_story_and_does_nothing_twice(liju, here):
    code, out, _ = liju("run", "p")
    assert code == 0 and out.count("up to date") == 6
    assert "wrote p/runs/toy/report.html" in out and out.endswith("next: liju serve p/runs/toy\n")
    code, out, err = liju("run", "p", "--quiet")
    assert code == 0 and "wrote" in out and not err


@pytest.mark.parametrize("verb", ["text", "vocab", "pretrain", "finetune"])
def test_each_step_has_a_verb(liju, here, verb):
    code, out, _ = liju(verb, "p", "name=" + verb)
    assert code == 0 and "next: liju" in out.splitlines()[-1]
    steps = ["text", "vocab", "samples", "pretrain", "finetune"]
    assert list(folders(here / "p/runs" / verb)) == steps[: steps.index(verb) + 1]
    assert (here / "p/runs" / verb / "report.html").exists()


@pytest.mark.parametrize(
    ("before", "verb"),
    [("text", "vocab"), ("vocab", "pretrain"), ("pretrain", "finetune"), ("check", "run"), ("plan", "run")],
)
def test_the_next_command_is_of_the_same_run(liju, here, before, verb):
    """With what was said on the command line, quoted for a shell; without it another run would begin."""
    overrides = ["name=again", 'text.sources=[{path="text.txt", format="lines"}]']
    seconds = ["--seconds", "0.01"] if before in ("check", "plan") else []
    code, out, _ = liju(before, "p", *overrides, *seconds)
    assert code == 0
    said = out.splitlines()[-1].removeprefix("next: ")
    assert shlex.split(said) == ["liju", verb, "p", *overrides]


def test_finetune_says_the_next_command_of_the_same_run(liju, here):
    given = ["name=other", "finetune.fields={text = 'text'}", "pretrain.steps=0", "finetune.epochs=1"]
    code, out, _ = liju("finetune", *given, "p", "--quiet")
    first = next(line for line in out.splitlines() if line.startswith("next: liju evaluate "))
    words = shlex.split(first.removeprefix("next: liju "))
    assert code == 0 and words == ["evaluate", "p", *given]
    code, out, _ = liju(*words, "evaluate.baselines=[]")
    assert code == 0 and "finetune  up to date" in out


def test_evaluate(liju, here):
    code, out, _ = liju("evaluate", "p")
    assert code == 0 and "evaluate  up to date" in out
    code, out, err = liju("evaluate", "p", "--json")
    assert code == 0 and not err and [row["system"] for row in json.loads(out)["rows"]][-1] == "fine-tuned"


def test_json_is_read_by_every_parser(liju, here):
    """A metric that is not defined here, and a loss that is no number, are null and not NaN."""
    shutil.copytree(here / "p", here / "nan")
    steps = folders(here / "nan/runs/toy")
    record = json.loads((steps["evaluate"] / "done.json").read_text())
    record["summary"]["table"]["rows"][-1]["values"]["accuracy"] = [math.nan]
    (steps["evaluate"] / "done.json").write_text(json.dumps(record))
    with (steps["pretrain"] / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 3, "evaluation": {"loss": math.inf}}) + "\n")
    for words in (["evaluate", "nan"], ["runs", "nan/runs"], ["check", "nan", "--seconds", "0.01"]):
        code, out, err = liju(*words, "--json")
        assert code == 0 and not err
        documents = out.splitlines() if words[0] == "runs" else [out]
        found = [json.loads(one, parse_constant=pytest.fail) for one in documents]
        if words[0] == "evaluate":
            assert found[0]["rows"][-1]["values"]["accuracy"] == [None]
        if words[0] == "runs":
            assert found[-1]["held_out"] is None


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("config", "d_model = 24"),
        ("text", "60 kept"),
        ("vocab", "characters a token"),
        ("samples", "sample 2"),
        ("curve", "in 3 steps"),
        ("scores", "fine-tuned"),
        ("model", '"classification"'),
        ("laws", "law 1: holds"),
    ],
)
def test_show(liju, here, what, says):
    code, out, err = liju("show", what, "p/runs/toy")
    assert code == 0 and not err and says in out and out.endswith('next: liju predict p/runs/toy "..."\n')
    bundle = folders(here / "p/runs/toy")["finetune"] / "bundle"
    code, out, err = liju("show", what, str(bundle))
    assert (code == 0 and says in out) if what in ("model", "laws") else (code == 2 and "hint: name" in err)


def test_show_tokens(liju, here):
    code, out, _ = liju("show", "tokens", "p/runs/toy", "the captain")
    pieces, ids, *_ = out.splitlines()
    assert code == 0 and pieces.replace("│", "").replace(" ", "") == "thecaptain"
    assert len(ids.split()) == len(pieces.split("│"))


def test_show_what_is_not_there(liju, here, tmp_path):
    code, _, err = liju("show", "scores", str(tmp_path))
    assert code == 2 and "not a run directory" in err and "hint: " in err
    code, _, err = liju("show", "scors", "p/runs/toy")
    assert code == 2 and "error: " in err and "scores" in err
    write(tmp_path / "q")
    assert liju("text", str(tmp_path / "q"))[0] == 0
    code, _, err = liju("show", "scores", str(tmp_path / "q/runs/toy"))
    assert code == 2 and "evaluate is not done yet" in err
    (tmp_path / "q/runs/toy/run.json").write_text("{")
    for what in ("text", "model", "tokens"):
        code, _, err = liju("show", what, str(tmp_path / "q/runs/toy"))
        assert code == 2 and "run.json: cannot be read" in err and "hint: " in err


def test_predict(liju, here, monkeypatch):
    code, out, err = liju("predict", "p/runs/toy", "the captain sings", "a garden")
    assert code == 0 and not err
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[2] for row in rows] == ["the captain sings", "a garden"] and len(rows) == 2
    assert all(row[0] in ("land", "sea") and 0.5 <= float(row[1]) <= 1 for row in rows)
    code, out, err = liju("predict", "p/runs/toy", "the captain sings", "--json")
    answer = json.loads(out)
    assert code == 0 and not err and answer["input"] == "the captain sings"
    assert answer["label"] == rows[0][0] and answer["score"] == pytest.approx(float(rows[0][1]), abs=1e-3)
    monkeypatch.setattr("sys.stdin", io.StringIO("the captain sings\n\na garden\n" * 40))
    code, out, _ = liju("predict", "p/runs/toy")
    assert code == 0 and len(out.splitlines()) == 80 and out.splitlines()[:2] == ["\t".join(r) for r in rows]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["predict", "nowhere", "x"], "neither a model folder nor a run directory"),
        (["predict", "p/runs/toy", " "], "the text is empty"),
        (["predict", "p/runs/toy", "x", "--beam", "2"], "unknown option 'beam'"),
        (["predict", "p/runs/toy", "x", "--beam", "two"], "two"),
        (["predict"], "RUN"),
        (["serve", "nowhere"], "neither a model folder nor a run directory"),
        (["serve", "p/runs/toy", "--port", "99999"], "port: "),
        (["run", "p", "pretrain.stps=3"], "command line: pretrain.stps: unknown key"),
        (["run", "p", "q"], "more than one project file: p, q"),
        (["run", "nowhere"], "nowhere: no such file"),
        (["run", "p", "--rezume"], "--rezume"),
        (["rum", "p"], "rum"),
        (["examples", "99.9"], "no example '99.9'"),
        (["finetune", "p", "finetune.task=''", "finetune.train=[]"], "task is empty"),
        (["run", "p", "device=cuda", "pretrain.steps=9"], "no CUDA device"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_mistakes_exit_2_with_an_error_and_a_hint(liju, here, words, says):
    code, out, err = liju(*words)
    assert code == 2 and says in err, err
    assert err.startswith("error: ") and ("\nhint: " in err or "99999" in err)
    assert "wrote" not in out


def test_every_mistake_in_the_file_is_an_error_of_its_own(liju, tmp_path):
    (tmp_path / "liju.toml").write_text("nam = 1\n[text]\nfild = 2\n[model]\nd_model = 'x'\n")
    code, out, err = liju("check", str(tmp_path))
    assert code == 2 and not out
    for line, what in ((1, "nam"), (3, "text.fild"), (5, "model.d_model")):
        assert f"error: {tmp_path}/liju.toml:{line}: {what}: " in err
    assert "hint: did you mean 'field'?" in err
    assert not (tmp_path / "runs").exists()


def test_debug_raises(here):
    with pytest.raises(LijuError, match="unknown key"):
        main(["run", "p", "pretrain.stps=3", "--debug"])
    with pytest.raises(LijuError, match="neither a model folder"):
        main(["--debug", "predict", "nowhere", "x"])


def test_examples_are_listed_and_printed(liju):
    code, out, err = liju("examples")
    numbers = re.findall(r"^(\d\.\d) ", out, re.M)
    assert code == 0 and not err and len(numbers) > 10 and numbers == sorted(numbers)
    code, out, _ = liju("examples", numbers[0], "--code")
    assert code == 0 and out.startswith('"""') and "what it prints" not in out


# --- processes


def start(*words, cwd=None, **how):
    return subprocess.Popen(
        [sys.executable, "-m", "liju", *map(str, words)], cwd=cwd, env=ENV, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how,
    )  # fmt: skip


def test_serve_answers_over_http(here):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start("serve", "p/runs/toy", "--port", port, cwd=here)
    try:
        for _ in range(300):
            try:
                health = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5))
                break
            except OSError:
                assert process.poll() is None, process.communicate()
                time.sleep(0.1)
        assert health["status"] == "ok"
        body = json.dumps({"text": "the captain sings"}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body)
        answer = json.load(urllib.request.urlopen(request, timeout=10))
        import liju

        alone = liju.load(here / "p/runs/toy").predict("the captain sings")
        assert answer["results"][0]["label"] == alone["label"], answer
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors


def test_a_reader_that_leaves_is_no_error(here):
    for words in (["show", "samples", "p/runs/toy"], ["show", "laws", "p/runs/toy"], ["--help"]):
        process = start(*words, cwd=here)
        process.stdout.close()  # before anything is written
        process.stdout = None
        _, errors = process.communicate(timeout=60)
        assert process.returncode in (0, 1) and errors == ""  # 1 is rich's


def test_an_out_folder_that_cannot_be_written(liju, tmp_path):
    write(tmp_path / "p")
    (tmp_path / "p/file").write_text("")
    code, _, err = liju("run", str(tmp_path / "p"), "out=file")
    assert code == 2 and "file" in err and err.startswith("error: ") and "hint: " in err
    if os.geteuid():
        (tmp_path / "p/shut").mkdir(mode=0o500)
        code, _, err = liju("run", str(tmp_path / "p"), "out=shut")
        assert code == 2 and "Permission denied" in err
    code, _, err = liju("run", str(tmp_path / "p"), "out=/proc/nothing")
    assert code == 2 and err.startswith("error: ") and "/proc/nothing" in err


def test_ctrl_c_outside_of_training_is_quiet(liju, here, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("liju.project.open_run", interrupted, raising=False)
    code, out, err = liju("run", "p")
    assert (code, out, err) == (130, "", "stopped\n")


def test_a_system_error_is_told_in_its_words(liju, here, monkeypatch):
    import errno

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "p/runs/toy/run.json")

    monkeypatch.setattr("liju.project.open_run", full, raising=False)
    code, out, err = liju("run", "p")
    assert code == 2 and not out
    assert err.startswith("error: p/runs/toy/run.json: No space left on device\nhint: free some space")


def test_the_whole_new_project_runs(tmp_path):
    """As a stranger does it: new, run, predict, from a shell."""
    for words in (["new", "first"], ["run", "first", "pretrain.steps=3", "finetune.epochs=1", "--quiet"]):
        process = start(*words, cwd=tmp_path)
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    process = start("predict", "first/runs/first", "--json", cwd=tmp_path, stdin=subprocess.PIPE)
    out, errors = process.communicate("房间很干净\nThe soup was cold.\n", timeout=60)
    assert process.returncode == 0 and not errors, errors
    assert [json.loads(line)["input"] for line in out.splitlines()] == ["房间很干净", "The soup was cold."]
    shutil.rmtree(tmp_path / "first")
