"""liju show presets and liju new --preset, as typed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from liju.cli import main
from liju.model.presets import PRESETS


def liju(capsys, *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def test_the_table_has_every_preset(capsys):
    code, out, err = liju(capsys, "show", "presets")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].split() == [
        *("name", "family", "layers", "d_model", "heads", "parameters", "published", "objective", "source"),
    ]
    assert [line.split()[0] for line in lines[1 : 1 + len(PRESETS)]] == list(PRESETS)
    row = next(line for line in lines if line.startswith("llama2-70b "))
    assert row.split()[:8] == ["llama2-70b", "decoder", "80", "8192", "64", "/", "8", "68,976,648,192"]
    assert sum("GPT-4" in line for line in lines) == 1 and "liju.prompt.RemoteModel" in out
    assert lines[-1].startswith("next: liju new")


@pytest.mark.parametrize(("family", "names"), [("bart", 2), ("encdec", 15), ("encoder", 10), ("gpt3", 16)])
def test_a_family(capsys, family, names):
    code, out, _ = liju(capsys, "show", "presets", "--family", family)
    assert code == 0 and sum(line.split()[0] in PRESETS for line in out.splitlines() if line) == names


def test_one_preset(capsys):
    code, out, _ = liju(capsys, "show", "presets", "lamda-137b")
    assert code == 0 and "A reconstruction." in out and "137,702,158,336 (published: 137B without" in out
    assert "  * d_ff                   65536" in out and "    tied                   True" in out
    code, out, _ = liju(capsys, "show", "presets", "gpt3-xl")
    assert code == 0 and "24 heads of 128 for a width of 2048" in out


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["show", "presets", "gpt4"], "unknown preset 'gpt4'", "gives no architecture"),
        (["show", "presets", "gtp2"], "unknown preset 'gtp2'", "'gpt2'"),
        (["show", "presets", "--family", "brt"], "no family 'brt'", "'bert'"),
        (["show", "presets", "gpt2", "--family", "gpt2"], "gpt2 is one preset", "leave out"),
        (["show", "laws", "--family", "gpt2"], "--family is for presets", "liju show presets"),
        (["new", "{0}/x", "--preset", "gpt2", "--family", "encdec"], "not 'encdec'", "--family"),
        (["new", "{0}/x", "--scale", "0.1"], "scale is of a preset", "--preset"),
        (["new", "{0}/x", "--preset", "gpt4"], "unknown preset", "RemoteModel"),
    ],
)
def test_what_is_wrong(capsys, tmp_path, words, error, hint):
    code, out, err = liju(capsys, *(word.format(tmp_path) for word in words))
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("error: ") and error in first
    assert second.startswith("hint: ") and hint in second
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words", [["show", "presets"], ["show", "presets", "bert-base"], ["new", "{0}/n", "--preset", "gpt2"]]
)
def test_without_torch(tmp_path, words):
    words = [word.format(tmp_path) for word in words]
    code = f"import sys; from liju.cli import main; main({words!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True).returncode == 0


def test_a_terminal_gets_a_table(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "180")
    code, out, _ = liju(capsys, "show", "presets", "--family", "marian")
    assert code == 0 and "73,944,309" in out
