"""liju export on a toy project: what it writes where, what it refuses, and what it says."""

import json

import pytest
from project_toys import write

from liju.cli import main
from liju.hub.engines import gguf_shapes


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    for family in ("encoder", "decoder", "encdec"):
        write(folder / family, family)
        assert main(["run", str(folder / family), "--quiet"]) == 0
    return folder


@pytest.fixture
def liju(home, monkeypatch, capsys):
    monkeypatch.chdir(home)

    def call(*words):
        code = main(["export", *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


HELD = {
    "encoder": ["huggingface", "gguf", "onnx"],
    "decoder": ["huggingface", "gguf", "onnx", "ctranslate2"],
    "encdec": ["huggingface", "onnx", "ctranslate2"],
}


@pytest.mark.parametrize("family", HELD)
def test_without_an_engine_it_says_what_each_can_hold(liju, family):
    code, out, err = liju(f"{family}/runs/toy")
    assert code == 0 and not err
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["huggingface", "gguf", "onnx", "ctranslate2"]
    assert [line.split()[0] for line in lines[:4] if " no: " not in line] == HELD[family]
    assert all("; nearest: " in line for line in lines[:4] if " no: " in line)
    assert lines[4].startswith(f"next: liju export {family}/runs/toy --to ")


@pytest.mark.parametrize(("family", "target"), [(f, t) for f, targets in HELD.items() for t in targets])
def test_every_family_for_every_engine_that_holds_it(liju, home, family, target):
    code, out, err = liju(f"{family}/runs/toy", "--to", target)
    assert code == 0 and not err, err
    folder = home / family / "runs/toy/export" / target
    report = json.loads((folder / "export.json").read_text())
    assert report["holds"] and report["target"] == target
    for name in report["files"]:
        assert f"{family}/runs/toy/export/{target}/{name}" in out
    assert f"asked {report['engine']}" in out and "bound" in out
    assert out.splitlines()[-2] == f"written: {family}/runs/toy/export/{target}/export.json"
    assert out.splitlines()[-1].startswith("next: ")
    # a folder that is there stays as it is
    before = (folder / "export.json").read_bytes()
    code, out, err = liju(f"{family}/runs/toy", "--to", target)
    assert code == 2 and not out and "already exists" in err and "hint: " in err
    assert (folder / "export.json").read_bytes() == before


def test_the_folder_and_the_dtype_are_free(liju, home):
    code, out, _ = liju("decoder/runs/toy", "--to", "gguf", "--dtype", "q8_0", "--out", "story")
    assert code == 0 and "story/model-q8_0.gguf" in out
    assert out.endswith("next: llama-cli -m story/model-q8_0.gguf\n")
    code, _, _ = liju("decoder/runs/toy", "--to", "gguf", "--out", "story", "--overwrite")
    assert code == 0 and (home / "story/model-float32.gguf").exists()
    assert not (home / "story/model-q8_0.gguf").exists()


def test_an_exported_huggingface_folder_is_a_model_folder(liju, home, capsys):
    assert liju("encoder/runs/toy", "--to", "huggingface", "--out", "folder")[0] == 0
    assert main(["predict", "folder", "the captain sings"]) == 0
    assert capsys.readouterr().out.split("\t")[0] in ("land", "sea")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "neither a model folder nor a run directory"),
        (["encoder/runs/toy", "--to", "ctranslate2"], "CTranslate2 is for models that write"),
        (["encdec/runs/toy", "--to", "gguf"], "no encoder-decoder"),
        (["decoder/runs/toy", "--to", "onnx", "--dtype", "int8", "--out", "x"], "onnx has no dtype 'int8'"),
        (["decoder/runs/toy", "--to", "ggfu"], "ggfu"),
    ],
    ids=" ".join,
)
def test_mistakes_exit_2_with_an_error_and_a_hint(liju, home, words, says):
    code, out, err = liju(*words)
    assert code == 2 and not out and says in err and "\nhint: " in err
    assert not (home / "x").exists()


def test_an_engine_that_answers_differently_is_refused_and_leaves_nothing(liju, home, monkeypatch):
    monkeypatch.setattr(gguf_shapes, "_interleaved", lambda weight, heads: weight)
    code, out, err = liju("decoder/runs/toy", "--to", "gguf", "--out", "wrong/there")
    assert code == 2 and not out
    assert err.startswith("error: gguf: the exported model is not the one in memory: logits: ")
    assert "bound 1e-05" in err and "\nhint: nothing was kept" in err
    assert not list((home / "wrong").iterdir())
