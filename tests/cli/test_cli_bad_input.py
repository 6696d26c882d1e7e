"""Bad input through the whole way: a clear error, or a counted and reported skip; nothing done is lost."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys

import pytest
from project_toys import folders, lines, write

from liju.cli import main


@pytest.fixture
def liju(capsys):
    def call(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


def summary(path, step):
    return json.loads((folders(path.parent / "runs/toy")[step] / "done.json").read_text())["summary"]


BAD = {
    "empty.txt": b"",
    "binary.txt": bytes(range(256)) * 64,
    "nulls.txt": b"\0" * 4096,
    "broken.txt": b"A good line of text first.\nThen \xff\xfe\xfa some bytes that are no text \xc3\x28.\n",
    "cut.jsonl": b'{"text": "a whole row of text"}\n{"text": "a row that was cu\n{"txt": "no text"}\n[]\n',
    "cut.txt.gz": b"\x1f\x8b\x08\x00torn",
}


def test_files_that_cannot_be_read_are_counted_and_told(liju, tmp_path):
    path = write(tmp_path / "p", text={"sources": [{"path": "text.txt", "format": "lines"}, "more"]})
    (path.parent / "more").mkdir()
    for name, content in BAD.items():
        (path.parent / "more" / name).write_bytes(content)
    code, out, err = liju("run", path)
    assert code == 0, err
    text = summary(path, "text")
    assert text["problem_count"] >= 4 and f"{text['problem_count']} problems" in out
    assert text["kept"] >= 61
    told = " ".join(json.dumps(problem) for problem in text["problems"])
    for name in ("binary.txt", "nulls.txt", "cut.jsonl", "cut.txt.gz"):
        assert name in told, name
    assert (path.parent / "runs/toy/report.html").exists()

    # errors = "stop" names the first of them, exits with 2 and loses nothing
    code, _, err = liju("run", path, "text.errors=stop", "text.sources=['text.txt', 'more/cut.jsonl']")
    assert code == 2 and re.search(r"error: more/cut\.jsonl:\d", err) and "hint: " in err
    code, out, _ = liju("run", path)
    assert code == 0 and out.count("up to date") == 6


@pytest.mark.parametrize("name", ["empty.txt", "binary.txt", "nulls.txt"])
def test_nothing_but_bad_text_is_an_error_that_names_it(liju, tmp_path, name):
    path = write(tmp_path / "p", text={"sources": ["bad"]})
    (path.parent / "bad").mkdir()
    (path.parent / "bad" / name).write_bytes(BAD[name])
    code, _, err = liju("run", path)
    assert code == 2 and err.startswith("error: ") and "no document is left" in err and "hint: " in err
    assert name == "empty.txt" or name in err
    assert not list(path.parent.glob("runs/toy/*/done.json"))


def test_a_line_of_many_megabytes(liju, tmp_path):
    path = write(tmp_path / "p", text={"sources": [{"path": "text.txt", "format": "lines"}]})
    with (path.parent / "text.txt").open("a") as file:
        file.write("\n" + "a very long line without any end " * 100_000 + "\n")
    code, _, err = liju("text", path)
    assert code == 0, err
    text = summary(path, "text")
    assert text["kept"] > 61  # in documents of a bounded size
    assert text["dropped"].get("duplicate", 0) + sum(text["characters"].values()) > 1000


def test_labelled_rows_that_lack_something(liju, tmp_path):
    path = write(tmp_path / "p")
    table = path.parent / "examples.tsv"
    good = table.read_text()
    table.write_text(good + "a row without its label\t\nonly one column\n\tsea\nthe boat again\tsee\n")
    code, out, err = liju("run", path)
    assert code == 0, err
    report = summary(path, "finetune")["examples"]
    assert report["dropped"]["no label"] == 1 and report["dropped"]["no text"] == 1
    assert "left out: " in out and "1 no label" in out
    assert any("examples.tsv:42" in problem for problem in report["problems"])
    code, _, err = liju("run", path, "text.errors=stop")
    assert code == 2 and "examples.tsv:4" in err and "hint: " in err

    table.write_text(good.replace("text\tlabel", "text\tlables"))
    before = set(path.parent.glob("runs/toy/pretrain-*"))
    code, _, err = liju("run", path)
    assert code == 2 and "no usable example" in err and "did you mean 'lables'?" in err
    assert set(path.parent.glob("runs/toy/pretrain-*")) == before  # told before anything was trained
    table.write_text("text\tlabel\n" + "".join(f"{line}\tland\n" for line in lines()))
    code, _, err = liju("run", path)
    assert code == 2 and "every example has the label 'land'" in err
    assert set(path.parent.glob("runs/toy/pretrain-*")) == before


@pytest.mark.parametrize(
    ("row", "says"), [("a row\t", "no label"), ("one column", "1 column"), ("a guest\tsee", "label 'see'")]
)
def test_an_example_that_stops_says_the_key_that_leaves_it_out(liju, tmp_path, row, says):
    path = write(tmp_path / "p")
    (path.parent / "bad.tsv").write_text(f"text\tlabel\nour guide waits\tsea\n{row}\n")
    words = ["finetune", path, "pretrain.steps=0", "finetune.epochs=1", "finetune.test=['bad.tsv']"]
    code, _, err = liju(*words, "text.errors=stop")
    assert code == 2 and "bad.tsv:3: " in err and says in err
    (hint,) = [line for line in err.splitlines() if line.startswith("hint: ")]
    assert hint.endswith("set text.errors = 'skip'") and "--errors" not in hint
    code, out, err = liju(*words, "text.errors=skip")
    assert code == 0 and "left out: 1 " in out, err


def test_a_missing_file_is_named_with_its_neighbours(liju, tmp_path):
    path = write(tmp_path / "p")
    code, _, err = liju("run", path, "text.sources=['txt.txt']")
    assert code == 2 and "error: txt.txt: no file matches\nhint: did you mean 'text.txt'?" in err
    assert not (path.parent / "runs/toy").exists()


RUN = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as a full disk does: an error, no signal
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from liju.cli import main
sys.exit(main(["run", {path!r}, "--quiet", *{words!r}]))
"""


def limited(path, limit, *words):
    code = RUN.format(limit=limit, path=str(path), words=words)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120)


@pytest.mark.parametrize("limit", [300, 12_000, 60_000], ids=["text", "vocab", "pretrain"])
def test_a_disk_that_fills_up_is_told_and_loses_nothing(liju, tmp_path, limit):
    """Wherever it happens, the error says so, and with room the same command goes on to the end."""
    path = write(tmp_path / "p")
    done = limited(path, limit)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert re.search(r"space|full|large|disk|needed", done.stderr), done.stderr
    assert str(path.parent / "runs/toy") in done.stderr  # where it happened
    where = path.parent / "runs/toy"
    kept = {p: p.read_bytes() for p in where.glob("*/done.json")}
    code, _, err = liju("run", path, "--quiet", "--resume")
    assert code == 0, err
    assert all(p.read_bytes() == content for p, content in kept.items())
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    shutil.rmtree(where)
