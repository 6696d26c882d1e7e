"""Every example runs, prints something, and is short."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import pytest

from liju.cli import main

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_runs_and_prints(path: Path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as left:  # an optional package is not installed
        assert isinstance(left.code, str)
    assert capsys.readouterr().out.strip()
    assert not list(tmp_path.iterdir()), "an example writes into temporary folders only"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_is_short_and_has_a_title(path: Path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    title = ast.get_docstring(ast.parse(text))
    assert title and text.startswith('"""') and "\n" not in title


def test_every_example_can_be_listed_and_printed(capsys):
    assert main(["examples"]) == 0
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.splitlines()[:-1]] == [p.name.split("_")[0] for p in EXAMPLES]
    assert main(["examples", "2.2", "--code"]) == 0
    assert "tokenizer.pair" in capsys.readouterr().out
